//! Resources that nobody knows the class of: what their origin says of caching is kept
//! to (RFC 9111, as a shared cache).

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod record;
mod rules;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cache_core::{
    Binding, Blob, Change, Content, Durability, Grower, Namespace, Outcome, Ref, Tier, Upload,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use url::Url;

use self::record::Record;
use crate::{
    Error, Fetcher, Forward, Source,
    client::host,
    download::Download,
    error::Failure,
    explain::{self, State},
    fetcher::Inner,
    headers::{Validators, without_hops},
    metrics::Reason,
    passing::Passing,
    transfer::Transfer,
};

/// How long a stored response may be served because its origin does not answer, if it
/// does not say itself.
const IN_NEED: Duration = Duration::from_secs(60 * 60);

/// A request for something of unknown class.
#[derive(Clone, Debug)]
pub struct Relay {
    /// The namespace under which the answer is kept, as `file/main`.
    pub namespace: Namespace,
    /// The protocol's short name, a metric label.
    pub protocol: &'static str,
    /// Any but CONNECT.
    pub method: Method,
    /// The client's headers. Those of its connection are not passed on, nor are its
    /// conditions: they are judged against the whole that is kept.
    pub headers: HeaderMap,
    /// The body, as the client sent it.
    pub body: Bytes,
    /// Whether redirects are followed here; otherwise the client gets them.
    pub follows: bool,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Relayed {
    /// The origin's status; 504 if a client wanted nothing but what is here.
    pub status: StatusCode,
    /// Its headers without those of one connection, and with the age now.
    pub headers: HeaderMap,
    /// The body; it may be readable only once.
    pub content: Arc<dyn Content>,
    /// Its length in bytes, if it is known before the end.
    pub size: Option<u64>,
    /// What the request came to.
    pub outcome: Outcome,
    /// Where the bytes come from.
    pub tier: Tier,
}

/// The client's conditions: an origin is asked without them.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

impl Fetcher {
    /// The answer to a request for something of unknown class, from the store if its
    /// origin allows that.
    ///
    /// # Errors
    /// [`Error`], if its origin cannot be asked and nothing stored may stand in.
    pub async fn relay(&self, source: &Source, relay: Relay) -> Result<Relayed, Error> {
        let relaying = Relaying {
            inner: Arc::clone(&self.0),
            source: source.clone(),
            relay,
        };
        relaying.answer().await
    }
}

#[derive(Clone)]
struct Relaying {
    inner: Arc<Inner>,
    source: Source,
    relay: Relay,
}

/// An answer's head, and how long it took.
struct Head {
    response: reqwest::Response,
    delay: Duration,
}

impl Relaying {
    async fn answer(self) -> Result<Relayed, Error> {
        if !matches!(self.relay.method, Method::GET | Method::HEAD) {
            return self.change().await;
        }
        let stored = self.stored().await?;
        if explain::is_explained() {
            return self.explain(stored);
        }
        if let Some((record, blob)) = &stored
            && self.is_fresh(record)
        {
            return Ok(self.reuse(record, blob, Outcome::Hit));
        }
        if self.inner.config.offline {
            let (record, blob) = stored.ok_or(Error::Offline)?;
            return Ok(self.reuse(&record, &blob, Outcome::HitStale));
        }
        let asked = rules::Directives::of(&self.relay.headers);
        if asked.has("only-if-cached") {
            return Ok(nothing(StatusCode::GATEWAY_TIMEOUT));
        }
        self.ask(stored).await
    }

    fn explain(&self, stored: Option<(Record, Blob)>) -> Result<Relayed, Error> {
        let state = match &stored {
            None => State::Absent,
            Some((record, _)) if self.is_fresh(record) => State::Fresh,
            Some(_) => State::Stale,
        };
        let now = self.inner.clock.wall();
        let kept = stored.as_ref().map(|(record, blob)| explain::Kept {
            from: Some(explain::plain(&self.source)),
            age: Some(self.age(record, now).as_secs()),
            ..explain::of_blob(blob)
        });
        explain::note(explain::Step {
            key: explain::plain(&self.source),
            class: "unknown",
            state,
            sources: vec![explain::plain(&self.source)],
            kept,
        });
        let (record, blob) = stored.ok_or(Error::Offline)?;
        Ok(self.reuse(&record, &blob, Outcome::Hit))
    }

    /// Asks the origin, for a confirmation if there is something to confirm.
    async fn ask(self, stored: Option<(Record, Blob)>) -> Result<Relayed, Error> {
        let known = stored.as_ref().map(|(record, _)| &record.headers);
        let head = match self.send(known).await {
            Ok(head) if !is_failing(head.response.status()) => head,
            other => return self.in_need(stored, other),
        };
        let Some((record, blob)) = stored.as_ref() else {
            return self.pass_on(head).await;
        };
        if head.response.status() != StatusCode::NOT_MODIFIED {
            return self.pass_on(head).await;
        }
        if let Some(record) = self.confirm(record, &head) {
            self.keep(&record).await;
            return Ok(self.reuse(&record, blob, Outcome::Revalidated));
        }
        // It is about another version: the whole, then.
        let head = self.send(None).await?;
        self.pass_on(head).await
    }

