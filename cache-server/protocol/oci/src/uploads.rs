//! Uploads: in one request, by mount, or as a session (end-4, 5, 6, 11, 13, 14).

use std::sync::Arc;

use axum::body::Body;
use cache_core::{Algorithm, BlobStoreExt, ByteStream, Digest, Error, Outcome, Principal, Upload};
use cache_http::incoming;
use futures::StreamExt;
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};
use tokio::sync::OwnedMutexGuard;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    answer::{Answer, plain},
    chunk::Chunk,
    error::OciError,
    name::Repository,
    oci::Oci,
    route::Start,
    session::{Progress, Session},
};

/// Beyond this the connection is closed after all.
const MOST_DISCARDED: usize = 8 << 20;

const DOCKER_UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Oci {
    pub(crate) async fn start_upload(
        &self,
        who: &Principal,
        repository: Repository,
        start: Start,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, OciError> {
        let algorithm = match start {
            Start::Whole(digest) => {
                let chunk = Chunk::parse(&parts.headers)?;
                return self
                    .store_whole(who, &repository, &digest, chunk, body)
                    .await;
            }
            Start::Mount(digest, from) => {
                if self.mount(who, &repository, &digest, from.as_ref()).await? {
                    return Ok(stored(&repository, &digest));
                }
                None
            }
            Start::Session(algorithm) => algorithm.and_then(besides_sha256),
        };
        let session = self.sessions().begin(repository, algorithm)?;
        Ok(standing(&session, StatusCode::ACCEPTED))
    }

    /// end-4b. A client that leaves takes its bytes with it: the writer is dropped.
    async fn store_whole(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
        chunk: Chunk,
        body: Body,
    ) -> Result<Answer, OciError> {
        let _slot = self.slot().await?;
        let body = self.limited(0, chunk, body)?;
        let upload = Upload {
            size: chunk.length,
            algorithm: besides_sha256(digest.algorithm()),
        };
        let blob = self.blobs().put_stream(upload, body, Some(digest)).await?;
        self.show(who, repository, digest, blob.digest).await?;
        Ok(stored(repository, digest))
    }

    pub(crate) fn upload_status(
        &self,
        repository: &Repository,
        id: Uuid,
    ) -> Result<Answer, OciError> {
        let session = self.sessions().find(repository, id)?;
        Ok(standing(&session, StatusCode::NO_CONTENT))
    }

    pub(crate) fn cancel_upload(
        &self,
        repository: &Repository,
        id: Uuid,
    ) -> Result<Answer, OciError> {
        let session = self.sessions().find(repository, id)?;
        self.sessions().end(&session);
        Ok(Answer::empty(StatusCode::NO_CONTENT, Outcome::Bypass))
    }

    /// end-5. Two requests that write to one session would mix their bytes, so the
    /// second is refused.
    pub(crate) async fn append_upload(
        &self,
        repository: &Repository,
        id: Uuid,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, OciError> {
        let chunk = Chunk::parse(&parts.headers)?;
        let session = self.sessions().find(repository, id)?;
        let mut progress = session.try_lock()?;
        let slot = self.slot().await?;
        let (oci, writing) = (self.clone(), Arc::clone(&session));
        to_its_end(async move {
            let _slot = slot;
            let upload = Upload::default();
            oci.receive_chunk(&writing, &mut progress, upload, chunk, body)
                .await
        })
        .await?;
        Ok(standing(&session, StatusCode::ACCEPTED))
    }

    /// end-6. A PUT that repeats another waits for it and gets the same answer.
    pub(crate) async fn commit_upload(
        &self,
        who: &Principal,
        (repository, id, digest): (Repository, Uuid, Digest),
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, OciError> {
        if self.sessions().committed(&repository, id) == Some(digest) {
            discard(body).await;
            return Ok(stored(&repository, &digest));
        }
        let chunk = Chunk::parse(&parts.headers)?;
        let session = self.sessions().find(&repository, id)?;
        let (progress, slot) = self.turn(&session).await?;
        let commit = Commit {
            oci: self.clone(),
            who: who.clone(),
            repository: repository.clone(),
            session,
            digest,
        };
        to_its_end(async move {
            let _slot = slot;
            commit.run(progress, chunk, body).await
        })
        .await?;
        Ok(stored(&repository, &digest))
    }

    /// Adds a chunk to a session, and ends the session if that went wrong for good.
    async fn receive_chunk(
        &self,
        session: &Session,
        progress: &mut Progress,
        upload: Upload,
        chunk: Chunk,
        body: Body,
    ) -> Result<(), OciError> {
        if let Err(error) = session.check(&chunk) {
            discard(body).await;
            return Err(error);
        }
        let body = self.limited(session.held(), chunk, body)?;
        let counted = chunk.counted();
        let filled = session.fill(progress, self.blobs(), upload, counted, body);
        let filled = filled.await;
        let too_large = matches!(filled, Err(OciError::TooLarge { .. }));
        if too_large || matches!(progress, Progress::Spent) {
            *progress = Progress::Spent;
            self.sessions().end(session);
        }
        filled
    }

    /// The body, which ends in an error beyond the largest blob that is allowed.
    fn limited(&self, held: u64, chunk: Chunk, body: Body) -> Result<ByteStream, OciError> {
        let body = incoming(body);
        let Some(limit) = self.config().blob_bytes else {
            return Ok(body);
        };
        let announced = chunk.counted().or(chunk.length).unwrap_or_default();
        if held.saturating_add(announced) > limit {
            return Err(OciError::TooLarge { limit });
        }
        let mut total = held;
        let checked = body.map(move |part| {
            let part = part?;
            total = total.saturating_add(part.len() as u64);
            if total > limit {
                return Err(Error::TooLarge { limit });
            }
            Ok(part)
        });
        Ok(checked.boxed())
    }

    /// Makes a stored blob visible in a repository.
    async fn show(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
        target: Digest,
    ) -> Result<(), OciError> {
        if self.link(who, repository, digest, target).await? {
            Ok(())
        } else {
            Err(OciError::Unavailable("the blob was evicted at once"))
        }
    }
}

/// The closing of a session.
struct Commit {
    oci: Oci,
    who: Principal,
    repository: Repository,
    session: Arc<Session>,
    digest: Digest,
}

impl Commit {
    async fn run(
        self,
        mut progress: OwnedMutexGuard<Progress>,
        chunk: Chunk,
        body: Body,
    ) -> Result<(), OciError> {
        let began_empty = match &*progress {
            Progress::Empty(_) => true,
            Progress::Open(_) => false,
            Progress::Committed(digest) if *digest == self.digest => return Ok(()),
            Progress::Committed(_) | Progress::Spent => return Err(OciError::UploadUnknown),
        };
        let upload = Upload {
            size: chunk.length.filter(|_| began_empty),
            algorithm: besides_sha256(self.digest.algorithm()),
        };
        let (oci, session) = (&self.oci, &*self.session);
        let received = oci.receive_chunk(session, &mut progress, upload, chunk, body);
        if let Err(error) = received.await {
            if began_empty && matches!(&*progress, Progress::Open(_)) {
                session.reset(&mut progress);
            }
            return Err(error);
        }
        let Progress::Open(writer) = std::mem::replace(&mut *progress, Progress::Spent) else {
            return Err(OciError::UploadUnknown);
        };
        match self.publish(writer).await {
            Ok(()) => {
                *progress = Progress::Committed(self.digest);
                oci.sessions().finish(session, self.digest);
                Ok(())
            }
            Err(error) => {
                oci.sessions().end(session);
                Err(error)
            }
        }
    }

    async fn publish(&self, writer: Box<dyn cache_core::BlobWriter>) -> Result<(), OciError> {
        let blob = writer.commit(Some(&self.digest)).await?;
        let show = self
            .oci
            .show(&self.who, &self.repository, &self.digest, blob.digest);
        show.await
    }
}

/// Runs on although the client leaves: a write is never stopped in its middle, and
/// a commit that timed out for the client is there when it asks again.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, OciError>> + Send + 'static,
) -> Result<T, OciError> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(result) => result,
        Err(panic) => Err(Error::backend("storing an upload")(panic.into()).into()),
    }
}

