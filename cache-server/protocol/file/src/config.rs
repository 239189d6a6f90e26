//! What an operator decides about files.

use cache_upstream::OriginConfig;
use serde::{Deserialize, Serialize};

/// Where files may be.
///
/// ```toml
/// origins = [{ url = "https://files.example/releases/" }]
/// ```
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// What lies below one of these is served. Of several that match, the longest is
    /// asked, with its login.
    pub origins: Vec<OriginConfig>,
    /// Whether redirects are handed to the client, which then goes past this server;
    /// otherwise they are followed here.
    pub pass_redirects: bool,
    /// Whether requests that may change something, as POST and PUT, are passed on too.
    pub pass_writes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_an_error_that_names_it() {
        let error = serde_json::from_str::<FileConfig>(r#"{"hosts": []}"#).unwrap_err();
        assert!(error.to_string().contains("`hosts`"), "{error}");
    }
}
