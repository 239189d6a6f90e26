//! How many files and connections the system lets us have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit to the most that is allowed, and logs it beside what the
/// configured connections need.
pub(crate) fn raise(connections: usize) {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    // A connection needs itself and mostly one file.
    let needed = connections.saturating_mul(2) as u64;
    if limit < needed {
        tracing::warn!(limit, needed, "few open files for limits.connections");
    } else {
        tracing::info!(limit, "open files");
    }
}
