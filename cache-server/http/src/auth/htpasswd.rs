//! Apache's password file, with bcrypt hashes only.

use std::{collections::HashMap, path::Path};

use cache_core::Secret;

use super::AuthError;

/// Above this, one verification takes more than five seconds.
const MAX_COST: u8 = 16;

/// The hash of each user.
pub(crate) type Hashes = HashMap<String, Secret<String>>;

/// Reads the text of a file; `path` is for the errors.
pub(crate) fn parse(text: &str, path: &Path) -> Result<Hashes, AuthError> {
    let mut hashes = Hashes::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = parse_line(line).map_err(|reason| AuthError::Htpasswd {
            path: path.to_owned(),
            line: number + 1,
            reason,
        })?;
        // The first line of a user counts, as it does for Apache.
        hashes
            .entry(user.to_owned())
            .or_insert_with(|| Secret::new(hash.to_owned()));
    }
    Ok(hashes)
}

fn parse_line(line: &str) -> Result<(&str, &str), &'static str> {
    let (user, hash) = line.split_once(':').ok_or("expected user:hash")?;
    if user.is_empty() {
        return Err("expected a user before the colon");
    }
    let cost = cost(hash).ok_or("expected a bcrypt hash ($2y$, $2b$ or $2a$): htpasswd -B")?;
    if cost > MAX_COST {
        return Err("expected a bcrypt cost of at most 16");
    }
    Ok((user, hash))
}

/// The cost of a bcrypt hash; `None` if it is not one.
fn cost(hash: &str) -> Option<u8> {
    let rest = ["$2y$", "$2b$", "$2a$"]
        .iter()
        .find_map(|version| hash.strip_prefix(version))?;
    let (cost, salted) = rest.split_once('$')?;
    let sound = cost.len() == 2
        && salted.len() == 53
        && salted
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'/');
    sound.then(|| cost.parse().ok()).flatten()
}

/// The most costly of some hashes.
pub(crate) fn most_costly(hashes: &Hashes) -> Option<&Secret<String>> {
    hashes.values().max_by_key(|hash| cost(hash.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2y$05$WvKrcyLYtK8tNHPqzZGkTOqr3UKRdfUXkWlAK1XUl0oLK5KcQ2fnm";

    fn reason(text: &str) -> String {
        parse(text, Path::new("users")).unwrap_err().to_string()
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let text = format!("# people\n\n ci:{BCRYPT} \r\nci:{BCRYPT}\nme:{BCRYPT}\n");
        let hashes = parse(&text, Path::new("users")).unwrap();
        assert_eq!(hashes.len(), 2);
        assert_eq!(hashes["ci"].expose(), BCRYPT);
        assert!(!format!("{hashes:?}").contains("$2y$"));
    }

    #[test]
    fn anything_but_bcrypt_is_refused_by_line() {
        let (md5, sha) = ("$apr1$x$y", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=");
        for hash in [
            md5,
            sha,
            "plain",
            "",
            &BCRYPT[..59],
            &BCRYPT.replace("2y", "2x"),
        ] {
            let text = format!("ci:{BCRYPT}\nme:{hash}");
            let reason = reason(&text);
            assert!(
                reason.starts_with("auth.htpasswd: users, line 2: expected a bcrypt hash"),
                "{reason}"
            );
        }
        assert!(reason("nobody").contains("line 1: expected user:hash"));
        assert!(reason(&format!(":{BCRYPT}")).contains("expected a user"));
        assert!(reason(&format!("a:{}", BCRYPT.replace("$05$", "$31$"))).contains("at most 16"));
    }
}
