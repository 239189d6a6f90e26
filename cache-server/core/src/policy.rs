//! What is withheld although it is there: packages by name, and releases that are too
//! young to have been looked at by anyone.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::{Digest, Period};

/// What an operator withholds. A pattern is a name in which `*` stands for any characters.
///
/// ```toml
/// deny = ["left-pad"]
/// min_age = "3days"
/// min_age_exempt = ["acme-*"]
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// These are not served, whatever `allow` says.
    pub deny: Vec<String>,
    /// If there are any, only these are served.
    pub allow: Vec<String>,
    /// A release is withheld until it was published so long ago. One of which nobody says
    /// when that was is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_age: Option<Period>,
    /// These are served however young they are.
    pub min_age_exempt: Vec<String>,
    /// A file is served although its index once promised another digest for it. No public
    /// index ever does that; a private one where versions are published anew may.
    pub allow_changed: bool,
    /// What would be withheld is logged, and served.
    pub dry_run: bool,
}

/// The rules, ready to judge.
#[derive(Clone, Debug)]
pub struct Policy {
    deny: Vec<Pattern>,
    allow: Vec<Pattern>,
    min_age: Duration,
    exempt: Vec<Pattern>,
    allow_changed: bool,
    dry_run: bool,
    canonical: fn(&str) -> String,
}

/// What the rules say of a package or a release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Nothing against it.
    Pass,
    /// It is not to be served.
    Withheld(Reason),
    /// It would not be, but for the dry run.
    WouldWithhold(Reason),
}

/// Why something is withheld; its text is for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    rule: Rule,
    text: String,
}

/// A rule that something is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The name is on the list of those denied.
    Denied,
    /// There is a list of those allowed, and the name is not on it.
    NotAllowed,
    /// It was published too lately.
    TooNew,
    /// It is not what was promised before under the same version.
    Changed,
}

impl Rule {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NotAllowed => "not_allowed",
            Self::TooNew => "too_new",
            Self::Changed => "changed",
        }
    }
}

impl Reason {
    /// Of something against a rule, with these words.
    #[must_use]
    pub const fn new(rule: Rule, text: String) -> Self {
        Self { rule, text }
    }

    /// The rule that it is against.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        self.rule
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Policy {
    /// The rules of a configuration. Names that `canonical` makes equal are one, in
    /// patterns as in what is judged.
    #[must_use]
    pub fn new(config: PolicyConfig, canonical: fn(&str) -> String) -> Self {
        let patterns = |texts: Vec<String>| {
            let texts = texts.iter();
            texts.map(|text| Pattern::new(&canonical(text))).collect()
        };
        Self {
            deny: patterns(config.deny),
            allow: patterns(config.allow),
            min_age: config.min_age.map_or(Duration::ZERO, |period| period.0),
            exempt: patterns(config.min_age_exempt),
            allow_changed: config.allow_changed,
            dry_run: config.dry_run,
            canonical,
        }
    }

    /// Whether a package's releases have to be told apart.
    #[must_use]
    pub fn minds_age_of(&self, name: &str) -> bool {
        !self.min_age.is_zero() && !self.covers(&self.exempt, name)
    }

    /// Whether there is a rule at all.
    #[must_use]
    pub const fn has_rules(&self) -> bool {
        !(self.deny.is_empty() && self.allow.is_empty() && self.min_age.is_zero())
    }

    /// Whether all is served, and what would be withheld logged.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Judges a package.
    pub fn of_name(&self, name: &str) -> Verdict {
        if self.covers(&self.deny, name) {
            return self.against(Rule::Denied, format!("{name} is denied"));
        }
        if !self.allow.is_empty() && !self.covers(&self.allow, name) {
            let text = format!("{name} is not among those allowed");
            return self.against(Rule::NotAllowed, text);
        }
        Verdict::Pass
    }

    /// Judges a release of a package by when it was published, if that is known.
    pub fn of_release(
        &self,
        name: &str,
        version: &str,
        published: Option<SystemTime>,
        now: SystemTime,
    ) -> Verdict {
        let Some(published) = published else {
            return Verdict::Pass;
        };
        // A time that has not come is the age zero.
        let age = now.duration_since(published).unwrap_or_default();
        if age >= self.min_age || !self.minds_age_of(name) {
            return Verdict::Pass;
        }
        let left = Duration::from_secs((self.min_age - age).as_secs());
        let left = humantime::format_duration(left);
        let text = format!("{name} {version} is too new, for {left} yet");
        self.against(Rule::TooNew, text)
    }

    /// Judges a release whose index promised another digest for it before.
    pub fn of_change(&self, name: &str, version: &str, before: &Digest) -> Verdict {
        if self.allow_changed {
            return Verdict::Pass;
        }
        let text = format!("{name} {version} is not what it was before, {before}");
        self.against(Rule::Changed, text)
    }

    fn covers(&self, patterns: &[Pattern], name: &str) -> bool {
        !patterns.is_empty() && {
            let name = (self.canonical)(name);
            patterns.iter().any(|pattern| pattern.covers(&name))
        }
    }

    const fn against(&self, rule: Rule, text: String) -> Verdict {
        let reason = Reason::new(rule, text);
        if self.dry_run {
            Verdict::WouldWithhold(reason)
        } else {
            Verdict::Withheld(reason)
        }
    }
}

impl Verdict {
    /// What it is against, dry run or not.
    #[must_use]
    pub const fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Pass => None,
            Self::Withheld(reason) | Self::WouldWithhold(reason) => Some(reason),
        }
    }

    /// Why it is withheld, if it is.
    #[must_use]
    pub fn enforced(self) -> Option<Reason> {
        match self {
            Self::Withheld(reason) => Some(reason),
            Self::Pass | Self::WouldWithhold(_) => None,
        }
    }
}

