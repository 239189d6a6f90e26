//! One flight: the sources are asked in their order until one has it.

use std::{sync::Arc, time::Duration};

use cache_core::{Blob, Digest, Outcome, Upload};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::{
    Class, Refused, Resource, Source,
    client::{Ask, Condition, host},
    download::Download,
    entry::Entry,
    error::Failure,
    fetcher::Inner,
    flight::{Landed, Lander, Landing},
    headers::{Validators, kept, refreshed},
    metrics::Reason,
    resource::judged,
    transfer::Transfer,
};

/// A 304 is believed so long; then the whole is fetched once, lest an origin whose
/// validators went wrong keeps us at an old version for ever.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// What one source came to.
enum Asked {
    /// The flight is over, and everyone was told.
    Done,
    /// It has no such thing, or not for us.
    Refused(Refused),
}

impl Inner {
    /// Joins the flight for a resource, or begins one; true if it was begun. It goes on
    /// whether anyone waits for it or not.
    pub(crate) fn ask(
        self: &Arc<Self>,
        resource: &Resource,
        entry: Option<&Entry>,
        reason: Reason,
    ) -> (Landing, bool) {
        self.flights.join(&resource.key, |lander| {
            let flight = Flight {
                inner: Arc::clone(self),
                resource: resource.clone(),
                entry: entry.cloned(),
                reason,
            };
            tokio::spawn(flight.run(lander));
        })
    }
}

struct Flight {
    inner: Arc<Inner>,
    resource: Resource,
    entry: Option<Entry>,
    reason: Reason,
}

impl Flight {
    async fn run(self, mut lander: Lander) {
        // Never closed.
        let _permit = self.inner.permits.acquire().await;
        let mut refused = None;
        let mut failed = None;
        for source in &self.resource.sources {
            match self.source(source, &mut lander).await {
                Ok(Asked::Done) => return,
                Ok(Asked::Refused(no)) => refused = refused.or(Some(no)),
                Err(failure) => {
                    tracing::info!(%source, %failure, "an origin did not do");
                    failed = Some(failure);
                }
            }
        }
        // A source that failed may have it: then nobody can say that there is none.
        let landed = match (failed, refused) {
            (None, Some(refused)) => {
                self.inner.remember(&self.resource.key, &refused);
                Ok(Landed::Refused(refused))
            }
            (Some(failure), _) => Err(failure),
            (None, None) => Err(Failure::Wrong {
                host: self.resource.key.to_string(),
                reason: "it has no source".to_owned(),
            }),
        };
        lander.land(landed);
    }

    /// Asks one source, and again if its connection was bad.
    async fn source(&self, source: &Source, lander: &mut Lander) -> Result<Asked, Failure> {
        self.inner.admits(source)?;
        let mut asked = self.once(source, lander).await;
        if asked.as_ref().is_err_and(Failure::is_fleeting) {
            asked = self.once(source, lander).await;
        }
        self.inner.judge(source, asked.as_ref().err());
        asked
    }

    async fn once(&self, source: &Source, lander: &mut Lander) -> Result<Asked, Failure> {
        let held = self.entry.as_ref().filter(|entry| self.is_believed(entry));
        let validators = held.map(|entry| Validators::of(&entry.headers));
        let validators = validators.filter(|it| *it != Validators::default());
        let distrusted = self.inner.distrusted.get(&self.resource.key).is_some();
        if let Some(held) = held.filter(|_| !distrusted)
            && self.still_has(source, held).await?
        {
            return self.confirm(source, &HeaderMap::new(), lander).await;
        }
        let condition = match &validators {
            _ if distrusted => Condition::Afresh,
            Some(validators) => Condition::Unlike(validators),
            None => Condition::None,
        };
        let response = self.send(source, condition).await?;
        match response.status() {
            StatusCode::OK => self.receive(source, response, lander).await,
            StatusCode::NOT_MODIFIED if validators.is_some() => {
                self.confirm(source, response.headers(), lander).await
            }
            status if says_nothing(status) => Err(Failure::Status {
                host: host(source.url()),
                status,
                retry_after: retry_after(response.headers()),
            }),
            status => Ok(Asked::Refused(Refused {
                status,
                headers: kept(response.headers()),
                outcome: Outcome::Miss,
            })),
        }
    }

    fn is_believed(&self, entry: &Entry) -> bool {
        let since = self.inner.clock.wall().duration_since(entry.fetched);
        since.is_ok_and(|since| since < BELIEVED)
    }

