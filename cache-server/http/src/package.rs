//! Which package a request was about.

use std::sync::Arc;

use axum::response::Response;

/// A package, or a repository of images, for the access log. A handler that knows it
/// puts it on its response. There are too many of them for metric labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name, as its index writes it.
    pub name: Arc<str>,
    /// Its version, tag or digest, if the request was for one.
    pub version: Option<Arc<str>>,
}

impl Package {
    /// A package as a whole.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            version: None,
        }
    }

    /// One version of it.
    #[must_use]
    pub fn at(name: &str, version: &str) -> Self {
        Self {
            version: Some(version.into()),
            ..Self::named(name)
        }
    }

    /// Puts this on a response, in place of what was there.
    pub fn mark(self, response: &mut Response) {
        response.extensions_mut().insert(self);
    }
}
