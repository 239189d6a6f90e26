//! The `Authorization` header: `Basic` (RFC 7617) and `Bearer` (RFC 6750).

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};

use cache_core::Secret;

/// What a client shows.
#[derive(Debug)]
pub(crate) enum Credentials {
    /// A name and a password, or any name and a token.
    Password {
        user: String,
        password: Secret<Vec<u8>>,
    },
    /// A token.
    Token(Secret<Vec<u8>>),
}

/// Something else than credentials that we know.
#[derive(Debug)]
pub(crate) struct Malformed;

/// Reads the credentials of a request, if it has any.
pub(crate) fn parse(request: &HeaderMap) -> Result<Option<Credentials>, Malformed> {
    let mut headers = request.get_all(header::AUTHORIZATION).iter();
    let Some(only) = headers.next() else {
        return Ok(None);
    };
    if headers.next().is_some() {
        return Err(Malformed);
    }
    match parse_value(only.as_bytes()) {
        // Clients of the containers/image family send an empty name and password
        // to a registry that challenged them, if they have none.
        Some(Credentials::Password { user, password })
            if user.is_empty() && password.expose().is_empty() =>
        {
            Ok(None)
        }
        Some(credentials) => Ok(Some(credentials)),
        None => Err(Malformed),
    }
}

fn parse_value(value: &[u8]) -> Option<Credentials> {
    let space = value.iter().position(|b| *b == b' ')?;
    let (scheme, value) = (&value[..space], value[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        let token = (!value.is_empty()).then(|| value.to_vec())?;
        return Some(Credentials::Token(Secret::new(token)));
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let decoded = STANDARD.decode(value).ok()?;
    // A name has no colon; a password may.
    let colon = decoded.iter().position(|b| *b == b':')?;
    Some(Credentials::Password {
        user: String::from_utf8(decoded[..colon].to_vec()).ok()?,
        password: Secret::new(decoded[colon + 1..].to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(value: &str) -> Result<Option<Credentials>, Malformed> {
        let value = HeaderValue::from_str(value).unwrap();
        parse(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
    }

    #[test]
    fn basic_and_bearer_are_read_whatever_the_case() {
        let basic = format!("bAsIc {}", STANDARD.encode("me:a:b"));
        let Ok(Some(Credentials::Password { user, password })) = of(&basic) else {
            panic!("not read");
        };
        assert_eq!(
            (user.as_str(), password.expose().as_slice()),
            ("me", &b"a:b"[..])
        );
        let Ok(Some(Credentials::Token(token))) = of("bearer  t0ken") else {
            panic!("not read");
        };
        assert_eq!(token.expose(), b"t0ken");
        assert!(parse(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn an_empty_name_and_password_are_nobody() {
        assert!(of("Basic Og==").unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_not_the_same_as_nothing() {
        for value in [
            "",
            "Basic",
            "Basic !",
            "Basic bm9jb2xvbg==",
            "Bearer ",
            "Digest x",
        ] {
            assert!(of(value).is_err(), "{value:?}");
        }
        let two = ["Bearer a", "Bearer b"]
            .map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value)));
        let mut twice = HeaderMap::new();
        for (name, value) in two {
            twice.append(name, value);
        }
        assert!(parse(&twice).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let basic = format!("Basic {}", STANDARD.encode("me:hunter2"));
        let shown = format!("{:?} {:?}", of(&basic), of("Bearer hunter2"));
        assert!(
            shown.contains("me") && !shown.contains("hunter2"),
            "{shown}"
        );
        assert!(!shown.contains("104, 117"), "{shown}");
    }
}
