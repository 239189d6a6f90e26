//! What a packument says of its versions as a whole: which there are, when each was
//! published, and where that stands in it.

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use cache_core::Digest;
use quick_cache::{Weighter, sync::Cache};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    edits::Edits,
    members::{Member, Members},
};

/// The versions of a packument.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    versions: Members,
    times: Members,
    tags: Tags,
    /// Each version, and when it was published if that is said.
    published: HashMap<String, Option<SystemTime>>,
}

/// Those of packuments that were asked for of late, by the packument's digest.
pub(crate) type Recent = Cache<Digest, Arc<Releases>, Count>;

/// Weighs by a guess at the bytes in memory.
#[derive(Clone, Debug)]
pub(crate) struct Count;

impl Weighter<Digest, Arc<Releases>> for Count {
    fn weight(&self, _: &Digest, releases: &Arc<Releases>) -> u64 {
        /// Its name thrice, its places, its time and the table's share.
        const EACH: u64 = 384;
        (releases.versions.all().len() as u64 + 1) * EACH
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    versions: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow, rename = "dist-tags")]
    tags: Option<&'a RawValue>,
}

impl Releases {
    /// # Errors
    /// If it is no packument.
    pub(crate) fn parse(packument: &[u8]) -> Result<Self, serde_json::Error> {
        let wire: Wire<'_> = serde_json::from_slice(packument)?;
        let members = |value: Option<&RawValue>| match value {
            Some(value) => Members::parse(value, packument),
            None => Ok(Members::default()),
        };
        let times = members(wire.time)?;
        let times_of: HashMap<&str, SystemTime> = times
            .all()
            .iter()
            .filter_map(|member| Some((member.key.as_str(), time(member, packument)?)))
            .collect();
        let versions = members(wire.versions)?;
        let published = versions.all().iter().map(|member| {
            let time = times_of.get(member.key.as_str());
            (member.key.clone(), time.copied())
        });
        Ok(Self {
            published: published.collect(),
            tags: Tags::of(members(wire.tags)?, packument),
            versions,
            times,
        })
    }

    pub(crate) fn versions(&self) -> impl Iterator<Item = &str> {
        self.versions.all().iter().map(|member| member.key.as_str())
    }

    /// When a version was published, if that is said; `None` for one that is not listed.
    #[expect(
        clippy::option_option,
        reason = "not listed is not the same as not dated"
    )]
    pub(crate) fn published(&self, version: &str) -> Option<Option<SystemTime>> {
        self.published.get(version).copied()
    }

    /// What is to be done to the packument so that it has none of some versions.
    /// `published` says when each was.
    pub(crate) fn without(
        &self,
        withheld: impl Fn(&str) -> bool,
        published: impl Fn(&str) -> Option<SystemTime>,
    ) -> Edits {
        let mut edits = Edits::default();
        self.versions.cut(&withheld, &mut edits);
        // `created`, `modified` and what was unpublished are times of no version here.
        let listed = |key: &str| self.published.contains_key(key) && withheld(key);
        self.times.cut(listed, &mut edits);
        let stays = self.versions().filter(|version| !withheld(version));
        let latest = newest(stays, published);
        self.tags.repair(&withheld, latest, &mut edits);
        edits
    }
}

fn time(member: &Member, packument: &[u8]) -> Option<SystemTime> {
    let text: String = serde_json::from_slice(&packument[member.value.clone()]).ok()?;
    humantime::parse_rfc3339(&text).ok()
}

/// The version that was published last, of those that are no prerelease (semver, 9).
pub(crate) fn newest<'a>(
    versions: impl Iterator<Item = &'a str>,
    published: impl Fn(&str) -> Option<SystemTime>,
) -> Option<&'a str> {
    let is_release = |version: &&str| {
        let (precedence, _) = version.split_once('+').unwrap_or((version, ""));
        !precedence.contains('-')
    };
    versions
        .filter(is_release)
        .max_by_key(|version| published(version))
}

/// An object of versions by tag.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    members: Members,
    /// What is no text is no version.
    versions: Vec<Option<String>>,
}

