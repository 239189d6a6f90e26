//! What a request would come to, without asking any origin: the same code runs, notes
//! what it looks for, and has what is kept.

use std::{cell::RefCell, time::Duration};

use cache_core::Blob;
use serde::Serialize;
use url::Url;

use crate::{
    Answer, Class, Error, Fetcher, Freshness, Resource, entry::Entry, fetcher::Inner,
    origin::Source,
};

tokio::task_local! {
    static STEPS: RefCell<Vec<Step>>;
}

/// One thing that a request looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The name under which it is kept, or its URL.
    pub key: String,
    /// `immutable`, `index`, or `unknown` for what is kept as its origin says.
    pub class: &'static str,
    /// How it is here.
    pub state: State,
    /// Where it would be asked for, in this order, without queries.
    pub sources: Vec<String>,
    /// What is here of it.
    #[serde(flatten)]
    pub kept: Option<Kept>,
}

/// How something is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It would be served without asking.
    Fresh,
    /// It would be served at once, and asked for meanwhile.
    Revalidating,
    /// Its origin would be asked first, and what is here served if it failed.
    Stale,
    /// Its origin would be asked, and what is here is too old to stand in.
    TooOld,
    /// Its origin said a moment ago that there is no such thing.
    KnownAbsent,
    /// It would be asked for.
    Absent,
}

/// What is here of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its content.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// The part of the store that has it.
    pub tier: &'static str,
    /// Where it came from, without its query; absent if another protocol brought it.
    pub from: Option<String>,
    /// Seconds since an origin stood by it.
    pub age: Option<u64>,
    /// Seconds for which it is fresh from now on.
    pub fresh_for: Option<u64>,
}

/// Runs a request's work, with every origin out of reach, and gives what it looked for.
pub async fn explained<W: Future>(work: W) -> (W::Output, Vec<Step>) {
    let noted = async {
        let output = work.await;
        (output, STEPS.with(RefCell::take))
    };
    STEPS.scope(RefCell::default(), noted).await
}

/// Whether this work is only explained: it begins nothing that would outlive it.
#[must_use]
pub fn is_explained() -> bool {
    STEPS.try_with(|_| ()).is_ok()
}

pub(crate) fn note(step: Step) {
    // Outside of an explanation nobody notes.
    let _ = STEPS.try_with(|steps| steps.borrow_mut().push(step));
}

impl Fetcher {
    /// As [`fetch`](Self::fetch), with what is kept alone.
    pub(crate) async fn explain(&self, resource: &Resource) -> Result<Answer, Error> {
        let refused = self.0.refusal(&resource.key);
        let found = self.kept(resource).await?;
        let entry = self.0.entry(&resource.key).await?;
        let mut step = Step {
            key: resource.key.to_string(),
            class: "immutable",
            state: State::Absent,
            sources: resource.sources.iter().map(plain).collect(),
            kept: None,
        };
        if let Class::Index(freshness) = resource.class {
            step.class = "index";
            let age = entry
                .as_ref()
                .map(|(entry, _)| entry.age(self.0.clock.wall()));
            step.state = age.map_or(State::Absent, |age| state(freshness, age));
            step.kept = entry
                .as_ref()
                .map(|(entry, blob)| self.0.of_entry(entry, blob, Some(freshness)));
        } else if let Some(found) = &found {
            step.state = State::Fresh;
            let blob = found.blob().await?;
            let entry = entry.as_ref().map(|(entry, _)| entry);
            step.kept = Some(match entry.filter(|entry| entry.target == *blob.digest()) {
                Some(entry) => self.0.of_entry(entry, &blob, None),
                None => of_blob(&blob),
            });
        }
        if step.state == State::Absent && refused.is_some() {
            step.state = State::KnownAbsent;
        }
        note(step);
        match (found, refused) {
            (Some(found), _) => Ok(Answer::Found(found)),
            (None, Some(refused)) => Ok(Answer::Refused(refused)),
            (None, None) => Err(Error::Offline),
        }
    }
}

impl Inner {
    fn of_entry(&self, entry: &Entry, blob: &Blob, freshness: Option<Freshness>) -> Kept {
        let age = entry.age(self.clock.wall());
        let left = |freshness: Freshness| freshness.fresh.saturating_sub(age).as_secs();
        Kept {
            from: without_query(&entry.from),
            age: Some(age.as_secs()),
            fresh_for: freshness.map(left),
            ..of_blob(blob)
        }
    }
}

pub(crate) fn of_blob(blob: &Blob) -> Kept {
    Kept {
        digest: blob.digest().to_string(),
        size: blob.size(),
        tier: blob.tier().label(),
        from: None,
        age: None,
        fresh_for: None,
    }
}

fn state(freshness: Freshness, age: Duration) -> State {
    let background = freshness.fresh + freshness.while_revalidating;
    if age <= freshness.fresh {
        State::Fresh
    } else if age <= background {
        State::Revalidating
    } else if age <= freshness.if_error {
        State::Stale
    } else {
        State::TooOld
    }
}

/// A query may have a signature in it.
pub(crate) fn plain(source: &Source) -> String {
    let mut url = source.url().clone();
    url.set_query(None);
    url.into()
}

fn without_query(url: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    url.set_query(None);
    Some(url.into())
}
