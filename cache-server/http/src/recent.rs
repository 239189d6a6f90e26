//! The last requests, for whoever wants to know who asked for something.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

use cache_core::{Outcome, Tier};
use http::Method;
use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use crate::{Client, Identity, Package, RequestId};

/// As many are remembered: some 400 bytes each.
const REMEMBERED: usize = 4096;
/// No more of a path is kept.
const LONGEST_PATH: usize = 512;

/// The last few thousand requests. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    last: VecDeque<PastRequest>,
    /// Requests that were remembered since the start.
    count: u64,
}

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
    /// Its id, if a layer gave it one.
    #[serde(skip)]
    pub id: Option<RequestId>,
    /// From its head to the end of its response's body.
    #[serde(skip)]
    pub duration: Duration,
    /// Its method.
    #[serde(skip)]
    pub method: Method,
    /// The protocol's short name.
    #[serde(skip)]
    pub protocol: &'static str,
    /// Where the bytes came from.
    #[serde(skip)]
    pub tier: Tier,
    /// Bytes of the response's body that were sent.
    #[serde(skip)]
    pub sent: u64,
    /// Which package it was about.
    #[serde(skip)]
    pub package: Option<Package>,
}

impl Recent {
    pub(crate) fn remember(&self, asked: PastRequest) {
        if asked.path.len() > LONGEST_PATH {
            return;
        }
        let mut all = self.0.lock();
        if all.last.len() == REMEMBERED {
            all.last.pop_front();
        }
        all.last.push_back(asked);
        all.count += 1;
    }

    /// The place behind which the newest `limit` requests are.
    #[must_use]
    pub fn place(&self, limit: usize) -> u64 {
        let all = self.0.lock();
        all.count - limit.min(all.last.len()) as u64
    }

    /// The requests behind a place, the newest last, and the place behind these. What was
    /// forgotten meanwhile is left out.
    #[must_use]
    pub fn since(&self, place: u64) -> (Vec<PastRequest>, u64) {
        let all = self.0.lock();
        let new = usize::try_from(all.count.saturating_sub(place)).unwrap_or(usize::MAX);
        let known = all.last.len().saturating_sub(new);
        (all.last.iter().skip(known).cloned().collect(), all.count)
    }

    /// The newest requests for a path, at most `limit`, the newest first.
    #[must_use]
    pub fn of(&self, path: &str, limit: usize) -> Vec<PastRequest> {
        let all = self.0.lock();
        let matching = all.last.iter().rev().filter(|asked| &*asked.path == path);
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
            id: None,
            duration: Duration::ZERO,
            method: Method::GET,
            protocol: "sea",
            tier: Tier::None,
            sent: 0,
            package: None,
        }
    }

    #[test]
    fn whoever_follows_sees_each_request_once() {
        let recent = Recent::default();
        assert_eq!(recent.place(10), 0);
        for status in [1, 2, 3] {
            recent.remember(asked("/a", status));
        }
        let statuses = |all: &[PastRequest]| all.iter().map(|it| it.status).collect::<Vec<_>>();
        let (first, place) = recent.since(recent.place(2));
        assert_eq!(statuses(&first), [2, 3]);
        assert_eq!(recent.since(place).0.len(), 0);
        recent.remember(asked("/a", 4));
        let (next, place) = recent.since(place);
        assert_eq!(statuses(&next), [4]);
        for _ in 0..2 * REMEMBERED {
            recent.remember(asked("/a", 5));
        }
        assert_eq!(
            recent.since(place).0.len(),
            REMEMBERED,
            "the rest is forgotten"
        );
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
