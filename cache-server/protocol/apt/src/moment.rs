//! A second of the wall clock, by which a client names a past state of an archive.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Seconds since 1970, in UTC.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize,
)]
pub(crate) struct Moment(u64);

impl Moment {
    /// `20260101T000000Z`: the basic form of ISO 8601, which archives of the past use.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let is_plain = |it: &str| it.bytes().all(|byte| byte.is_ascii_digit());
        if date.len() != 8 || time.len() != 6 || !is_plain(date) || !is_plain(time) {
            return None;
        }
        let (year, month, day) = (&date[..4], &date[4..6], &date[6..]);
        let (hour, minute, second) = (&time[..2], &time[2..4], &time[4..]);
        let long = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
        let moment = Self::of(humantime::parse_rfc3339(&long).ok()?);
        // A leap second would be another second's name.
        (moment.to_string() == text).then_some(moment)
    }

    /// The second that a time lies in.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        Self(since.unwrap_or_default().as_secs())
    }

    pub(crate) const fn of_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    pub(crate) const fn seconds(self) -> u64 {
        self.0
    }

    /// The second behind it.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The last second that a date of four digits can name.
const LAST: u64 = 253_402_300_799;

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.min(LAST));
        let long = humantime::format_rfc3339_seconds(time).to_string();
        f.write_str(&long.replace(['-', ':'], ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        let moment = Moment::parse("20260101T000000Z").unwrap();
        assert_eq!(moment.seconds(), 1_767_225_600);
        assert_eq!(moment.to_string(), "20260101T000000Z");
        assert_eq!(moment.next().to_string(), "20260101T000001Z");
        assert_eq!(Moment(u64::MAX).to_string(), "99991231T235959Z");
    }

    #[test]
    fn what_is_no_moment_is_none() {
        for text in [
            "",
            "20260101",
            "20260101T000000",
            "2026-01-01T00:00:00Z",
            "20261301T000000Z",
            "20260101T240000Z",
            "20260101T235960Z",
            "2026010\u{661}T000000Z",
            "+0260101T000000Z",
        ] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }
}