/// A name in which `*` stands for any characters, also for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<String>);

impl Pattern {
    /// Reads one; every text is one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.split('*').map(ToOwned::to_owned).collect())
    }

    /// Whether it covers a name, to the letter.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some(mut name) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, between)) = rest.split_last() else {
            return name.is_empty();
        };
        // The leftmost place for each part leaves the most room for the others.
        for part in between {
            match name.split_once(part.as_str()) {
                Some((_, behind)) => name = behind,
                None => return false,
            }
        }
        name.ends_with(last.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn lower(name: &str) -> String {
        name.to_ascii_lowercase()
    }

    fn policy(config: PolicyConfig) -> Policy {
        Policy::new(config, lower)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn three_days() -> PolicyConfig {
        PolicyConfig {
            min_age: Some(Period(3 * DAY)),
            ..PolicyConfig::default()
        }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, covered) in [
            ("serde", "serde", true),
            ("serde", "Serde", false),
            ("serde", "serde-json", false),
            ("serde-*", "serde-json", true),
            ("serde-*", "serde", false),
            ("serde*", "serde", true),
            ("*-sys", "openssl-sys", true),
            ("*-sys", "sys", false),
            ("@acme/*", "@acme/a", true),
            ("@acme/*", "@acme-b/a", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("a**a", "aa", true),
            ("*", "x", true),
            ("*", "", true),
            ("", "x", false),
            ("é*", "éa", true),
        ] {
            assert_eq!(
                Pattern::new(pattern).covers(name),
                covered,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn deny_wins_over_allow_and_both_take_names_as_canonical() {
        let policy = policy(PolicyConfig {
            deny: names(&["Bad*"]),
            allow: names(&["*A", "bad"]),
            ..PolicyConfig::default()
        });
        let withheld = |name| matches!(policy.of_name(name), Verdict::Withheld(_));
        for (name, expected) in [("a", false), ("bA", false), ("b", true), ("BAD", true)] {
            assert_eq!(withheld(name), expected, "{name}");
        }
        let reason = Reason::new(Rule::Denied, "BadA is denied".to_owned());
        assert_eq!(policy.of_name("BadA"), Verdict::Withheld(reason));
        let unlisted = policy.of_name("b");
        let rule = unlisted.reason().map(Reason::rule);
        assert_eq!(rule, Some(Rule::NotAllowed));
    }

    #[test]
    fn what_changed_is_withheld_unless_that_is_allowed() {
        let digest = Digest::sha256(b"before");
        let allowing = |allow_changed, dry_run| {
            policy(PolicyConfig {
                allow_changed,
                dry_run,
                ..PolicyConfig::default()
            })
        };
        let verdict = |policy: Policy| policy.of_change("six", "1.0", &digest);
        assert_eq!(verdict(allowing(true, false)), Verdict::Pass);
        assert!(verdict(allowing(false, true)).enforced().is_none());
        let reason = verdict(allowing(false, false)).enforced().unwrap();
        assert_eq!(reason.rule(), Rule::Changed);
        assert!(reason.to_string().contains(&digest.to_string()));
    }

    #[test]
    fn a_release_is_withheld_until_it_is_old_enough() {
        let policy = policy(PolicyConfig {
            min_age_exempt: names(&["ours"]),
            ..three_days()
        });
        let now = SystemTime::UNIX_EPOCH + 10 * DAY;
        let of = |name, published| policy.of_release(name, "1.0", published, now);
        let text = "a 1.0 is too new, for 2days yet".to_owned();
        let reason = Reason::new(Rule::TooNew, text);
        assert_eq!(of("a", Some(now - DAY)), Verdict::Withheld(reason));
        assert_eq!(of("a", Some(now - 3 * DAY)), Verdict::Pass);
        assert!(matches!(of("a", Some(now + DAY)), Verdict::Withheld(_)));
        assert_eq!(of("a", None), Verdict::Pass);
        assert_eq!(of("Ours", Some(now)), Verdict::Pass);
        assert!(policy.minds_age_of("a") && !policy.minds_age_of("OURS"));
    }

    #[test]
    fn nothing_is_withheld_by_default() {
        let policy = policy(PolicyConfig::default());
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(policy.of_name("a"), Verdict::Pass);
        assert_eq!(policy.of_release("a", "1", Some(now), now), Verdict::Pass);
        assert!(!policy.minds_age_of("a") && !policy.has_rules());
    }

    #[test]
    fn a_dry_run_says_why_and_withholds_nothing() {
        let policy = policy(PolicyConfig {
            deny: names(&["a"]),
            dry_run: true,
            ..three_days()
        });
        let now = SystemTime::UNIX_EPOCH;
        let mut said = Vec::new();
        for verdict in [
            policy.of_name("a"),
            policy.of_release("b", "1", Some(now), now),
            policy.of_name("b"),
        ] {
            said.extend(verdict.reason().map(ToString::to_string));
            assert_eq!(verdict.enforced(), None);
        }
        assert_eq!(said, ["a is denied", "b 1 is too new, for 3days yet"]);
        assert!(policy.has_rules());
    }
}