/// Reads what a client sends although it is not wanted: closing the connection
/// under it could cost the client the answer (RFC 9112, 9.6).
async fn discard(body: Body) {
    let mut body = incoming(body);
    let mut left = MOST_DISCARDED;
    while let Some(Ok(part)) = body.next().await {
        match left.checked_sub(part.len()) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// The algorithm to compute on the way: SHA-256 always is.
pub(crate) fn besides_sha256(algorithm: Algorithm) -> Option<Algorithm> {
    (algorithm != Algorithm::Sha256).then_some(algorithm)
}

/// `201` for a blob that this repository has now.
fn stored(repository: &Repository, digest: &Digest) -> Answer {
    Answer::created(&format!("/v2/{repository}/blobs/{digest}"), digest)
}

/// How far a session has come.
fn standing(session: &Session, status: StatusCode) -> Answer {
    let mut answer = Answer::empty(status, Outcome::Bypass);
    let headers = answer.headers_mut();
    headers.extend(position(&session.location(), session.held()));
    headers.insert(DOCKER_UPLOAD_UUID, plain(session.id.to_string()));
    answer
}

/// `Location` and `Range: 0-<last>`. Nothing is `0-0` as well: clients parse two
/// numbers.
pub(crate) fn position(location: &str, held: u64) -> [(HeaderName, HeaderValue); 2] {
    let last = held.saturating_sub(1);
    [
        (header::LOCATION, plain(location)),
        (header::RANGE, plain(format!("0-{last}"))),
    ]
}
