//! What else may be in the way: the server, the clock, the token, the environment.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use cache_client::{Error, Summary};
use serde::Serialize;

use super::Counters;
use crate::{
    Connection,
    setup::{Cache, Machine},
};

/// Farther apart, signatures and tokens are refused.
const CLOCKS: Duration = Duration::from_secs(60);

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
    counters: &Counters,
) -> Vec<Check> {
    let mut all = match counters.summary().await {
        Ok(summary) => known(connection, cache, &summary),
        Err(Error::Refused(said)) => vec![answers(cache), refused(connection, &said)],
        Err(error) => vec![check("server", Wrong, format!("{}: {error}", cache.base()))],
    };
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

/// Of a server that told its figures.
fn known(connection: &Connection, cache: &Cache, summary: &Summary) -> Vec<Check> {
    let token = if has_token(connection) {
        "the server accepts it"
    } else {
        "none, and none is asked for"
    };
    let mut all = vec![answers(cache), check("token", Fine, token)];
    all.extend(summary.now.map(clock));
    all.push(version(&summary.version));
    all
}

fn answers(cache: &Cache) -> Check {
    let by = if cache.is_plain() {
        "without TLS"
    } else {
        "by TLS"
    };
    check("server", Fine, format!("{} answers, {by}", cache.base()))
}

/// Counters are for those who may read everything, and without them nothing is proven.
fn refused(connection: &Connection, said: &str) -> Check {
    let whose = if has_token(connection) {
        "it does not reach as far as the server's counters"
    } else {
        "none, and the server tells its counters only to those who may read everything"
    };
    check("token", Wrong, format!("{whose}: {said}"))
}

fn has_token(connection: &Connection) -> bool {
    connection.token().is_ok_and(|token| token.is_some())
}

fn clock(theirs: SystemTime) -> Check {
    let ours = SystemTime::now();
    let apart = ours
        .duration_since(theirs)
        .unwrap_or_else(|behind| behind.duration());
    let verdict = if apart > CLOCKS { Odd } else { Fine };
    let said = format!("{} s from the server's", apart.as_secs());
    check("clock", verdict, said)
}

fn version(theirs: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        return check("version", Fine, theirs);
    }
    let said = format!("the server's is {theirs}, this is {ours}");
    check("version", Odd, said)
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
    fn a_clock_that_is_far_off_is_odd_whichever_way() {
        let now = SystemTime::now();
        assert_eq!(clock(now).verdict, Fine);
        assert_eq!(clock(now + 2 * CLOCKS).verdict, Odd);
        assert_eq!(clock(now - 2 * CLOCKS).verdict, Odd);
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