    /// Whether a HEAD says by name that the origin has what we have. What it does not
    /// say of an origin that is well, a GET will.
    async fn still_has(&self, source: &Source, held: &Entry) -> Result<bool, Failure> {
        let Some(name) = &self.resource.named_by else {
            return Ok(false);
        };
        let head = self.request(source, Condition::None, true).await?;
        let status = head.status();
        if says_nothing(status) && status != StatusCode::OK {
            return Err(Failure::Status {
                host: host(source.url()),
                status,
                retry_after: retry_after(head.headers()),
            });
        }
        let named = head.headers().get(name);
        let same = named.is_some() && named == held.headers.get(name);
        let by_digest = named.is_some_and(|it| it.as_bytes() == held.target.to_string().as_bytes());
        Ok(status == StatusCode::OK && (same || by_digest))
    }

    async fn send(
        &self,
        source: &Source,
        condition: Condition<'_>,
    ) -> Result<reqwest::Response, Failure> {
        self.request(source, condition, false).await
    }

    async fn request(
        &self,
        source: &Source,
        condition: Condition<'_>,
        head: bool,
    ) -> Result<reqwest::Response, Failure> {
        let ask = Ask {
            accept: self.resource.accept.as_ref(),
            condition,
            head,
        };
        let start = Instant::now();
        let response = self.inner.client.send(source, ask).await?;
        let (protocol, seconds) = (self.resource.protocol, start.elapsed().as_secs_f64());
        let code = response.status().as_u16();
        let metrics = &self.inner.metrics;
        metrics.answered(protocol, &source.origin, code, seconds);
        Ok(response)
    }

    /// The origin stands by what we have.
    async fn confirm(
        &self,
        source: &Source,
        headers: &HeaderMap,
        lander: &mut Lander,
    ) -> Result<Asked, Failure> {
        let wrong = |reason: &str| Failure::Wrong {
            host: host(source.url()),
            reason: reason.to_owned(),
        };
        let held = self.entry.as_ref().ok_or_else(|| wrong("304 to nothing"))?;
        let blob = self.inner.cache.blobs().open(&held.target).await?;
        let Some(blob) = blob else {
            // Evicted just now: the next request asks for the whole.
            return Err(wrong("it confirmed what is no longer here"));
        };
        let entry = Entry {
            headers: refreshed(&held.headers, &kept(headers)),
            checked: self.inner.clock.wall(),
            ..held.clone()
        };
        self.inner.keep(&self.resource.key, &entry).await;
        lander.land(Ok(Landed::Confirmed(entry, blob)));
        Ok(Asked::Done)
    }

