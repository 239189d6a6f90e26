//! What runs beside the requests: durable points, eviction, copies of the refs,
//! the scrub, and coming back after a fault.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use cache_core::Result;

use super::{durability::Requests, state::State};
use crate::blocking::blocking;

/// How often crowding and faults are looked for. Uploads make room for themselves;
/// this only keeps the room ahead of them.
const TICK: Duration = Duration::from_millis(500);

/// Uses are written out this often.
const TOUCHES: Duration = Duration::from_secs(60);

/// How often what memory knows of the index is filled further, and for how long: a tenth
/// of a processor, 20 s for a million blobs.
const FILL: (Duration, Duration) = (Duration::from_millis(90), Duration::from_millis(10));

/// How often it is looked whether something is to be filled again.
const FILL_TICK: Duration = Duration::from_secs(1);

/// Refs of evicted blobs are looked for this often.
const SWEEP: Duration = Duration::from_secs(3600);

/// Whether a scrub is due is looked at this often.
const SCRUB_TICK: Duration = Duration::from_secs(60);

/// Starts everything; it ends when the store is dropped.
pub(super) fn start(state: &Arc<State>, requests: Requests) {
    start_syncer(state, requests);
    if state.incomplete.load(Ordering::Acquire) {
        start_rebuild(state);
    }
    every(TICK, Arc::downgrade(state), |state| {
        state.report();
        // A file system that was read-only at the start may take writes now.
        if state.layout.take_possession().is_ok() {
            state.index.revive();
            state.small.revive();
        }
        if state.touches.is_crowded() {
            state.flush_touches()?;
        }
        if state.is_crowded() {
            state.evict(0)
        } else {
            Ok(())
        }
    });
    start_fill(state);
    every(TOUCHES, Arc::downgrade(state), |state| {
        state.flush_touches()
    });
    every(Duration::from_secs(10), Arc::downgrade(state), |state| {
        let emptied = state.layout.empty_trash();
        emptied.map_err(|error| cache_core::Error::backend("emptying the trash")(error.into()))
    });
    every(SWEEP, Arc::downgrade(state), |state| {
        let swept = state.sweep_refs()?;
        tracing::info!(swept, "unbound the refs of evicted blobs");
        Ok(())
    });
    start_checkpoints(state);
    start_scrub(state);
}

fn start_syncer(state: &Arc<State>, requests: Requests) {
    let weak = Arc::downgrade(state);
    let (interval, metrics) = (state.config.sync_interval, state.metrics.clone());
    thread::spawn(move || {
        requests.serve(interval, &metrics, || Some(weak.upgrade()?.durable_point()));
    });
}

fn start_rebuild(state: &Arc<State>) {
    let weak = Arc::downgrade(state);
    thread::spawn(move || {
        let Some(state) = weak.upgrade() else { return };
        if let Err(error) = state.rebuild(|| Arc::strong_count(&state) == 1) {
            tracing::error!(%error, "the index could not be rebuilt; misses look at the disk");
        }
    });
}

fn start_fill(state: &Arc<State>) {
    let state = Arc::downgrade(state);
    tokio::spawn(async move {
        while let Some(wait) = fill(&state).await {
            tokio::time::sleep(wait).await;
        }
    });
}

/// Fills a little, and says how long to wait; `None` when the store was dropped.
async fn fill(state: &Weak<State>) -> Option<Duration> {
    let state = state.upgrade()?;
    if state.index.presence().is_filled() {
        return Some(FILL_TICK);
    }
    let filled = blocking(move || {
        state.fill(FILL.1);
        Ok(FILL.0)
    });
    filled.await.ok()
}

fn start_checkpoints(state: &Arc<State>) {
    let copied = AtomicU64::new(0);
    every(
        state.config.checkpoint_interval,
        Arc::downgrade(state),
        move |state| {
            let changes = state.ref_changes.load(Ordering::Acquire);
            if changes == copied.load(Ordering::Acquire) {
                return Ok(());
            }
            state.checkpoint()?;
            copied.store(changes, Ordering::Release);
            let now = state
                .clock
                .wall()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default();
            state.metrics.checkpoint.set(now.as_secs() as i64);
            Ok(())
        },
    );
}

fn start_scrub(state: &Arc<State>) {
    if state.config.scrub_interval.is_zero() {
        return;
    }
    every(SCRUB_TICK, Arc::downgrade(state), |state| {
        if !state.is_scrub_due()? {
            return Ok(());
        }
        let stop = || Arc::strong_count(state) == 1;
        let found = state.scrub(state.config.scrub_rate, stop)?;
        tracing::info!(?found, "scrubbed");
        Ok(())
    });
}

/// Runs `task` where it may block, again and again, until the store is dropped.
fn every(
    interval: Duration,
    state: Weak<State>,
    task: impl Fn(&Arc<State>) -> Result<()> + Send + Sync + 'static,
) {
    let task = Arc::new(task);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(interval).await;
            let Some(state) = state.upgrade() else { return };
            let task = Arc::clone(&task);
            if let Err(error) = blocking(move || task(&state)).await {
                tracing::warn!(%error, "upkeep failed; it is tried again");
            }
        }
    });
}
