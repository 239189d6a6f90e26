//! Uploads that are open: at work, or broken off and waiting for their client to go on.
//!
//! They live in this process. Each has its own lock, which is held while bytes arrive; the
//! table's is only ever held for a lookup.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use cache_core::{BlobStore, BlobWriter, Clock, Upload};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as AsyncMutex, OwnedMutexGuard, watch},
    task, time,
};

use crate::{
    compression::Inflater,
    config::ReapiConfig,
    error::{ReapiError, Result},
    resource_name::{Form, UploadName},
};

/// How often idle uploads are looked for.
const REAP_EVERY: Duration = Duration::from_secs(30);

/// Whose upload it is, and its whole name: nobody goes on with another's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) principal: String,
    pub(crate) name: UploadName,
}

/// One upload.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: Key,
    progress: Arc<AsyncMutex<Progress>>,
    /// Bytes as the client sent them, compressed or not.
    held: AtomicU64,
    /// [`Clock::elapsed`] in milliseconds when it was last of use.
    touched: AtomicU64,
    /// Counts the calls that wanted to go on with it.
    turns: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
}

/// How far an upload has come.
#[derive(Debug)]
pub(crate) enum Progress {
    /// No byte came yet.
    Empty,
    /// Some did.
    Open(Intake),
    /// It became a blob, or failed for good.
    Spent,
}

/// Where the bytes of an upload go.
#[derive(Debug)]
pub(crate) struct Intake {
    writer: Box<dyn BlobWriter>,
    inflater: Option<Inflater>,
}

/// A call's right to go on with an upload, until another call comes for it: a client that
/// lost its connection is back before we have noticed.
#[derive(Debug)]
pub(crate) struct Turn {
    mine: u64,
    turns: watch::Receiver<u64>,
}

impl Turn {
    /// Returns once another call has come.
    pub(crate) async fn is_over(&mut self) {
        let mine = self.mine;
        // The sender lives in the session, which the call holds.
        let _ = self.turns.wait_for(|turn| *turn != mine).await;
    }
}

impl Session {
    fn new(key: Key, clock: Arc<dyn Clock>) -> Self {
        let session = Self {
            key,
            progress: Arc::new(AsyncMutex::new(Progress::Empty)),
            held: AtomicU64::new(0),
            touched: AtomicU64::new(0),
            turns: watch::Sender::new(0),
            clock,
        };
        session.touch();
        session
    }

    /// Bytes that need not be sent again.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::Acquire)
    }

    /// Sends the call that is at work on this away.
    pub(crate) fn turn(&self) -> Turn {
        self.turns.send_modify(|turn| *turn += 1);
        let turns = self.turns.subscribe();
        let mine = *turns.borrow();
        Turn { mine, turns }
    }

    /// The right to write, once no other call has it.
    pub(crate) async fn lock(&self) -> OwnedMutexGuard<Progress> {
        Arc::clone(&self.progress).lock_owned().await
    }

    /// Begins anew: a client may forget what it sent.
    pub(crate) fn reset(&self, progress: &mut Progress) {
        *progress = Progress::Empty;
        self.held.store(0, Ordering::Release);
    }

    /// Adds bytes.
    pub(crate) async fn take(
        &self,
        progress: &mut Progress,
        store: &dyn BlobStore,
        bytes: Bytes,
    ) -> Result<()> {
        let held = self.held().saturating_add(bytes.len() as u64);
        let added = self.add(progress, store, bytes, held).await;
        match &added {
            Ok(()) => self.held.store(held, Ordering::Release),
            Err(_) => *progress = Progress::Spent,
        }
        self.touch();
        added
    }

    async fn add(
        &self,
        progress: &mut Progress,
        store: &dyn BlobStore,
        bytes: Bytes,
        held: u64,
    ) -> Result<()> {
        if let Progress::Empty = progress {
            *progress = Progress::Open(self.begin(store).await?);
        }
        let Progress::Open(intake) = progress else {
            return Err(ReapiError::Write("the upload has ended"));
        };
        let size = self.key.name.resource.blob.size;
        let Some(inflater) = &mut intake.inflater else {
            if held > size {
                return Err(ReapiError::Write("more bytes than the digest says"));
            }
            return Ok(intake.writer.write(bytes).await?);
        };
        // Nothing is so badly compressed: what is more are empty blocks without end.
        if held > size.saturating_mul(2).saturating_add(1 << 20) {
            return Err(ReapiError::Compressed("far more bytes than the blob has"));
        }
        let mut bytes = bytes;
        while let Some(part) = inflater.step(&mut bytes)? {
            if !part.is_empty() {
                intake.writer.write(part).await?;
            }
            task::yield_now().await;
        }
        Ok(())
    }

    async fn begin(&self, store: &dyn BlobStore) -> Result<Intake> {
        let resource = &self.key.name.resource;
        let upload = Upload {
            size: Some(resource.blob.size),
            algorithm: resource.blob.besides_sha256(),
        };
        let inflater = match resource.form {
            Form::Identity => None,
            Form::Zstd => Some(Inflater::new(resource.blob.size)?),
        };
        let writer = store.create(upload).await?;
        Ok(Intake { writer, inflater })
    }

    /// Makes a blob of what came.
    pub(crate) async fn commit(
        &self,
        progress: &mut Progress,
        store: &dyn BlobStore,
    ) -> Result<()> {
        if let Progress::Empty = progress {
            *progress = Progress::Open(self.begin(store).await?);
        }
        let Progress::Open(intake) = std::mem::replace(progress, Progress::Spent) else {
            return Err(ReapiError::Write("the upload has ended"));
        };
        if let Some(inflater) = &intake.inflater {
            inflater.finish()?;
        }
        let expected = &self.key.name.resource.blob.digest;
        intake.writer.commit(Some(expected)).await?;
        Ok(())
    }

    fn is_compressed(&self) -> bool {
        self.key.name.resource.form == Form::Zstd
    }

    fn touch(&self) {
        let now = self.clock.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.touched.store(now, Ordering::Relaxed);
    }

    fn idle(&self) -> Duration {
        let touched = Duration::from_millis(self.touched.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(touched)
    }
}

