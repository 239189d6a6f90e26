//! The scrub: reads everything that is stored against its seal, at a bounded
//! rate, and finds what rotted before a client does.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cache_core::Result;

use super::{layout::Key, state::State};

/// The fact under which the place of a begun scrub is kept.
const PLACE: &str = "scrub-place";

/// The fact that says when the last scrub ended, in seconds of the store's clock.
const ENDED: &str = "scrub-ended";

/// Records looked at in one go.
const BATCH: usize = 256;

/// What one scrub found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Blobs read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs that were damaged or lost, and are in quarantine now.
    pub damaged: u64,
}

impl State {
    /// Whether the last scrub was stopped midway or is the interval ago.
    pub(super) fn is_scrub_due(&self) -> Result<bool> {
        let begun = self.index.fact::<Option<Key>>(PLACE)?.flatten().is_some();
        let ended: u64 = self.index.fact(ENDED)?.unwrap_or(0);
        Ok(begun || self.now() >= ended + self.config.scrub_interval.as_secs())
    }

    /// Reads everything once, from where the last scrub was stopped, at `rate`
    /// bytes per second at most. Blocks; ends early when `stop` says so.
    pub(super) fn scrub(self: &Arc<Self>, rate: u64, stop: impl Fn() -> bool) -> Result<Scrubbed> {
        let mut found = Scrubbed::default();
        let suspects = self.durability.suspects();
        let mut place: Option<Key> = self.index.fact(PLACE)?.flatten();
        let whole = place.is_none();
        let start = Instant::now();
        loop {
            let records = self.index.records(place.as_ref(), BATCH)?;
            for (key, record) in &records {
                self.scrub_blob(key, record.size, &mut found)?;
                pace(start, found.bytes, rate);
                if stop() {
                    return Ok(found);
                }
            }
            place = records.last().map(|(key, _)| *key);
            self.index.set_fact(PLACE, &place)?;
            if place.is_none() {
                break;
            }
        }
        if whole {
            // Every record was read, so none of these epochs is in doubt any more.
            self.durability.acquit(&self.index, &suspects)?;
        }
        self.scrub_ended()?;
        Ok(found)
    }

    /// Reads everything once, from the start and as fast as it can be read, and leaves
    /// the place of a scrub that was stopped midway alone. Blocks; ends early when `tell`,
    /// which is told after each blob, says so.
    pub(super) fn scrub_all(
        self: &Arc<Self>,
        mut tell: impl FnMut(Scrubbed) -> bool,
    ) -> Result<Scrubbed> {
        let mut found = Scrubbed::default();
        let suspects = self.durability.suspects();
        let mut place: Option<Key> = None;
        loop {
            let records = self.index.records(place.as_ref(), BATCH)?;
            let Some((last, _)) = records.last() else {
                break;
            };
            place = Some(*last);
            for (key, record) in &records {
                self.scrub_blob(key, record.size, &mut found)?;
                if !tell(found) {
                    return Ok(found);
                }
            }
        }
        self.durability.acquit(&self.index, &suspects)?;
        self.scrub_ended()?;
        Ok(found)
    }

    fn scrub_ended(&self) -> Result<()> {
        self.index.set_fact(ENDED, &self.now())?;
        let now = self
            .clock
            .wall()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        self.metrics.scrub_end.set(now.as_secs() as i64);
        Ok(())
    }

    fn scrub_blob(self: &Arc<Self>, key: &Key, size: u64, found: &mut Scrubbed) -> Result<()> {
        found.blobs += 1;
        found.bytes += size;
        self.metrics.scrubbed_bytes.inc_by(size);
        // It may have been evicted since it was listed.
        let Some(record) = self.index.record(key)? else {
            found.blobs -= 1;
            return Ok(());
        };
        let there = self.is_there(key, &record)?;
        let good = if !there {
            self.quarantine(key, "scrub", None);
            false
        } else if self.is_trusted(&record) {
            self.check_seal(key, &record, "scrub")?.is_some()
        } else {
            self.reverify(key, &record)?.is_some()
        };
        found.damaged += u64::from(!good);
        Ok(())
    }
}

/// Waits until `bytes` since `start` are no more than `rate` allows.
fn pace(start: Instant, bytes: u64, rate: u64) {
    let due = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
    if let Some(early) = due.checked_sub(start.elapsed()) {
        std::thread::sleep(early);
    }
}
