//! What is withheld although an index has it: projects by name, and files that are too
//! young to have been looked at by anyone.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use crate::{
    config::PolicyConfig,
    error::PypiError,
    listing::Listing,
    name::{Pattern, Project},
};

/// The policy as configured.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
    min_age: Duration,
    exempt: Vec<Pattern>,
    dry_run: bool,
}

/// The places in a listing of the files that are withheld.
pub(crate) type Withheld = BTreeSet<usize>;

impl Policy {
    /// `Err` is the pattern that fits nothing.
    pub(crate) fn new(config: &PolicyConfig) -> Result<Self, String> {
        let patterns = |texts: &[String]| {
            let patterns = texts.iter();
            patterns
                .map(|text| Pattern::parse(text).ok_or_else(|| text.clone()))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            allow: patterns(&config.allow)?,
            deny: patterns(&config.deny)?,
            min_age: config.min_age.0,
            exempt: patterns(&config.exempt)?,
            dry_run: config.dry_run,
        })
    }

    /// Whether a project may be asked for at all.
    pub(crate) fn admit(&self, project: &Project) -> Result<(), PypiError> {
        let denied = fits(&self.deny, project);
        let unknown = !self.allow.is_empty() && !fits(&self.allow, project);
        if !denied && !unknown {
            return Ok(());
        }
        if self.dry_run {
            tracing::warn!(%project, "would be denied by the policy");
            return Ok(());
        }
        Err(PypiError::Policy)
    }

    /// The files that are too young. One whose page does not say when it was uploaded is
    /// not: HTML never says it.
    pub(crate) fn withheld(
        &self,
        project: &Project,
        listing: &Listing,
        now: SystemTime,
    ) -> Withheld {
        if self.min_age.is_zero() || fits(&self.exempt, project) {
            return Withheld::new();
        }
        // A file from the future is young.
        let oldest = now.checked_sub(self.min_age);
        let is_young = |time: SystemTime| oldest.is_none_or(|oldest| time > oldest);
        let files = listing.files.iter().enumerate();
        let young: Withheld = files
            .filter(|(_, file)| file.uploaded.is_some_and(is_young))
            .map(|(at, _)| at)
            .collect();
        if self.dry_run && !young.is_empty() {
            tracing::warn!(%project, files = young.len(), "would be withheld as too young");
            return Withheld::new();
        }
        young
    }
}

fn fits(patterns: &[Pattern], project: &Project) -> bool {
    patterns.iter().any(|pattern| pattern.fits(project))
}

/// A time as PEP 700 has it, `2026-01-31T12:34:56.789Z`; `None` for anything else.
pub(crate) fn time(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?, date.next()?, date.next()?);
    let (whole, _) = time.split_once('.').unwrap_or((time, ""));
    let mut time = whole.split(':').map(str::parse::<u64>);
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    let (year, month, day) = (year.ok()?, month.ok()?, day.ok()?);
    let (hour, minute, second) = (hour.ok()?, minute.ok()?, second.ok()?);
    let is_date = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && date.next().is_none();
    let is_time = hour < 24 && minute < 60 && second <= 60 && time.next().is_none();
    (is_date && is_time).then(|| {
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    })
}

/// Days from 1970 to a date of the Gregorian calendar.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    // The year begins in March here, so that the leap day is its last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_years = 365 * year + year / 4 - year / 100 + year / 400;
    // March to July have 153 days, and so have August to December.
    let of_months = (153 * month + 2) / 5;
    // 719468 from the first of March of the year 0 to 1970.
    of_years + of_months + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_second() {
        let seconds = |text| {
            let time = time(text)?;
            Some(
                time.duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap()
                    .as_secs(),
            )
        };
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2001-09-09T01:46:40.999999Z", 1_000_000_000),
            ("2026-11-21T11:40:00Z", 1_795_261_200),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "2026-11-21",
            "2026-11-21T11:40:00",
            "2026-11-21T11:40:00+01:00",
            "2026-13-21T11:40:00Z",
            "2026-00-21T11:40:00Z",
            "2026-11-21T25:40:00Z",
            "0000-01-01T00:00:00Z",
            "99999999999999999999-01-01T00:00:00Z",
            "2026-11-21-1T11:40:00Z",
            "é-é-éTé:é:éZ",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