    fn confirm(&self, record: &Record, head: &Head) -> Option<Record> {
        let newer = without_hops(head.response.headers());
        Some(Record {
            headers: rules::confirmed(&record.headers, &newer)?,
            received: self.inner.clock.wall(),
            delay: head.delay,
            ..record.clone()
        })
    }

    /// What to do with an origin that does not answer, or fails.
    fn in_need(
        self,
        stored: Option<(Record, Blob)>,
        failed: Result<Head, Failure>,
    ) -> Result<Relayed, Error> {
        let now = self.inner.clock.wall();
        let good = stored.filter(|(record, _)| {
            let age = self.age(record, now);
            rules::is_good_in_need(&record.headers, record.received, age, IN_NEED)
        });
        match (good, failed) {
            (Some((record, blob)), _) => {
                self.inner.metrics.stale(self.relay.protocol, "error");
                Ok(self.reuse(&record, &blob, Outcome::HitStale))
            }
            (None, Ok(head)) => Ok(self.pass(head.response, Outcome::Error)),
            (None, Err(failure)) => Err(failure.into()),
        }
    }

    async fn stored(&self) -> Result<Option<(Record, Blob)>, Error> {
        let (namespace, url) = (&self.relay.namespace, self.source.url());
        let Ok(key) = record::key(namespace, url) else {
            return Ok(None);
        };
        let refs = self.inner.cache.refs();
        let varies = refs.resolve(&key).await?;
        let Some(names) = varies.as_ref().and_then(record::varies_by) else {
            return Ok(None);
        };
        let Ok(key) = record::variant(namespace, url, &names, &self.relay.headers) else {
            return Ok(None);
        };
        let Some(record) = refs.resolve(&key).await?.as_ref().and_then(of) else {
            return Ok(None);
        };
        let blob = self.inner.cache.blobs().open(&record.target).await?;
        Ok(blob.map(|blob| (record, blob)))
    }

    fn age(&self, record: &Record, now: SystemTime) -> Duration {
        rules::age(&record.headers, record.received, record.delay, now)
    }

    fn is_fresh(&self, record: &Record) -> bool {
        let age = self.age(record, self.inner.clock.wall());
        let request = &self.relay.headers;
        rules::is_fresh_enough(request, &record.headers, record.received, age)
    }

    fn reuse(&self, record: &Record, blob: &Blob, outcome: Outcome) -> Relayed {
        let mut headers = record.headers.clone();
        let age = self.age(record, self.inner.clock.wall()).as_secs();
        headers.insert(header::AGE, age.into());
        Relayed {
            status: record.status,
            headers,
            content: blob.content(),
            size: Some(blob.size()),
            outcome,
            tier: blob.tier(),
        }
    }

    async fn send(&self, known: Option<&HeaderMap>) -> Result<Head, Failure> {
        let inner = &self.inner;
        inner.admits(&self.source)?;
        let mut headers = without_hops(&self.relay.headers);
        headers.remove(header::HOST);
        if self.source.origin.logs_in() {
            headers.remove(header::AUTHORIZATION);
        }
        if matches!(self.relay.method, Method::GET | Method::HEAD) {
            for name in CONDITIONS {
                headers.remove(name);
            }
            let identity = HeaderValue::from_static("identity");
            headers.insert(header::ACCEPT_ENCODING, identity);
        }
        if let Some(known) = known {
            let known = Validators::of(known);
            let names = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];
            for (name, value) in names.into_iter().zip([known.etag, known.last_modified]) {
                if let Some(value) = value {
                    headers.insert(name, value);
                }
            }
        }
        let start = Instant::now();
        let forward = Forward {
            method: self.relay.method.clone(),
            headers,
            body: self.relay.body.clone(),
        };
        let follows = self.relay.follows;
        let sent = inner.client.relay(&self.source, forward, follows).await;
        inner.judge(&self.source, sent.as_ref().err());
        let (response, delay) = (sent?, start.elapsed());
        let code = response.status().as_u16();
        let (protocol, origin) = (self.relay.protocol, &self.source.origin);
        inner
            .metrics
            .answered(protocol, origin, code, delay.as_secs_f64());
        Ok(Head { response, delay })
    }

