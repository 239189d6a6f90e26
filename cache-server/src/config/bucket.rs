//! A bucket that is the store, with the data folder as a cache before it.

use std::{fmt, path::PathBuf, str::FromStr};

use cache_core::{Period, Secret};
use cache_store::{BucketConfig, Credentials, Encryption, Provider};
use serde::{Deserialize, Serialize};
use url::Url;

/// A bucket.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSettings {
    /// As `s3://name/prefix`, `gs://name` or `az://container`.
    pub url: BucketUrl,
    /// Where the service is, as `http://minio:9000`; without it the provider's own place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<Url>,
    /// The region; without it what the environment says, or `us-east-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host; without it, if there is
    /// an endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
    /// An access key, or an account of Azure; without it the provider's usual chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The key's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret<String>>,
    /// Of credentials that end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<Secret<String>>,
    /// How the provider encrypts what it keeps.
    #[serde(default)]
    pub encryption: EncryptionMode,
    /// The key for `encryption = "kms"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key: Option<String>,
    /// Certificates (PEM) that are trusted besides the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorities: Option<PathBuf>,
    /// Requests at once, at most.
    #[serde(default = "default::requests")]
    pub requests: usize,
    /// How long one request is tried.
    #[serde(default = "default::patience")]
    pub patience: Period,
    /// How long a blob that was seen in the bucket is believed to be there.
    #[serde(default = "default::fresh")]
    pub fresh: Period,
    /// Set if a rule of the bucket removes what is old: what is used is written anew when
    /// it is older than this. What was used within the rule's period less this one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub touch_after: Option<Period>,
    /// How old what is said of a ref may be.
    #[serde(default = "default::fresh_refs")]
    pub fresh_refs: Period,
}

/// Encryption by the provider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EncryptionMode {
    /// As the bucket has it.
    #[default]
    Bucket,
    /// With keys that S3 keeps.
    Managed,
    /// With a key of the key management service.
    Kms,
}

/// Whose bucket, its name, and what its keys begin with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct BucketUrl {
    provider: Provider,
    bucket: String,
    prefix: String,
}

impl FromStr for BucketUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected s3://bucket/prefix, gs://bucket or az://container";
        let (scheme, rest) = text.split_once("://").ok_or(EXPECTED)?;
        let provider = match scheme {
            "s3" => Provider::S3,
            "gs" => Provider::Gcs,
            "az" => Provider::Azure,
            _ => return Err(EXPECTED),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_odd = |c: char| !c.is_ascii_alphanumeric() && !".-_".contains(c);
        if bucket.is_empty() || bucket.contains(is_odd) {
            return Err(EXPECTED);
        }
        Ok(Self {
            provider,
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

impl TryFrom<String> for BucketUrl {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<BucketUrl> for String {
    fn from(url: BucketUrl) -> Self {
        url.to_string()
    }
}

impl fmt::Display for BucketUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.provider, self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

impl BucketSettings {
    /// What no field can check alone; the field that is wrong, and why.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(_), None) => return Err("secret_access_key: is needed beside access_key_id"),
            (None, Some(_)) => return Err("access_key_id: is needed beside secret_access_key"),
            _ => {}
        }
        if let (EncryptionMode::Kms, None) = (self.encryption, &self.kms_key) {
            return Err("kms_key: is needed for this encryption");
        }
        match &self.endpoint {
            Some(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
                Err("endpoint: expected http://host:port or https://host")
            }
            _ => Ok(()),
        }
    }

    /// The store's own configuration; `spool` is a folder for what is on its way.
    pub(crate) fn config(&self, spool: PathBuf) -> BucketConfig {
        let credentials = self
            .access_key_id
            .clone()
            .zip(self.secret_access_key.clone());
        BucketConfig {
            provider: self.url.provider,
            bucket: self.url.bucket.clone(),
            prefix: self.url.prefix.clone(),
            endpoint: self.endpoint.as_ref().map(Url::to_string),
            region: self.region.clone(),
            path_style: self.path_style.unwrap_or(self.endpoint.is_some()),
            credentials: credentials.map(|(id, secret)| Credentials {
                id,
                secret,
                token: self.session_token.clone(),
            }),
            encryption: match (self.encryption, &self.kms_key) {
                (EncryptionMode::Managed, _) => Encryption::Managed,
                (EncryptionMode::Kms, Some(key)) => Encryption::Kms { key: key.clone() },
                (EncryptionMode::Kms, None) | (EncryptionMode::Bucket, _) => Encryption::Bucket,
            },
            authorities: self.authorities.clone(),
            requests: self.requests,
            patience: self.patience.0,
            fresh: self.fresh.0,
            fresh_refs: self.fresh_refs.0,
            touch_after: self.touch_after.map(|period| period.0),
            spool,
        }
    }
}

mod default {
    use cache_core::Period;

    pub(super) const fn requests() -> usize {
        256
    }

    pub(super) const fn patience() -> Period {
        Period::seconds(30)
    }

    pub(super) const fn fresh() -> Period {
        Period::seconds(300)
    }

    pub(super) const fn fresh_refs() -> Period {
        Period::seconds(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_named_by_their_url() {
        for text in ["s3://cache", "gs://a.b-c/builds/ci", "az://container/x"] {
            let url: BucketUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), text);
        }
        let url: BucketUrl = "s3://cache//a/".parse().unwrap();
        assert_eq!(url.to_string(), "s3://cache/a");
        for wrong in [
            "cache",
            "http://cache",
            "s3://",
            "s3:///a",
            "s3://a b",
            "s3://a@b",
        ] {
            assert!(wrong.parse::<BucketUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_that_go_together_are_asked_for_together() {
        let check = |more: &str| {
            let text = format!("url = \"s3://cache\"\n{more}");
            toml::from_str::<BucketSettings>(&text).map(|settings| settings.check())
        };
        assert_eq!(check(""), Ok(Ok(())));
        let rows = [
            ("access_key_id = 'a'", "secret_access_key:"),
            ("secret_access_key = 'a'", "access_key_id:"),
            ("encryption = 'kms'", "kms_key:"),
            ("endpoint = 'ftp://host'", "endpoint:"),
        ];
        for (more, expected) in rows {
            let told = check(more).unwrap().unwrap_err();
            assert!(told.starts_with(expected), "{more}: {told}");
        }
        for wrong in [
            "endpoint = 'nowhere'",
            "url = 'x'",
            "endpont = 'http://host'",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
