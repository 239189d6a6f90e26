//! Where settings come from. Nothing is read from the process but what is passed in.

use std::{collections::BTreeMap, fs, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};

use super::{Config, ConfigError};

/// The prefix of our environment variables.
const PREFIX: &str = "CACHALOT_";
/// Stands for the dot of `section.key`. Variables without it are not ours:
/// Kubernetes sets `CACHALOT_PORT` for a service of this name.
const DOT: &str = "__";

/// The origins that are asked if nothing else is configured.
const UPSTREAMS: &str = include_str!("upstreams.toml");

/// Everything a configuration is made of; each field outranks those before it.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Environment variables: `CACHALOT_SECTION__KEY`, and those that name the
    /// user's folders.
    pub environment: BTreeMap<String, String>,
    /// Flags: the setting, as `server.listen`, and its value.
    pub flags: Vec<(&'static str, String)>,
}

impl Sources {
    pub(super) fn extract(self) -> Result<Config, ConfigError> {
        let mut figment = Figment::from(Toml::string(UPSTREAMS));
        if let Some(folder) = user_data(&self.environment) {
            let setting = Setting::new("the user's data folder", "store.data", folder.into());
            figment = figment.merge(setting);
        }
        if let Some(path) = &self.file {
            // Figment takes an absent file for an empty one.
            fs::metadata(path).map_err(|cause| ConfigError::File {
                path: path.display().to_string(),
                cause,
            })?;
            figment = figment.merge(Toml::file_exact(path));
        }
        for (name, value) in &self.environment {
            let Some(key) = name.strip_prefix(PREFIX).filter(|key| key.contains(DOT)) else {
                continue;
            };
            let key = key.replace(DOT, ".").to_ascii_lowercase();
            let origin = format!("the environment variable {name}");
            figment = figment.merge(Setting::new(origin, key, parse(value)));
        }
        for (key, value) in &self.flags {
            let origin = format!("the flag for {key}");
            figment = figment.merge(Setting::new(origin, *key, parse(value)));
        }
        extract(&figment)
    }

    /// The same of a file's text.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn of_text(text: &str) -> Result<Config, ConfigError> {
        static ORIGINS: std::sync::LazyLock<Figment> =
            std::sync::LazyLock::new(|| Figment::from(Toml::string(UPSTREAMS)));
        extract(&ORIGINS.clone().merge(Toml::string(text)))
    }
}

fn extract(figment: &Figment) -> Result<Config, ConfigError> {
    figment
        .extract()
        .map_err(|error| ConfigError::from_figment(error, figment))
}

/// `$XDG_DATA_HOME/cachalot`, or its default (XDG Base Directory Specification).
fn user_data(environment: &BTreeMap<String, String>) -> Option<String> {
    let named = |name: &str| environment.get(name).filter(|path| path.starts_with('/'));
    let data = named("XDG_DATA_HOME").cloned();
    let data = data.or_else(|| named("HOME").map(|home| format!("{home}/.local/share")))?;
    Some(format!("{data}/cachalot"))
}

/// Numbers, booleans and `[lists]` are such; all else is text.
fn parse(text: &str) -> Value {
    // Figment 0.10.19 counts characters where bytes are meant when it takes an escape out of
    // a quoted string: such text loses some, or ends the program. TOML's reader does not.
    if text.contains('"') && text.contains('\\') && !text.is_ascii() {
        let value = Figment::from(Toml::string(&format!("value = {text}")));
        return value
            .extract_inner("value")
            .unwrap_or_else(|_| Value::from(text));
    }
    match text.parse() {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// One setting with its origin.
struct Setting {
    origin: String,
    key: String,
    value: Value,
}

impl Setting {
    fn new(origin: impl Into<String>, key: impl Into<String>, value: Value) -> Self {
        Self {
            origin: origin.into(),
            key: key.into(),
            value,
        }
    }
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let nested = nest(&self.key, self.value.clone());
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}