/// All uploads.
#[derive(Debug)]
pub(crate) struct Sessions {
    table: Mutex<Table>,
    most: usize,
    most_compressed: usize,
    idle: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Key, Arc<Session>>,
    has_reaper: bool,
}

impl Table {
    /// An upload that nobody is at work on: only the table has it.
    fn is_left(session: &Arc<Session>) -> bool {
        Arc::strong_count(session) == 1
    }

    /// Takes out the one that was left the longest.
    fn take_left(&mut self, compressed: bool) -> Option<Arc<Session>> {
        let left = self.open.values().filter(|it| Self::is_left(it));
        let left = left.filter(|it| !compressed || it.is_compressed());
        let key = left.max_by_key(|it| it.idle())?.key.clone();
        self.open.remove(&key)
    }

    fn compressed(&self) -> usize {
        self.open.values().filter(|it| it.is_compressed()).count()
    }
}

impl Sessions {
    pub(crate) fn new(config: &ReapiConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            table: Mutex::default(),
            most: config.upload_sessions,
            most_compressed: config.zstd_streams,
            idle: Duration::from_secs(config.upload_idle_seconds),
            clock,
        }
    }

    /// The upload of this name: one that is open, or a new one. If there are too many,
    /// the one that was left the longest makes room.
    ///
    /// # Errors
    /// [`ReapiError::Unavailable`] if all are at work.
    pub(crate) fn open(self: &Arc<Self>, key: Key) -> Result<Arc<Session>> {
        let mut gone = Vec::new();
        let mut table = self.table.lock();
        if let Some(session) = self.find_in(&mut table, &key, &mut gone) {
            return Ok(session);
        }
        let compressed = key.name.resource.form == Form::Zstd;
        if !self.make_room(&mut table, compressed, &mut gone) {
            return Err(ReapiError::Unavailable("too many uploads are open"));
        }
        let session = Arc::new(Session::new(key.clone(), Arc::clone(&self.clock)));
        table.open.insert(key, Arc::clone(&session));
        if !std::mem::replace(&mut table.has_reaper, true) {
            tokio::spawn(reap_while_alive(Arc::downgrade(self)));
        }
        // Their writers are dropped when nobody waits for the table any more.
        drop(table);
        drop(gone);
        Ok(session)
    }

    /// Makes room for one more; false if all that take it are at work.
    fn make_room(&self, table: &mut Table, compressed: bool, gone: &mut Vec<Arc<Session>>) -> bool {
        let mut room = table.open.len() < self.most;
        if !room {
            let left = table.take_left(false);
            room = left.is_some();
            gone.extend(left);
        }
        if room && compressed && table.compressed() >= self.most_compressed {
            let left = table.take_left(true);
            room = left.is_some();
            gone.extend(left);
        }
        room
    }

    /// An open upload.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<Session>> {
        let mut gone = Vec::new();
        let mut table = self.table.lock();
        let found = self.find_in(&mut table, key, &mut gone);
        drop(table);
        drop(gone);
        found
    }

    fn find_in(
        &self,
        table: &mut Table,
        key: &Key,
        gone: &mut Vec<Arc<Session>>,
    ) -> Option<Arc<Session>> {
        let session = table.open.get(key)?;
        if Table::is_left(session) && session.idle() > self.idle {
            gone.extend(table.open.remove(key));
            return None;
        }
        session.touch();
        Some(Arc::clone(session))
    }

    /// Ends an upload that became a blob or failed for good.
    pub(crate) fn end(&self, session: &Arc<Session>) {
        let mut table = self.table.lock();
        // Not one of the same name that began meanwhile.
        let is_it = |open: &Arc<Session>| Arc::ptr_eq(open, session);
        let gone = match table.open.get(&session.key).is_some_and(is_it) {
            true => table.open.remove(&session.key),
            false => None,
        };
        drop(table);
        drop(gone);
    }

    /// Gives up what was left for too long, and frees its room.
    fn reap(&self) {
        let mut table = self.table.lock();
        let open = std::mem::take(&mut table.open);
        let (gone, kept): (HashMap<_, _>, _) = open
            .into_iter()
            .partition(|(_, it)| Table::is_left(it) && it.idle() > self.idle);
        table.open = kept;
        drop(table);
        if !gone.is_empty() {
            tracing::info!(count = gone.len(), "gave up idle uploads");
        }
    }
}

/// Ends with the services.
async fn reap_while_alive(sessions: Weak<Sessions>) {
    loop {
        time::sleep(REAP_EVERY).await;
        match sessions.upgrade() {
            Some(sessions) => sessions.reap(),
            None => return,
        }
    }
}
