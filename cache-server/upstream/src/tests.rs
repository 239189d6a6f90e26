//! The engine against an origin that does what a test says.

mod explaining;
mod faults;
mod forwarding;
mod freshness;
mod no_room;
mod places;
mod relaying;
mod sharing;
mod tokens;
mod versions;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cache_core::{Cache, Digest, ManualClock, Memory, Outcome, Period};
use futures::TryStreamExt;
use prometheus::Registry;

use crate::{
    Answer, Class, Demand, Error, Fetcher, Found, Freshness, Origin, OriginConfig, Refused,
    Resource, UpstreamConfig, key,
    testing::{FakeOrigin, Page},
};

const FRESHNESS: Freshness = Freshness {
    fresh: Duration::from_secs(60),
    while_revalidating: Duration::from_secs(600),
    if_error: Duration::from_secs(86_400),
};
const INDEX: Class = Class::Index(FRESHNESS);

/// Far more than anything here takes, and far less than a hang.
const SOON: Duration = Duration::from_secs(20);

/// A fetcher over a store in memory, and one origin for it.
struct Rig {
    origin: FakeOrigin,
    fetcher: Fetcher,
    store: Memory,
    clock: Arc<ManualClock>,
}

impl Rig {
    async fn new() -> Self {
        Self::with(patient()).await
    }

    async fn with(config: UpstreamConfig) -> Self {
        let (origin, store) = (FakeOrigin::start().await, Memory::default());
        let clock = Arc::new(ManualClock::default());
        let fetcher = fetcher(&store, &clock, config);
        Self {
            origin,
            fetcher,
            store,
            clock,
        }
    }

    fn resource(&self, path: &str, class: Class) -> Resource {
        resource(&[self.origin.config()], path, class)
    }

    async fn fetch(&self, path: &str, class: Class) -> Result<Found, Error> {
        found(&self.fetcher, &self.resource(path, class)).await
    }

    /// The same, with what its bytes must hash to.
    async fn expect(&self, path: &str, bytes: &[u8]) -> Result<Found, Error> {
        let mut resource = self.resource(path, Class::Immutable);
        resource.digest = Some(Digest::sha256(bytes));
        found(&self.fetcher, &resource).await
    }
}

/// Time limits that no test reaches, on the busiest machine.
fn patient() -> UpstreamConfig {
    UpstreamConfig::default()
}

/// Time limits that a test can wait for.
fn impatient() -> UpstreamConfig {
    UpstreamConfig {
        answer_timeout: Period(Duration::from_millis(500)),
        stall_timeout: Period(Duration::from_millis(400)),
        ..UpstreamConfig::default()
    }
}

fn fetcher(store: &Memory, clock: &Arc<ManualClock>, config: UpstreamConfig) -> Fetcher {
    let cache = Cache::new(Arc::new(store.clone()), Arc::new(store.clone()));
    Fetcher::new(cache, config, Arc::clone(clock) as _, &Registry::new()).unwrap()
}

fn resource(origins: &[OriginConfig], path: &str, class: Class) -> Resource {
    let key = key(&"test/main".parse().unwrap(), path).unwrap();
    let sources = origins.iter().map(|config| {
        let origin = Arc::new(Origin::new(config.clone()).unwrap());
        origin.at(path).unwrap()
    });
    Resource::new("test", key, sources.collect(), class)
}

async fn found(fetcher: &Fetcher, resource: &Resource) -> Result<Found, Error> {
    match answer(fetcher, resource, Demand::Any).await? {
        Answer::Found(found) => Ok(found),
        Answer::Refused(refused) => panic!("{refused:?}"),
    }
}

async fn refused(fetcher: &Fetcher, resource: &Resource) -> Refused {
    match answer(fetcher, resource, Demand::Any).await.unwrap() {
        Answer::Refused(refused) => refused,
        Answer::Found(found) => panic!("{found:?}"),
    }
}

async fn answer(fetcher: &Fetcher, resource: &Resource, demand: Demand) -> Result<Answer, Error> {
    let answer = tokio::time::timeout(SOON, fetcher.fetch(resource, demand)).await;
    answer.expect("an answer in time")
}

/// The whole body as a client would read it.
async fn read(found: &Found) -> cache_core::Result<Bytes> {
    let stream = found.content().stream(0..found.size.unwrap_or(u64::MAX));
    let parts = tokio::time::timeout(SOON, stream.try_collect::<Vec<_>>()).await;
    Ok(parts.expect("an end in time")?.concat().into())
}

async fn read_range(found: &Found, range: std::ops::Range<u64>) -> cache_core::Result<Bytes> {
    let stream = found.content().stream(range);
    Ok(stream.try_collect::<Vec<_>>().await?.concat().into())
}

/// What a request came to, and its bytes.
async fn whole(found: Result<Found, Error>) -> (Outcome, Bytes) {
    let found = found.unwrap();
    (found.outcome, read(&found).await.unwrap())
}

/// Waits until no transfer is under way any more.
async fn settled(rig: &Rig) {
    let settled = async {
        while !rig.fetcher.0.flights.is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(SOON, settled).await.unwrap();
}

fn page(seed: u64, length: usize) -> (Bytes, Page) {
    let bytes = cache_core::testing::pattern(length, seed);
    (bytes.clone(), Page::new(bytes))
}
