//! The readers of configurations, and of origins' URLs, for fuzz targets: none may panic,
//! whatever it is given.

use std::{collections::BTreeMap, sync::LazyLock};

use url::Url;

use crate::{
    config::{Config, Sources},
    transparent::Places,
};

/// Reads a configuration file, or the name of a setting and its value: the first byte says
/// which.
///
/// # Panics
/// If a configuration that was read cannot be printed, or an error says nothing.
pub fn config(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(rest);
    let read = if which % 2 == 0 {
        Config::of_text(&text)
    } else {
        Config::load(setting(&text))
    };
    match read {
        Ok(config) => {
            let printed = config.to_toml().expect("what was read can be printed");
            let _ = Places::of(&config);
            assert!(printed.contains("[store]"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A variable of the environment: the first line is its name, with dots.
fn setting(text: &str) -> Sources {
    let (name, value) = text.split_once('\n').unwrap_or((text, ""));
    let name = format!("CACHALOT_{}", name.replace('.', "__"));
    let environment = [("HOME", "/home/whale"), (&name, value)];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Sources {
        environment: environment
            .map(owned)
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
        ..Sources::default()
    }
}

const ORIGINS: &str = r#"
[store]
data = "/nowhere"
[[apt.archives]]
origin = { url = "https://deb.example/debian" }
[[cargo.registries]]
name = "c"
index = { url = "https://index.example/" }
downloads = [{ url = "https://crates.example/" }]
[[file.origins]]
url = "https://files.example/"
[[npm.registries]]
name = "n"
origin = { url = "https://npm.example/" }
[[pypi.indexes]]
name = "p"
simple = { url = "https://packages.example/simple/" }
files = [{ url = "https://wheels.example/packages/" }]
"#;

static PLACES: LazyLock<Places> = LazyLock::new(|| {
    let config = Config::of_text(ORIGINS);
    Places::of(&config.expect("it can be read"))
});

/// Reads a method and a URL: that of an origin, below `/t/`.
///
/// # Panics
/// If an origin's URL leads to what is no protocol's.
pub fn routes(input: &[u8]) {
    let Some((_, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    if let Some(led) = PLACES.path_for(&uri) {
        let protocols = [
            "/apt/",
            "/cargo/r/c/",
            "/npm/",
            "/pypi/p/",
            "/pypi/packages/p/",
        ];
        let is_one = protocols.iter().any(|it| led.path().starts_with(it));
        assert!(is_one, "{led}");
        assert_eq!(led.query(), uri.query());
    }
    if let Ok(url) = Url::parse(&uri.to_string())
        && let Some(path) = PLACES.path_of(&url)
    {
        assert!(path.path().starts_with("/t/"), "{path}");
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn configurations_that_were_hard_to_read() {
        replay("config", super::config);
    }

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }
}
