//! What else may be in the way: the server, the clock, the token, the environment.

use std::{fs, path::Path, time::SystemTime};

use anyhow::Result;
use serde::Serialize;

use super::{Counters, plain};
use crate::{
    Connection,
    setup::{Cache, Machine},
};

/// Farther apart, signatures and tokens are refused.
const CLOCKS: u64 = 60;

/// What was looked at, and how it is.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) said: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Fine,
    /// It may be meant so.
    Odd,
    Wrong,
}

use Verdict::{Fine, Odd, Wrong};

/// All checks.
pub(crate) async fn checks(
    connection: &Connection,
    cache: &Cache,
    machine: &Machine,
    counters: &impl Counters,
) -> Vec<Check> {
    let mut all = server(connection, cache).await;
    all.push(version(counters).await);
    all.push(proxies(cache, machine));
    all.extend(locks(cache, Path::new(".")));
    all
}

fn check(name: &'static str, verdict: Verdict, said: impl Into<String>) -> Check {
    Check {
        name,
        verdict,
        said: said.into(),
    }
}

async fn server(connection: &Connection, cache: &Cache) -> Vec<Check> {
    if !cache.is_plain() {
        return vec![match connection.open().await {
            Ok(_) => check("server", Fine, format!("{} answers, by TLS", cache.base())),
            Err(error) => check("server", Wrong, format!("{error:#}")),
        }];
    }
    let token = match connection.token() {
        Ok(token) => token,
        Err(error) => return vec![check("token", Wrong, format!("{error:#}"))],
    };
    // The registry's first page is what everyone may ask for, and says who we are.
    let answer = match plain::get(cache.base(), "/v2/", token.as_deref()).await {
        Ok(answer) => answer,
        Err(error) => return vec![check("server", Wrong, format!("{error:#}"))],
    };
    let said = format!("{} answers, without TLS", cache.base());
    let mut all = vec![check("server", Fine, said)];
    if let Some(apart) = answer
        .header("date")
        .and_then(|date| seconds_apart(date).ok())
    {
        let verdict = if apart > CLOCKS { Odd } else { Fine };
        all.push(check(
            "clock",
            verdict,
            format!("{apart} s from the server's"),
        ));
    }
    all.push(match (token.is_some(), answer.status) {
        (true, 401 | 403) => check("token", Wrong, "the server does not accept it"),
        (true, _) => check("token", Fine, "the server accepts it"),
        (false, 401) => check(
            "token",
            Odd,
            "none, and the server gives more rights to those who have one",
        ),
        (false, _) => check("token", Fine, "none, and none is asked for"),
    });
    all
}

fn seconds_apart(date: &str) -> Result<u64> {
    let theirs = httpdate::parse_http_date(date)?;
    let ours = SystemTime::now();
    let apart = ours
        .duration_since(theirs)
        .or_else(|_| theirs.duration_since(ours));
    Ok(apart?.as_secs())
}

async fn version(counters: &impl Counters) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    match counters.version().await {
        Ok(Some(theirs)) if theirs == ours => check("version", Fine, theirs),
        Ok(theirs) => {
            let theirs = theirs.unwrap_or_else(|| "unknown".to_owned());
            check(
                "version",
                Odd,
                format!("the server's is {theirs}, this is {ours}"),
            )
        }
        Err(error) => check(
            "counters",
            Wrong,
            format!("{error:#}; --admin says where they are"),
        ),
    }
}

/// Tools send even what is meant for the cache to a proxy that the environment names.
fn proxies(cache: &Cache, machine: &Machine) -> Check {
    let names: &[&str] = if cache.is_plain() {
        &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
    } else {
        &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
    };
    let set = names.iter().find(|name| machine.variable(name).is_some());
    let Some(name) = set else {
        return check("proxies", Fine, "none in the environment");
    };
    let except = ["no_proxy", "NO_PROXY"]
        .iter()
        .find_map(|it| machine.variable(it));
    if except.is_some_and(|list| excepts(list, cache.host())) {
        return check("proxies", Fine, format!("{name}, but not for the cache"));
    }
    let host = cache.host();
    check(
        "proxies",
        Odd,
        format!("{name} is set: add {host} to no_proxy, or tools ask that proxy for the cache"),
    )
}

fn excepts(list: &str, host: &str) -> bool {
    let words = list
        .split(',')
        .map(|word| word.trim().split(':').next().unwrap_or_default());
    words.filter(|word| !word.is_empty()).any(|word| {
        let domain = word.trim_start_matches(['*', '.']);
        word == "*" || host == domain || host.ends_with(&format!(".{domain}"))
    })
}

const LOCKS: [&str; 7] = [
    "uv.lock",
    "yarn.lock",
    "package-lock.json",
    "pnpm-lock.yaml",
    "poetry.lock",
    "Cargo.lock",
    "requirements.txt",
];

/// Lock files that others cannot use without this cache.
fn locks(cache: &Cache, folder: &Path) -> Vec<Check> {
    let place = format!("//{}/", cache.authority());
    let names =
        |name: &&str| fs::read_to_string(folder.join(name)).is_ok_and(|it| it.contains(&place));
    let found = LOCKS.into_iter().filter(names);
    found
        .map(|name| check("lock file", Odd, format!("{name} names the cache")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions_from_a_proxy_are_hosts_and_domains() {
        assert!(excepts("a.example, .cache.example", "one.cache.example"));
        assert!(excepts("cache.example:3142", "cache.example"));
        assert!(excepts("*", "cache.example"));
        assert!(!excepts("ache.example,", "cache.example"));
    }

    #[test]
    fn a_lock_file_that_names_the_cache_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(
            folder.path().join("uv.lock"),
            "url = \"http://cache.example:3142/pypi\"",
        )
        .unwrap();
        fs::write(folder.path().join("yarn.lock"), "http://packages.example/").unwrap();
        let cache = Cache::of("http://cache.example:3142").unwrap();
        let found = locks(&cache, folder.path());
        assert_eq!(found.len(), 1);
        assert!(found[0].said.starts_with("uv.lock"), "{found:?}");
    }
}
