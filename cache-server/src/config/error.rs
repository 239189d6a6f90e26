//! What is wrong with a configuration, said so that one can find it.

use std::{fmt, net::SocketAddr};

use figment::{Figment, Metadata, Source, error::Kind};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Fields that are unknown, or hold something else than expected.
    #[error("{}", Lines(.0))]
    Fields(Vec<FieldError>),
    /// The file cannot be read.
    #[error("{path}: {cause}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Other machines could read and write everything.
    #[error(
        "server.listen: {0} can be reached from other machines, and nobody is asked who they \
         are; configure [auth] (users or tokens), or say --open (server.open = true) to let \
         everyone read and write"
    )]
    OpenToAll(SocketAddr),
    /// Eviction could not work.
    #[error(
        "store.low_watermark, store.high_watermark: {low} and {high}, expected \
         1 <= low < high <= 100 percent"
    )]
    Watermarks {
        /// The low one in percent.
        low: u8,
        /// The high one in percent.
        high: u8,
    },
    /// A setting of the bucket, and why it cannot be.
    #[error("store.bucket.{0}")]
    Bucket(&'static str),
}

/// One field that cannot be used.
#[derive(Debug)]
pub struct FieldError {
    field: String,
    problem: String,
    source: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.problem)?;
        match &self.source {
            Some(source) => write!(f, " ({source})"),
            None => Ok(()),
        }
    }
}

struct Lines<'a>(&'a [FieldError]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl ConfigError {
    /// Puts what figment says into our words.
    pub(super) fn from_figment(error: figment::Error, figment: &Figment) -> Self {
        Self::Fields(error.into_iter().map(|e| field(&e, figment)).collect())
    }
}

fn field(error: &figment::Error, figment: &Figment) -> FieldError {
    let mut path = error.path.clone();
    let problem = match &error.kind {
        Kind::UnknownField(name, expected) => {
            // At the top level figment has it in the path already.
            if path.last() != Some(name) {
                path.push(name.clone());
            }
            unknown(expected)
        }
        Kind::MissingField(name) => {
            path.push(name.clone().into_owned());
            "is needed".to_owned()
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!("{actual}, expected {expected}")
        }
        Kind::UnknownVariant(actual, expected) => {
            format!("{actual:?}, expected one of {}", expected.join(", "))
        }
        other => other.to_string(),
    };
    let field = path.join(".");
    // Of an unknown field, figment knows the section only.
    let metadata = figment.find_metadata(&field).or(error.metadata.as_ref());
    FieldError {
        source: metadata.map(source),
        field,
        problem,
    }
}

fn unknown(expected: &[&str]) -> String {
    if expected.is_empty() {
        return "there is no such field".to_owned();
    }
    format!("there is no such field; there are {}", expected.join(", "))
}

fn source(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(Source::File(path)) => format!("in {}", path.display()),
        _ => format!("from {}", metadata.name),
    }
}
