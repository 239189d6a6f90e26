//! Instance names: the namespaces of the Remote Execution API.

use std::fmt;

use cache_core::{Digest, Namespace, RefKey};

use crate::error::{ReapiError, Result};

/// Begins the namespace of every instance.
pub(crate) const INSTANCES: &str = "reapi/";

/// Longer ones are refused: with [`INSTANCES`] they fit a namespace's 512 bytes.
const LONGEST: usize = 400;

/// What no segment of an instance name may be, for it begins the rest of a resource name
/// (remote_execution.proto, "resource names").
const RESERVED: [&str; 7] = [
    "blobs",
    "uploads",
    "actions",
    "actionResults",
    "operations",
    "capabilities",
    "compressed-blobs",
];

/// The name of an instance, which may be empty or have several segments, as `team/app`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Instance(String);

impl Instance {
    /// Reads one.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        if name.len() > LONGEST {
            return Err(ReapiError::Instance("longer than 400 bytes"));
        }
        // The first two could be read in two ways by whoever stands before us.
        let is_strange = |it: char| it == '%' || it == '\\' || it.is_control();
        if name.contains(is_strange) {
            return Err(ReapiError::Instance(
                "with a character that it may not have",
            ));
        }
        let mut segments = name.split('/');
        if !name.is_empty() && segments.clone().any(|it| matches!(it, "" | "." | "..")) {
            return Err(ReapiError::Instance(
                "with an empty segment, a '.' or a '..'",
            ));
        }
        if segments.any(|it| RESERVED.contains(&it)) {
            return Err(ReapiError::Instance("with a reserved word"));
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the result of an action is kept.
    pub(crate) fn action(&self, action: &Digest) -> RefKey {
        let namespace: Result<Namespace, _> = format!("{INSTANCES}{self}").parse();
        let namespace = namespace.expect("at most 406 bytes without control characters");
        let name = format!("ac/{}/{}", action.algorithm().name(), action.hex());
        RefKey::new(namespace, name).expect("an algorithm's name and at most 128 digits")
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
