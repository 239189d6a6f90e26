//! What is logged, and how.

use cache_http::AccessLog;
use serde::{Deserialize, Serialize};

/// The log, which goes to standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// How lines look.
    pub format: LogFormat,
    /// The least severe level, as `info`, or directives per module, as
    /// `warn,access=info`.
    pub level: String,
    /// Which requests get a line.
    pub access: AccessLog,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            level: "info".to_owned(),
            access: AccessLog::default(),
        }
    }
}

/// How lines of the log look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}
