//! What a 401 asks for: `WWW-Authenticate` (RFC 9110, 11.6.1) as registries send it.

use http::{HeaderMap, HeaderValue, header};

/// How an origin wants to be told who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// By user and password.
    Basic,
    /// By a token that is had elsewhere (Docker's "Token Authentication Specification").
    Bearer {
        /// The URL that gives tokens.
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// The challenge of an answer; of several, the one with a token.
    pub(crate) fn of(answer: &HeaderMap) -> Option<Self> {
        let lines = answer.get_all(header::WWW_AUTHENTICATE).iter();
        let lines = lines.filter_map(|line| HeaderValue::to_str(line).ok());
        let mut challenges: Vec<_> = lines
            .flat_map(parse)
            .filter_map(|it| Self::new(&it))
            .collect();
        challenges.sort_by_key(|challenge| *challenge == Self::Basic);
        challenges.into_iter().next()
    }

    fn new(spoken: &Spoken<'_>) -> Option<Self> {
        let value = |name: &str| {
            let mut parameters = spoken.parameters.iter();
            let found = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        if spoken.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        let is_bearer = spoken.scheme.eq_ignore_ascii_case("bearer");
        Some(Self::Bearer {
            realm: value("realm").filter(|_| is_bearer)?,
            service: value("service"),
            scope: value("scope"),
        })
    }
}

/// One challenge, in the words of the header.
struct Spoken<'a> {
    scheme: &'a str,
    parameters: Vec<(&'a str, String)>,
}

/// A word before an equals sign is a parameter, any other begins a challenge: both are
/// parted by commas, so nothing else tells them apart.
fn parse(line: &str) -> Vec<Spoken<'_>> {
    let mut challenges: Vec<Spoken<'_>> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=', '"']);
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if word.is_empty() {
            return challenges;
        }
        rest = behind;
        match (behind.trim_start().strip_prefix('='), challenges.last_mut()) {
            (Some(behind), Some(challenge)) => {
                let (value, behind) = value(behind.trim_start());
                challenge.parameters.push((word, value));
                rest = behind;
            }
            _ => challenges.push(Spoken {
                scheme: word,
                parameters: Vec::new(),
            }),
        }
    }
}

/// A value, quoted or not, and what is behind it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, char) in quoted.char_indices() {
        match char {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return (value, &quoted[at + 1..]),
            _ => {
                value.push(char);
                escaped = false;
            }
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> Option<Challenge> {
        let line = |line: &&'static str| {
            let value = HeaderValue::from_static(line);
            (header::WWW_AUTHENTICATE, value)
        };
        Challenge::of(&lines.iter().map(line).collect())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        Some(Challenge::Bearer {
            realm: realm.to_owned(),
            service: service.map(ToOwned::to_owned),
            scope: scope.map(ToOwned::to_owned),
        })
    }

    #[test]
    fn a_bearer_challenge_is_read_in_every_spelling() {
        let full = bearer(
            "https://t.example/a",
            Some("s"),
            Some("repository:a/b:pull,push"),
        );
        for line in [
            r#"Bearer realm="https://t.example/a",service="s",scope="repository:a/b:pull,push""#,
            r#"bearer  service=s , REALM = "https://t.example/a" scope="repository:a/b:pull,push""#,
            r#"Basic realm="x, y", Bearer realm="https:\//t.example/a",scope="repository:a/b:pull,push",service="s",error="invalid_token""#,
        ] {
            assert_eq!(of(&[line]), full, "{line}");
        }
        let two = ["Basic realm=\"x\"", "Bearer realm=\"https://t.example/a\""];
        assert_eq!(of(&two), bearer("https://t.example/a", None, None));
    }

    #[test]
    fn without_a_token_there_is_basic_or_nothing() {
        assert_eq!(of(&["Basic realm=\"Cachalot\""]), Some(Challenge::Basic));
        assert_eq!(of(&["Negotiate abc==, basic"]), Some(Challenge::Basic));
        for nothing in [
            "",
            "Bearer",
            "Bearer service=\"s\"",
            "Digest realm=\"x\"",
            "=,\"",
            "\"",
        ] {
            assert_eq!(of(&[nothing]), None, "{nothing}");
        }
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_quote_that_never_ends_is_the_rest_of_the_line() {
        let all = "https://t.example/,service=s";
        assert_eq!(
            of(&["Bearer realm=\"https://t.example/,service=s"]),
            bearer(all, None, None)
        );
    }
}
