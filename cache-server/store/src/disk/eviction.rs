//! Making room: the oldest entries of the queues are judged until enough is free.

use std::sync::Arc;

use cache_core::{
    Error, Result,
    evict::{Queue, Verdict, judge, next_queue},
};

use super::{
    index::Record,
    layout::Key,
    room::{Reservation, Short},
    state::{State, held_for},
};
use crate::blocking::blocking;

/// Victims whose removal from the index is made durable together.
const BATCH: usize = 64;

impl State {
    /// Reserves room, evicting if there is none.
    ///
    /// # Errors
    /// [`Error::Full`] if all that may be evicted is not enough.
    pub(super) async fn reserve(self: &Arc<Self>, bytes: u64) -> Result<Reservation> {
        if self.index.rocks().is_failed() || self.small.is_failed() {
            return Err(Error::ReadOnly {
                reason: "the index cannot be written",
            });
        }
        if let Ok(reservation) = self.room.reserve(self.index.all_bytes(), bytes) {
            return Ok(reservation);
        }
        let state = Arc::clone(self);
        blocking(move || {
            state.evict(bytes)?;
            state
                .room
                .reserve(state.index.all_bytes(), bytes)
                .map_err(|short| {
                    let (label, reason) = match short {
                        Short::Quota(_) => ("quota", "the quota is used up by blobs in use"),
                        Short::Disk(_) => ("disk", "the disk is full"),
                    };
                    state.metrics.refused.with_label_values(&[label]).inc();
                    Error::Full { reason }
                })
        })
        .await
    }

    /// Evicts until the low watermark is met and `bytes` more fit, or nothing is
    /// left that may go.
    ///
    /// First what no lease holds; if that does not make the bytes fit, also what
    /// is only held by the preferred lease time. Blocks.
    pub(super) fn evict(self: &Arc<Self>, bytes: u64) -> Result<()> {
        let _one_at_a_time = self.evicting.lock();
        let preferred = held_for(self.config.lease, self.config.min_lease);
        let in_any_case = held_for(self.config.min_lease, self.config.min_lease);
        self.evict_to(self.goal(bytes), preferred)?;
        let must = self.lacking(bytes);
        if must > 0 {
            let goal = self.index.all_bytes().saturating_sub(must);
            self.evict_to(goal, in_any_case)?;
        }
        Ok(())
    }

    /// Whether the high watermark is passed.
    pub(super) fn is_crowded(&self) -> bool {
        let taken = self.index.all_bytes() + self.room.reserved();
        taken > share(self.room.quota(), self.config.high_watermark)
            || self.room.has_disk(0).is_err()
    }

    /// The bytes that may stay stored.
    fn goal(&self, bytes: u64) -> u64 {
        let low = share(self.room.quota(), self.config.low_watermark);
        let by_quota = low.saturating_sub(self.room.reserved() + bytes);
        self.index
            .all_bytes()
            .saturating_sub(self.disk_short(bytes))
            .min(by_quota)
    }

    /// The bytes that must go for `bytes` to fit.
    fn lacking(&self, bytes: u64) -> u64 {
        let taken = self.index.all_bytes() + self.room.reserved() + bytes;
        taken
            .saturating_sub(self.room.quota())
            .max(self.disk_short(bytes))
    }

    fn disk_short(&self, bytes: u64) -> u64 {
        match self.room.has_disk(bytes) {
            Err(Short::Disk(short) | Short::Quota(short)) => short,
            Ok(()) => 0,
        }
    }

    /// Evicts until `goal` bytes are stored, sparing what was used in the last
    /// `held` seconds.
    fn evict_to(self: &Arc<Self>, goal: u64, held: u64) -> Result<Collected> {
        let mut round = Round::new(self, held);
        while self.index.all_bytes() > goal {
            let victims = round.victims(goal)?;
            if victims.is_empty() {
                break;
            }
            self.unlink(&victims)?;
        }
        Ok(round.collected)
    }

    /// Evicts, for someone who asks for it, until `goal` bytes are stored; down to the low
    /// watermark without one. No lease gives way. Blocks.
    ///
    /// A dry run counts from the oldest entries on and gives no second chance to what was
    /// used, so it names about as many bytes, but perhaps those of other blobs.
    pub(super) fn collect(self: &Arc<Self>, goal: Option<u64>, dry_run: bool) -> Result<Collected> {
        let _one_at_a_time = self.evicting.lock();
        let low = share(self.room.quota(), self.config.low_watermark);
        let goal = goal.unwrap_or(low);
        let held = held_for(self.config.lease, self.config.min_lease);
        if dry_run {
            return self.collectable(goal, held);
        }
        self.evict_to(goal, held)
    }