impl Tags {
    /// # Errors
    /// If the document is no object.
    pub(crate) fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        let object: &RawValue = serde_json::from_slice(document)?;
        Ok(Self::of(Members::parse(object, document)?, document))
    }

    fn of(members: Members, document: &[u8]) -> Self {
        let version =
            |member: &Member| serde_json::from_slice(&document[member.value.clone()]).ok();
        let versions = members.all().iter().map(version).collect();
        Self { members, versions }
    }

    /// `latest` is for a version that can be had, and a tag that leads to none goes.
    pub(crate) fn repair(
        &self,
        withheld: impl Fn(&str) -> bool,
        latest: Option<&str>,
        edits: &mut Edits,
    ) {
        let mut gone = Vec::with_capacity(self.versions.len());
        for (member, version) in self.members.all().iter().zip(&self.versions) {
            let latest = latest.filter(|_| member.key == "latest");
            let leads_nowhere = version.as_deref().is_some_and(&withheld);
            gone.push(leads_nowhere && latest.is_none());
            if let Some(latest) = latest.filter(|_| leads_nowhere) {
                let latest = serde_json::Value::from(latest).to_string();
                edits.replace(member.value.clone(), latest);
            }
        }
        self.members.cut_these(&gone, edits);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;

    const PACKUMENT: &str = r#"{"name" : "six",
  "dist-tags" : { "beta":"2.0.0-b", "latest" :"1.1.0" , "old": "1.0.0", "odd": 1 },
  "versions": {"1.0.0": {"a": "}\"{,"} ,
    "1.1.0":{"b":[1.50]}
,"2.0.0-b" : { } },
  "time": {"modified":"1970-01-09T00:00:00.000Z","1.0.0":"1970-01-01T00:00:00.000Z", "1.1.0":"1970-01-05T00:00:00Z","2.0.0-b":"soon"},
  "readme": "\"versions\":{\"1.0.0\":{}}"}"#;

    fn without(packument: &str, withheld: &[&str]) -> String {
        let releases = Releases::parse(packument.as_bytes()).unwrap();
        let edits = releases.without(
            |version| withheld.contains(&version),
            |version| releases.published(version).flatten(),
        );
        let edited = edits.apply(Bytes::copy_from_slice(packument.as_bytes()));
        String::from_utf8(edited.to_vec()).unwrap()
    }

    #[test]
    fn versions_and_when_they_were_published_are_read() {
        let releases = Releases::parse(PACKUMENT.as_bytes()).unwrap();
        let versions: Vec<_> = releases.versions().collect();
        assert_eq!(versions, ["1.0.0", "1.1.0", "2.0.0-b"]);
        let day = |day: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 60 * 60);
        assert_eq!(releases.published("1.1.0"), Some(Some(day(4))));
        assert_eq!(releases.published("2.0.0-b"), Some(None));
        assert_eq!(releases.published("modified"), None);
    }

    #[test]
    fn what_stays_of_a_packument_is_the_same_to_the_byte() {
        assert_eq!(without(PACKUMENT, &[]), PACKUMENT);
        let first = PACKUMENT
            .replace(
                r#""1.0.0": {"a": "}\"{,"} ,
    "#,
                "",
            )
            .replace(r#","1.0.0":"1970-01-01T00:00:00.000Z""#, "")
            .replace(r#" , "old": "1.0.0""#, "");
        assert_eq!(without(PACKUMENT, &["1.0.0"]), first);
        let middle = PACKUMENT
            .replace(" ,\n    \"1.1.0\":{\"b\":[1.50]}", "")
            .replace(r#", "1.1.0":"1970-01-05T00:00:00Z""#, "")
            .replace(r#""latest" :"1.1.0""#, r#""latest" :"1.0.0""#);
        assert_eq!(without(PACKUMENT, &["1.1.0"]), middle);
        let last = PACKUMENT
            .replace("\n,\"2.0.0-b\" : { }", "")
            .replace(r#","2.0.0-b":"soon""#, "")
            .replace(r#""beta":"2.0.0-b", "#, "");
        assert_eq!(without(PACKUMENT, &["2.0.0-b"]), last);
    }

    #[test]
    fn every_choice_of_versions_leaves_a_packument_without_them() {
        let all = ["1.0.0", "1.1.0", "2.0.0-b"];
        for choice in 0..1 << all.len() {
            let is_gone = |at: &usize| choice >> at & 1 == 1;
            let gone: Vec<_> = (0..all.len()).filter(is_gone).map(|at| all[at]).collect();
            let edited: serde_json::Value =
                serde_json::from_str(&without(PACKUMENT, &gone)).unwrap();
            let mut expected: serde_json::Value = serde_json::from_str(PACKUMENT).unwrap();
            for version in &gone {
                for object in ["versions", "time"] {
                    let object = expected[object].as_object_mut().unwrap();
                    object.shift_remove(*version).unwrap();
                }
            }
            let stays = |version: &&&str| !gone.contains(*version);
            let latest = ["1.1.0", "1.0.0"].iter().find(stays);
            let tags = expected["dist-tags"].as_object_mut().unwrap();
            tags.retain(|tag, version| {
                tag == "latest" || !version.as_str().is_some_and(|it| gone.contains(&it))
            });
            match latest {
                Some(latest) => tags["latest"] = (*latest).into(),
                None => drop(tags.shift_remove("latest")),
            }
            assert_eq!(edited, expected, "{gone:?}");
        }
    }

    #[test]
    fn the_newest_release_is_by_time_and_no_prerelease() {
        let day = |day| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(day));
        let published = |version: &str| match version {
            "1.0.0" => day(1),
            "2.0.0+a-b" => day(2),
            "3.0.0-rc.1" => day(3),
            _ => None,
        };
        let of = |versions: &[&'static str]| newest(versions.iter().copied(), published);
        assert_eq!(of(&["2.0.0+a-b", "1.0.0", "3.0.0-rc.1"]), Some("2.0.0+a-b"));
        assert_eq!(of(&["1.0.0", "undated"]), Some("1.0.0"));
        assert_eq!(of(&["3.0.0-rc.1"]), None);
    }

    #[test]
    fn tags_are_repaired_wherever_they_stand() {
        for (tags, repaired) in [
            (
                " {\n \"latest\": \"2\", \"a\": \"1\"}\n",
                " {\n \"latest\": \"1\", \"a\": \"1\"}\n",
            ),
            (r#"{"a":"2","b":"2","latest":"1"}"#, r#"{"latest":"1"}"#),
            (r#"{"a":"2"}"#, "{}"),
            ("{}", "{}"),
        ] {
            let mut edits = Edits::default();
            let read = Tags::parse(tags.as_bytes()).unwrap();
            read.repair(|version| version == "2", Some("1"), &mut edits);
            assert_eq!(edits.apply(Bytes::from(tags)), repaired);
        }
        assert!(Tags::parse(b"[]").is_err());
    }

    #[test]
    fn what_is_no_packument_is_an_error_and_a_poor_one_is_not() {
        for bad in [
            "",
            "[]",
            r#"{"versions":[]}"#,
            r#"{"versions":{},"versions":{}}"#,
        ] {
            assert!(Releases::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        for poor in [
            r#"{"versions":{}}"#,
            r#"{"name":"six"}"#,
            r#"{"versions":{"1":{}},"time":{"1":1}}"#,
        ] {
            assert_eq!(without(poor, &["1.0.0"]), poor);
        }
    }
}
