//! Upload sessions: what lies between a POST and the PUT that closes it.
//!
//! They live in this process. Each has its own lock, which is held while bytes
//! arrive; the table's is only ever held for a lookup.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_core::{
    Algorithm, BlobStore, BlobWriter, ByteStream, Clock, Digest, Error, Result, Upload,
};
use futures::TryStreamExt;
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard},
    time,
};
use uuid::Uuid;

use crate::{chunk::Chunk, error::OciError, name::Repository};

/// Commits that are remembered, so that a repeated PUT is answered like the first:
/// a client whose commit timed out sends it again.
const REMEMBERED: usize = 8192;

/// How often idle sessions are looked for.
const REAP_EVERY: Duration = Duration::from_secs(30);

/// One upload.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: Uuid,
    repository: Repository,
    progress: Arc<AsyncMutex<Progress>>,
    held: AtomicU64,
    /// [`Clock::elapsed`] in milliseconds when it was last of use.
    touched: AtomicU64,
    cancelled: AtomicBool,
    clock: Arc<dyn Clock>,
}

/// How far an upload has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// No byte came yet; the algorithm is the one that the client announced.
    Empty(Option<Algorithm>),
    /// Some bytes are written.
    Open(Box<dyn BlobWriter>),
    /// It became this blob.
    Committed(Digest),
    /// It failed for good.
    Spent,
}

impl Session {
    /// `Location`: a path without a host, because clients drop their credentials
    /// when host or scheme differ from those they asked, and without escapes,
    /// because containerd decodes and encodes it again.
    pub(crate) fn location(&self) -> String {
        format!("/v2/{}/blobs/uploads/{}", self.repository, self.id)
    }

    /// Bytes that need not be sent again.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// The right to write, unless another request has it.
    pub(crate) fn try_lock(&self) -> Result<OwnedMutexGuard<Progress>, OciError> {
        let lock = Arc::clone(&self.progress).try_lock_owned();
        lock.map_err(|_| OciError::UploadBusy)
    }

    /// The right to write, once another request is done with it.
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Progress> {
        Arc::clone(&self.progress).lock_owned().await
    }

    /// # Errors
    /// 416 for a chunk that does not continue what is held, of which nothing is kept.
    pub(crate) fn check(&self, chunk: &Chunk) -> Result<(), OciError> {
        let held = self.held();
        if chunk.continues(held) {
            chunk.check_length()
        } else {
            let location = self.location();
            Err(OciError::RangeOutOfOrder { location, held })
        }
    }

    /// Adds the bytes of a chunk. What arrived before a body broke off is kept:
    /// the client may ask how far it came and go on from there.
    pub(crate) async fn fill(
        &self,
        progress: &mut Progress,
        store: &dyn BlobStore,
        upload: Upload,
        counted: Option<u64>,
        mut body: ByteStream,
    ) -> Result<(), OciError> {
        let mut left = counted;
        if let Progress::Empty(announced) = progress {
            let algorithm = upload.algorithm.or(*announced);
            let upload = Upload {
                algorithm,
                ..upload
            };
            *progress = Progress::Open(store.create(upload).await?);
        }
        let Progress::Open(writer) = progress else {
            return Err(OciError::UploadUnknown);
        };
        while let Some(part) = body.try_next().await? {
            let size = part.len() as u64;
            if self.cancelled.load(Ordering::Acquire) {
                *progress = Progress::Spent;
                return Err(OciError::UploadUnknown);
            }
            left = match left.map(|left| left.checked_sub(size)) {
                Some(None) => return Err(miscounted(counted, size)),
                left => left.flatten(),
            };
            if let Err(error) = writer.write(part).await {
                *progress = Progress::Spent;
                return Err(error.into());
            }
            self.held.store(writer.written(), Ordering::Release);
            self.touch();
        }
        match left {
            Some(left) if left > 0 => Err(miscounted(counted.map(|it| it - left), 0)),
            _ => Ok(()),
        }
    }

    /// Forgets every byte: an upload in one request came whole or not at all.
    pub(crate) fn reset(&self, progress: &mut Progress) {
        *progress = Progress::Empty(None);
        self.held.store(0, Ordering::Release);
    }