    /// The origin sends it.
    async fn receive(
        &self,
        source: &Source,
        response: reqwest::Response,
        lander: &mut Lander,
    ) -> Result<Asked, Failure> {
        let (size, limit) = self.inner.length(&self.resource, source, &response)?;
        let headers = kept(response.headers());
        let upload = Upload {
            size,
            algorithm: self.resource.digest.as_ref().map(Digest::algorithm),
        };
        let mut writer = match self.inner.cache.blobs().create(upload).await {
            Ok(writer) => writer,
            Err(error) if has_no_room(&error) => {
                tracing::warn!(%source, %error, "an answer is passed on and not kept");
                lander.land(Ok(Landed::NoRoom));
                return Ok(Asked::Done);
            }
            Err(error) => return Err(error.into()),
        };
        let (grower, transfer) = Transfer::begin(headers.clone(), size, writer.taken());
        let streams = self.resource.check.is_none();
        if streams {
            lander.land(Ok(Landed::Arriving(transfer)));
        }

        let received = self
            .inner
            .metrics
            .received(self.resource.protocol, self.reason);
        let download = Download {
            client: &self.inner.client,
            source,
            accept: self.resource.accept.as_ref(),
            validators: Validators::of(&headers),
            size,
            limit,
            stall: self.inner.config.stall_timeout.0,
            grower: &grower,
            received: &|bytes| received.inc_by(bytes),
        };
        self.inner.metrics.transfers.inc();
        let result = download.receive(response, &mut *writer).await;
        self.inner.metrics.transfers.dec();
        let stored = match result {
            Ok(()) => self.store(source, headers, writer).await,
            Err(failure) => Err(failure),
        };
        match stored {
            Ok((entry, blob)) => {
                self.inner.distrusted.remove(&self.resource.key);
                self.inner.forget_refusal(&self.resource.key);
                grower.stored(blob.clone());
                lander.land(Ok(Landed::Fetched(entry, blob)));
                Ok(Asked::Done)
            }
            Err(failure) if streams => {
                // Those who read along are told; nobody else can help them any more.
                tracing::warn!(%source, %failure, "a transfer came to nothing");
                self.inner.metrics.failed(&source.origin, &failure);
                grower.failed(failure);
                Ok(Asked::Done)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Publishes what was received, judges it, and keeps it under its name.
    async fn store(
        &self,
        source: &Source,
        headers: HeaderMap,
        writer: Box<dyn cache_core::BlobWriter>,
    ) -> Result<(Entry, Blob), Failure> {
        let key = &self.resource.key;
        let reject = |reason: String| {
            tracing::error!(%key, %source, reason, "an origin sent something wrong");
            self.inner.metrics.rejected(self.resource.protocol);
            self.inner.distrusted.insert(key.clone(), ());
            Failure::Wrong {
                host: host(source.url()),
                reason,
            }
        };
        let committed = writer.commit(self.resource.digest.as_ref()).await;
        let stored = committed.map_err(|error| match error {
            cache_core::Error::DigestMismatch { .. } | cache_core::Error::SizeMismatch { .. } => {
                reject(error.to_string())
            }
            error => error.into(),
        })?;
        let gone = || {
            Failure::from(cache_core::Error::Incomplete {
                missing: vec![stored.digest],
            })
        };
        let blob = self.inner.cache.blobs().open(&stored.digest).await?;
        let blob = blob.ok_or_else(gone)?;
        if let Some(check) = &self.resource.check {
            let whole = blob.read(self.inner.config.max_document.0).await?;
            judged(check, &headers, whole).await.map_err(reject)?;
        }
        let now = self.inner.clock.wall();
        let entry = Entry {
            target: stored.digest,
            headers,
            expected: self.resource.digest,
            from: source.url().to_string(),
            fetched: now,
            checked: now,
        };
        self.inner.keep(key, &entry).await;
        Ok((entry, blob))
    }
}

impl Inner {
    /// The announced length and the most that is taken.
    pub(crate) fn length(
        &self,
        resource: &Resource,
        source: &Source,
        response: &reqwest::Response,
    ) -> Result<(Option<u64>, u64), Failure> {
        let wrong = |reason: String| Failure::Wrong {
            host: host(source.url()),
            reason,
        };
        let announced = response.headers().get(header::CONTENT_LENGTH);
        let announced = announced
            .and_then(|length| length.to_str().ok())
            .and_then(|length| length.parse().ok());
        let (expected, limit) = match resource.class {
            Class::Immutable => (resource.size, self.config.max_file.0),
            Class::Index(_) => (resource.size, self.config.max_document.0),
        };
        let limit = resource.limit.map_or(limit, |own| own.min(limit));
        // A document is asked for as it is; one in a coding may unfold to anything.
        let coding = response.headers().get(header::CONTENT_ENCODING);
        let plain = coding.is_none_or(|it| it.as_bytes().eq_ignore_ascii_case(b"identity"));
        if !plain && matches!(resource.class, Class::Index(_)) {
            return Err(wrong(format!("it sent {coding:?}, asked for none")));
        }
        // Of nothing there is no last byte to keep back until the digest is checked.
        let nothing = |digest: &Digest| Digest::of(digest.algorithm(), b"") == *digest;
        if announced == Some(0) && resource.digest.as_ref().is_some_and(|it| !nothing(it)) {
            return Err(wrong("it is empty".to_owned()));
        }
        match (announced, expected) {
            (Some(size), Some(expected)) if size != expected => {
                Err(wrong(format!("it is {size} bytes, not {expected}")))
            }
            (Some(size), _) if size > limit => {
                Err(wrong(format!("it is {size} bytes, more than {limit}")))
            }
            (Some(size), _) => Ok((Some(size), limit)),
            (None, Some(expected)) => Ok((Some(expected), limit)),
            (None, None) => Ok((None, limit)),
        }
    }
}

/// Whether the store is well and only takes nothing now.
const fn has_no_room(error: &cache_core::Error) -> bool {
    use cache_core::Error;
    matches!(
        error,
        Error::Full { .. } | Error::ReadOnly { .. } | Error::TooLarge { .. }
    )
}

/// Statuses that are about the origin or the moment and not about the resource.
fn says_nothing(status: StatusCode) -> bool {
    let about_the_moment = matches!(status.as_u16(), 408 | 425 | 429);
    about_the_moment || !status.is_client_error()
}

/// `Retry-After` in seconds; a date is not worth its parsing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER).map(HeaderValue::to_str);
    let seconds = value?.ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