    /// A response that is not what is stored: kept if it may be.
    async fn pass_on(self, head: Head) -> Result<Relayed, Error> {
        let headers = without_hops(head.response.headers());
        let (method, status) = (&self.relay.method, head.response.status());
        if !rules::may_store(method, &self.relay.headers, status, &headers) {
            return Ok(self.pass(head.response, Outcome::Miss));
        }
        let size = length(&headers);
        let upload = Upload {
            size,
            ..Upload::default()
        };
        let Ok(mut writer) = self.inner.cache.blobs().create(upload).await else {
            return Ok(self.pass(head.response, Outcome::Miss));
        };
        let (grower, transfer) = Transfer::begin(headers.clone(), size, writer.taken());
        let record = Record {
            target: cache_core::Digest::sha256(b""),
            status,
            headers: headers.clone(),
            received: self.inner.clock.wall(),
            delay: head.delay,
        };
        tokio::spawn(self.store(head.response, record, writer, grower));
        Ok(Relayed {
            status,
            headers,
            content: transfer.content(),
            size,
            outcome: Outcome::Miss,
            tier: Tier::Upstream,
        })
    }

    /// Receives a body, and keeps the response once it is whole.
    async fn store(
        self,
        response: reqwest::Response,
        mut record: Record,
        mut writer: Box<dyn cache_core::BlobWriter>,
        grower: Grower<Failure>,
    ) {
        let received = self
            .inner
            .metrics
            .received(self.relay.protocol, Reason::Demand);
        let download = Download {
            client: &self.inner.client,
            source: &self.source,
            accept: self.relay.headers.get(header::ACCEPT),
            validators: Validators::of(&record.headers),
            size: length(&record.headers),
            limit: self.inner.config.max_file.0,
            stall: self.inner.config.stall_timeout.0,
            grower: &grower,
            received: &|bytes| received.inc_by(bytes),
        };
        let done = async {
            download.receive(response, &mut *writer).await?;
            let stored = writer.commit(None).await?;
            let blob = self.inner.cache.blobs().open(&stored.digest).await?;
            blob.ok_or_else(|| Failure::Wrong {
                host: host(self.source.url()),
                reason: "it was evicted as it came".to_owned(),
            })
        };
        match done.await {
            Ok(blob) => {
                record.target = *blob.digest();
                self.keep(&record).await;
                grower.stored(blob);
            }
            Err(failure) => {
                tracing::warn!(source = %self.source, %failure, "a transfer came to nothing");
                grower.failed(failure);
            }
        }
    }

    /// Makes a response the one that is served from now on.
    async fn keep(&self, record: &Record) {
        let Some(names) = rules::varies_by(&record.headers) else {
            return;
        };
        let (namespace, url) = (&self.relay.namespace, self.source.url());
        match record.bindings(namespace, url, &names, &self.relay.headers) {
            Ok(bindings) => self.bind(bindings).await,
            Err(error) => tracing::debug!(%url, %error, "this URL cannot be a name"),
        }
    }

    async fn bind(&self, bindings: Vec<Binding>) {
        let change = Change {
            bindings,
            durability: Durability::Grouped,
        };
        if let Err(error) = self.inner.cache.bind(change).await {
            tracing::warn!(source = %self.source, %error, "an answer could not be kept");
        }
    }

    /// A response that is not kept, for the one who asked.
    fn pass(&self, response: reqwest::Response, outcome: Outcome) -> Relayed {
        let headers = without_hops(response.headers());
        let size = length(&headers);
        let limits = self.inner.limits();
        Relayed {
            status: response.status(),
            headers,
            size,
            content: Arc::new(Passing::new(response, size, None, limits)),
            outcome,
            tier: Tier::Upstream,
        }
    }

    /// A request that may change something: what is stored of its URL, and of those that
    /// it names, is no longer believed (RFC 9111, 4.4).
    async fn change(self) -> Result<Relayed, Error> {
        if self.inner.config.offline {
            return Err(Error::Offline);
        }
        let head = self.send(None).await?;
        let status = head.response.status();
        if !self.relay.method.is_safe() && (status.is_success() || status.is_redirection()) {
            let changed = self.changed(head.response.headers());
            let keys = changed.iter().filter_map(|url| {
                let key = record::key(&self.relay.namespace, url).ok()?;
                Some(Binding::unset(key))
            });
            self.bind(keys.collect()).await;
        }
        Ok(self.pass(head.response, Outcome::Bypass))
    }

    fn changed(&self, response: &HeaderMap) -> Vec<Url> {
        let url = self.source.url();
        let named = [header::LOCATION, header::CONTENT_LOCATION]
            .into_iter()
            .filter_map(|name| url.join(response.get(name)?.to_str().ok()?).ok())
            .filter(|named| named.origin() == url.origin());
        std::iter::once(url.clone()).chain(named).collect()
    }
}

fn of(r: &Ref) -> Option<Record> {
    Record::of(r)
}

/// Whether a status is about the origin or the moment: what is stored may stand in.
const fn is_failing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// An answer without an origin.
fn nothing(status: StatusCode) -> Relayed {
    let empty = Blob::from_bytes(cache_core::Digest::sha256(b""), Bytes::new());
    Relayed {
        status,
        headers: HeaderMap::new(),
        content: empty.content(),
        size: Some(0),
        outcome: Outcome::Miss,
        tier: Tier::None,
    }
}
