//! The last requests, for whoever wants to know who asked for something.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use cache_core::Outcome;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::{Client, Identity};

/// As many are remembered: some hundred bytes each.
const REMEMBERED: usize = 4096;
/// No more of a path is kept.
const LONGEST_PATH: usize = 512;

/// The last few thousand requests. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<PastRequest>>>);

/// A request that has ended.
#[derive(Clone, Debug, Serialize)]
pub struct PastRequest {
    /// Its path, without the query.
    pub path: Box<str>,
    /// When it ended, in seconds since 1970.
    #[serde(rename = "at", serialize_with = "seconds")]
    pub ended: SystemTime,
    /// The kind of program.
    #[serde(serialize_with = "client")]
    pub client: Client,
    /// Who asked, if that was found out.
    #[serde(rename = "principal", serialize_with = "principal")]
    pub identity: Option<Identity>,
    /// The response's status.
    pub status: u16,
    /// What it came to.
    #[serde(serialize_with = "outcome")]
    pub outcome: Outcome,
}

impl Recent {
    pub(crate) fn remember(&self, asked: PastRequest) {
        if asked.path.len() > LONGEST_PATH {
            return;
        }
        let mut all = self.0.lock();
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back(asked);
    }

    /// The newest requests for a path, at most `limit`, the newest first.
    #[must_use]
    pub fn of(&self, path: &str, limit: usize) -> Vec<PastRequest> {
        let all = self.0.lock();
        let matching = all.iter().rev().filter(|asked| &*asked.path == path);
        matching.take(limit).cloned().collect()
    }
}

fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    to.serialize_u64(since.unwrap_or_default().as_secs())
}

fn principal<S: Serializer>(identity: &Option<Identity>, to: S) -> Result<S::Ok, S::Error> {
    let name = identity.as_ref().map(Identity::name);
    name.serialize(to)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde wants"
)]
fn client<S: Serializer>(client: &Client, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(client.label())
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde wants"
)]
fn outcome<S: Serializer>(outcome: &Outcome, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(outcome.label())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(path: &str, status: u16) -> PastRequest {
        PastRequest {
            path: path.into(),
            ended: SystemTime::UNIX_EPOCH,
            client: Client::Pip,
            identity: None,
            status,
            outcome: Outcome::Hit,
        }
    }

    #[test]
    fn the_newest_of_a_path_come_first() {
        let recent = Recent::default();
        for status in [200, 304, 404] {
            recent.remember(asked("/a", status));
            recent.remember(asked("/b", 200));
        }
        let statuses: Vec<u16> = recent.of("/a", 2).iter().map(|it| it.status).collect();
        assert_eq!(statuses, [404, 304]);
        assert!(recent.of("/c", 2).is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let recent = Recent::default();
        recent.remember(asked("/first", 200));
        for _ in 0..REMEMBERED {
            recent.remember(asked("/a", 200));
        }
        assert!(recent.of("/first", 1).is_empty());
        recent.remember(asked(&"/x".repeat(LONGEST_PATH), 200));
        assert_eq!(recent.of("/a", usize::MAX).len(), REMEMBERED);
    }
}
