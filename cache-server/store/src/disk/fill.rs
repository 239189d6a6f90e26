//! Filling what memory knows of the index ([`super::presence`]) behind a start: a little
//! at a time, so that no request waits for it.

use std::time::{Duration, Instant};

use cache_core::Result;

use super::{state::State, stripes::STRIPES};

/// Records read under one lock: a millisecond at most.
const BATCH: usize = 256;

impl State {
    /// Goes on filling for `time`, or until everything is filled. Blocks.
    pub(super) fn fill(&self, time: Duration) {
        let begun = Instant::now();
        for stripe in 0..STRIPES {
            while begun.elapsed() < time {
                match self.fill_batch(stripe) {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "a part of the index is not kept in memory");
                        self.index.presence().give_up(stripe);
                    }
                }
            }
        }
    }

    /// False if nothing was left to do.
    fn fill_batch(&self, stripe: usize) -> Result<bool> {
        let _stripe = self.stripes.lock_at(stripe);
        let presence = self.index.presence();
        let Some(place) = presence.unfilled(stripe) else {
            return Ok(false);
        };
        presence.fill(&place, self.index.records_at(&place.from, BATCH)?);
        Ok(true)
    }
}