    fn collectable(&self, goal: u64, held: u64) -> Result<Collected> {
        let mut found = Collected::default();
        let excess = self.index.all_bytes().saturating_sub(goal);
        for queue in [Queue::Small, Queue::Main] {
            let mut behind = 0;
            loop {
                let entries = self.index.oldest(queue, behind, BATCH)?;
                let Some((last, _)) = entries.last() else {
                    break;
                };
                behind = *last;
                for (seq, key) in &entries {
                    if found.bytes >= excess {
                        return Ok(found);
                    }
                    let record = self.index.record(key)?;
                    let record = record.filter(|it| it.seq == *seq && it.queue() == queue);
                    let Some(record) = record.filter(|it| self.idle(key, it) > held) else {
                        continue;
                    };
                    found.blobs += 1;
                    found.bytes += record.charge();
                }
            }
        }
        Ok(found)
    }
}

/// What was evicted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs.
    pub blobs: u64,
    /// What they took, in bytes.
    pub bytes: u64,
}

/// One walk over both queues, from the oldest entries on.
struct Round<'a> {
    state: &'a Arc<State>,
    held: u64,
    small: Walk,
    main: Walk,
    collected: Collected,
}

/// How far one queue was walked.
struct Walk {
    queue: Queue,
    /// Entries up to this number were judged; held ones stay where they are.
    behind: u64,
    ended: bool,
}

impl<'a> Round<'a> {
    fn new(state: &'a Arc<State>, held: u64) -> Self {
        let walk = |queue| Walk {
            queue,
            behind: 0,
            ended: false,
        };
        Self {
            state,
            held,
            small: walk(Queue::Small),
            main: walk(Queue::Main),
            collected: Collected::default(),
        }
    }

    /// Up to a batch of blobs that have left the index; empty at the end.
    fn victims(&mut self, goal: u64) -> Result<Vec<Key>> {
        let mut victims = Vec::new();
        let index = &self.state.index;
        while victims.len() < BATCH && index.all_bytes() > goal {
            let Some(walk) = self.next_walk() else { break };
            let entries = index.oldest(walk.queue, walk.behind, BATCH)?;
            walk.ended = entries.len() < BATCH;
            let (queue, last) = (walk.queue, entries.last().map(|(seq, _)| *seq));
            walk.behind = last.unwrap_or(walk.behind);
            for (seq, key) in entries {
                if index.all_bytes() <= goal {
                    break;
                }
                if self.judge(queue, seq, &key)? {
                    victims.push(key);
                }
            }
        }
        Ok(victims)
    }

    /// The queue to take from next, or the other if that one is walked to its end.
    fn next_walk(&mut self) -> Option<&mut Walk> {
        let index = &self.state.index;
        let small_first =
            next_queue(index.bytes(Queue::Small), index.bytes(Queue::Main)) == Queue::Small;
        let (first, second) = if small_first {
            (&mut self.small, &mut self.main)
        } else {
            (&mut self.main, &mut self.small)
        };
        [first, second].into_iter().find(|walk| !walk.ended)
    }

    /// Judges one entry under the lock that leases are given under. True if the
    /// blob left the index.
    fn judge(&mut self, queue: Queue, seq: u64, key: &Key) -> Result<bool> {
        let state = self.state;
        let _stripe = state.stripes.lock(key);
        let record = state.index.record(key)?;
        let Some(record) = record.filter(|r| r.seq == seq && r.queue() == queue) else {
            state.index.edit(|edit| edit.drop_entry(queue, seq))?;
            return Ok(false);
        };
        let idle = state.idle(key, &record);
        if idle <= self.held {
            return Ok(false);
        }
        let uses = state
            .touches
            .of(key)
            .map_or(record.uses, |t| t.uses.max(record.uses));
        match judge(queue, uses, false) {
            Verdict::Requeue { queue, uses } => {
                state.touches.forget_uses(key);
                state
                    .index
                    .edit(|edit| edit.requeue(key, &record, queue, uses))?;
                Ok(false)
            }
            Verdict::Evict { remember } => {
                state
                    .index
                    .edit(|edit| edit.erase(key, &record, remember))?;
                state.condemned.lock().insert(*key);
                state.residency.forget(key);
                state.touches.forget(key);
                self.count(&record, idle);
                Ok(true)
            }
        }
    }

    fn count(&mut self, record: &Record, idle: u64) {
        self.collected.blobs += 1;
        self.collected.bytes += record.charge();
        let metrics = &self.state.metrics;
        metrics.evicted_blobs.inc();
        metrics.evicted_bytes.inc_by(record.charge());
        metrics.eviction_age.set(idle as i64);
        if idle <= held_for(self.state.config.lease, self.state.config.min_lease) {
            metrics.broken_leases.inc();
        }
    }
}

/// `percent` of `bytes`.
fn share(bytes: u64, percent: u8) -> u64 {
    (u128::from(bytes) * u128::from(percent) / 100) as u64
}