    fn touch(&self) {
        let now = self.clock.elapsed().as_millis();
        self.touched
            .store(u64::try_from(now).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn idle(&self) -> Duration {
        let touched = Duration::from_millis(self.touched.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(touched)
    }
}

/// All sessions of a registry.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
    most: usize,
    idle: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Uuid, Arc<Session>>,
    committed: HashMap<Uuid, (Repository, Digest)>,
    /// The committed, oldest first.
    order: VecDeque<Uuid>,
    has_reaper: bool,
}

impl Sessions {
    /// Up to `most` sessions, each given up when nothing came for `idle`.
    pub(crate) fn new(most: usize, idle: Duration, clock: Arc<dyn Clock>) -> Self {
        Self {
            table: Mutex::default(),
            most,
            idle,
            clock,
        }
    }

    /// # Errors
    /// 503 if there are too many.
    pub(crate) fn begin(
        self: &Arc<Self>,
        repository: Repository,
        algorithm: Option<Algorithm>,
    ) -> Result<Arc<Session>, OciError> {
        if self.table.lock().open.len() >= self.most {
            self.reap();
        }
        let session = Arc::new(Session {
            id: Uuid::new_v4(),
            repository,
            progress: Arc::new(AsyncMutex::new(Progress::Empty(algorithm))),
            held: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            clock: Arc::clone(&self.clock),
        });
        session.touch();
        let mut table = self.table.lock();
        if table.open.len() >= self.most {
            return Err(OciError::Unavailable("too many upload sessions are open"));
        }
        table.open.insert(session.id, Arc::clone(&session));
        if !std::mem::replace(&mut table.has_reaper, true) {
            tokio::spawn(reap_while_alive(Arc::downgrade(self)));
        }
        Ok(session)
    }

    /// An open session of `repository`.
    pub(crate) fn find(&self, repository: &Repository, id: Uuid) -> Result<Arc<Session>, OciError> {
        let mut table = self.table.lock();
        let session = table.open.get(&id).map(Arc::clone);
        let session = session.filter(|session| session.repository == *repository);
        let session = session.ok_or(OciError::UploadUnknown)?;
        // Ours and the table's: no request is at work on it.
        if Arc::strong_count(&session) <= 2 && session.idle() > self.idle {
            let gone = table.open.remove(&id);
            drop(table);
            drop(gone);
            return Err(OciError::UploadUnknown);
        }
        session.touch();
        Ok(session)
    }

    /// What a session of `repository` became, if that was lately.
    pub(crate) fn committed(&self, repository: &Repository, id: Uuid) -> Option<Digest> {
        let table = self.table.lock();
        let (of, digest) = table.committed.get(&id)?;
        (of == repository).then_some(*digest)
    }

    /// Ends a session that was cancelled or failed for good.
    pub(crate) fn end(&self, session: &Session) {
        session.cancelled.store(true, Ordering::Release);
        let gone = self.table.lock().open.remove(&session.id);
        drop(gone);
    }

    /// Ends a session that became a blob.
    pub(crate) fn finish(&self, session: &Session, digest: Digest) {
        let mut table = self.table.lock();
        let gone = table.open.remove(&session.id);
        let became = (session.repository.clone(), digest);
        table.committed.insert(session.id, became);
        table.order.push_back(session.id);
        if table.order.len() > REMEMBERED
            && let Some(oldest) = table.order.pop_front()
        {
            table.committed.remove(&oldest);
        }
        drop(table);
        drop(gone);
    }

    /// Gives up what has been idle for too long, and frees its room.
    fn reap(&self) {
        let mut table = self.table.lock();
        let open = std::mem::take(&mut table.open);
        let (gone, kept): (HashMap<_, _>, _) = open
            .into_iter()
            .partition(|(_, it)| Arc::strong_count(it) == 1 && it.idle() > self.idle);
        table.open = kept;
        drop(table);
        if !gone.is_empty() {
            tracing::info!(count = gone.len(), "gave up idle uploads");
        }
    }
}

/// Ends with the registry.
async fn reap_while_alive(sessions: Weak<Sessions>) {
    loop {
        time::sleep(REAP_EVERY).await;
        match sessions.upgrade() {
            Some(sessions) => sessions.reap(),
            None => return,
        }
    }
}

fn miscounted(expected: Option<u64>, actual: u64) -> OciError {
    let expected = expected.unwrap_or_default();
    Error::SizeMismatch { expected, actual }.into()
}
