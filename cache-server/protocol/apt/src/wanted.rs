//! Which indexes of a suite clients use: those that a new release must have.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use crate::path::Path;

/// What nobody asked for in so long is not waited for.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Times are kept no finer, so that few requests write.
const COARSE: Duration = Duration::from_secs(60 * 60);
/// No client uses nearly so many indexes of a suite.
const MOST: usize = 256;

/// Paths below the suite, and when each was last asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted(HashMap<Path, SystemTime>);

impl Wanted {
    /// Reads what [`Self::to_json`] wrote.
    pub(crate) fn of_json(json: &[u8]) -> Self {
        let stored: HashMap<String, u64> = serde_json::from_slice(json).unwrap_or_default();
        let read = stored.into_iter().filter_map(|(path, seconds)| {
            let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
            Some((Path::of_text(&path)?, time))
        });
        Self(read.collect())
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let seconds = |time: &SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_secs()
        };
        let stored: HashMap<_, _> = self
            .0
            .iter()
            .map(|(p, t)| (p.as_str(), seconds(t)))
            .collect();
        serde_json::to_vec(&stored).unwrap_or_default()
    }

    /// Adds a path; whether that is worth keeping, and whether the path is new.
    pub(crate) fn add(&mut self, path: &Path, now: SystemTime) -> Added {
        if let Some(time) = self.0.get_mut(path) {
            let is_recent = now.duration_since(*time).is_ok_and(|age| age < COARSE);
            if is_recent {
                return Added::Nothing;
            }
            *time = now;
            return Added::Time;
        }
        self.0.retain(|_, time| is_remembered(*time, now));
        if self.0.len() >= MOST {
            let oldest = self.0.iter().min_by_key(|(_, time)| **time);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(path.clone(), now);
        Added::Path
    }

    /// The paths that count.
    pub(crate) fn paths(&self, now: SystemTime) -> Vec<Path> {
        let recent = self.0.iter().filter(|(_, time)| is_remembered(**time, now));
        recent.map(|(path, _)| path.clone()).collect()
    }
}

/// What adding a path changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Nothing,
    Time,
    Path,
}

/// A time ahead of the clock is one of a clock that was set back.
fn is_remembered(time: SystemTime, now: SystemTime) -> bool {
    now.duration_since(time).is_ok_and(|age| age < REMEMBERED) || time > now
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        Path::of_text(text).unwrap()
    }

    #[test]
    fn a_week_without_a_request_is_forgotten() {
        let start = SystemTime::UNIX_EPOCH + REMEMBERED;
        let mut wanted = Wanted::default();
        assert_eq!(wanted.add(&path("a"), start), Added::Path);
        assert_eq!(wanted.add(&path("a"), start), Added::Nothing);
        assert_eq!(wanted.add(&path("a"), start + COARSE), Added::Time);
        let wanted = Wanted::of_json(&wanted.to_json());
        assert_eq!(wanted.paths(start + REMEMBERED), [path("a")]);
        assert!(wanted.paths(start + COARSE + REMEMBERED).is_empty());
    }

    #[test]
    fn the_paths_are_bounded() {
        let mut wanted = Wanted::default();
        for i in 0..2 * MOST as u64 {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(i);
            wanted.add(&path(&format!("p{i}")), now);
        }
        let paths = wanted.paths(SystemTime::UNIX_EPOCH + Duration::from_secs(1000));
        assert_eq!(paths.len(), MOST);
        assert!(paths.contains(&path(&format!("p{}", 2 * MOST - 1))));
    }
}
