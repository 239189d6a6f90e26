//! Leasing: which blobs are here, and the promise that they stay, given under the lock
//! that evictions take.

use std::sync::atomic::Ordering;

use cache_core::{Digest, Result};

use super::{
    index::Record,
    layout::Key,
    presence::{Brief, Known},
    state::State,
    stripes::{STRIPES, stripe},
};

/// What became of a call for many blobs.
#[derive(Debug)]
pub(super) struct Leased {
    /// The size in bytes of each blob that is here, in the order asked.
    pub(super) sizes: Vec<Option<u64>>,
    /// Whether a client may be told without waiting for the disk.
    pub(super) are_kept: bool,
}

/// The places of a call's digests, together with the others of their stripe.
struct Sorted {
    places: Vec<u32>,
    /// Where the places of each stripe end, and those of digests of other algorithms.
    ends: [usize; STRIPES + 1],
}

impl State {
    /// Leases a blob of which memory knows whether it is here: `Some(None)` if it is
    /// not, `None` if only the disk can tell. Never waits.
    pub(super) fn lease_known(&self, key: &Key) -> Option<Option<u64>> {
        let _stripe = self.stripes.try_lock(key)?;
        if let Some(size) = self.residency.size(key) {
            self.touches.touch(key, self.now());
            return Some(Some(size));
        }
        match self.index.presence().look(stripe(key)).find(key) {
            Known::Here(brief) if brief.is_small() => {
                self.note_lease(key, &brief, self.now());
                Some(Some(brief.size))
            }
            Known::Absent if self.is_index_complete() => Some(None),
            _ => self.lease_cached(key).map(Some),
        }
    }

    /// Leases a blob whose record is in the database's memory. The caller holds the stripe.
    fn lease_cached(&self, key: &Key) -> Option<u64> {
        let record = self.index.cached_record(key)?;
        let known = record.is_small() && self.is_trusted(&record) && self.trust.is_kept(&record);
        known.then(|| self.touches.touch(key, self.now()))?;
        Some(record.size)
    }

    /// Leases those of many blobs that are here. Blocks.
    pub(super) fn lease_all(&self, digests: &[Digest]) -> Result<Leased> {
        let mut leased = Leased {
            sizes: vec![None; digests.len()],
            are_kept: true,
        };
        let sorted = Sorted::new(digests);
        let mut unsure = sorted.of(STRIPES).to_vec();
        for stripe in 0..STRIPES {
            let places = sorted.of(stripe);
            if !places.is_empty() {
                self.lease_stripe(stripe, digests, places, &mut leased.sizes, &mut unsure);
            }
            if self.touches.is_crowded_at(stripe)
                && let Err(error) = self.flush_stripe(stripe)
            {
                tracing::warn!(%error, "uses of blobs could not be noted yet");
            }
        }
        // Neighbours are in the same blocks of the database.
        unsure.sort_unstable_by_key(|place| digests[*place as usize]);
        for place in unsure {
            let place = place as usize;
            if let Some(key) = self.index.name(&digests[place])?
                && let Some(record) = self.lease(&key)?
            {
                leased.sizes[place] = Some(record.size);
                leased.are_kept &= self.trust.is_kept(&record);
            }
        }
        Ok(leased)
    }

    /// Leases those blobs of one stripe of which memory knows enough, and adds the places
    /// of the others to `unsure`.
    fn lease_stripe(
        &self,
        stripe: usize,
        digests: &[Digest],
        places: &[u32],
        sizes: &mut [Option<u64>],
        unsure: &mut Vec<u32>,
    ) {
        let _stripe = self.stripes.lock_at(stripe);
        let look = self.index.presence().look(stripe);
        let (now, complete) = (self.now(), self.is_index_complete());
        for place in places {
            let digest = &digests[*place as usize];
            let Some(key) = digest.as_sha256() else {
                continue;
            };
            match look.find(&key) {
                Known::Absent if complete => {}
                Known::Here(brief) if brief.is_small() || self.residency.large(&key).is_some() => {
                    self.note_lease(&key, &brief, now);
                    sizes[*place as usize] = Some(brief.size);
                }
                _ => unsure.push(*place),
            }
        }
    }

    /// Notes a use, as far as it changes anything: what the index says may be younger
    /// than the coarseness of leases already. The caller holds the stripe.
    fn note_lease(&self, key: &Key, brief: &Brief, now: u64) {
        if now >= brief.used + self.coarseness() {
            self.touches.touch(key, now);
        } else if brief.may_be_used_more() {
            self.touches.count(key, now);
        }
    }

    /// The record of a blob that is present and will not be evicted for the lease
    /// time from now. Blocks; a blob in doubt is read whole first.
    pub(super) fn lease(&self, key: &Key) -> Result<Option<Record>> {
        let stripe = self.stripes.lock(key);
        let record = match self.index.record(key)? {
            Some(record) => record,
            None if !self.is_index_complete() => match self.adopt(key)? {
                Some(record) => record,
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        if !self.is_there(key, &record)? {
            drop(stripe);
            self.quarantine(key, "size", None);
            return Ok(None);
        }
        self.touches.touch(key, self.now());
        self.index.presence().note(key, Some(&record));
        // Without the lock: the blob is leased, and reading it takes time.
        drop(stripe);
        if self.is_trusted(&record) {
            return Ok(Some(record));
        }
        self.reverify(key, &record)
    }

    /// Whether the bytes need no check against their name before use.
    pub(super) fn is_trusted(&self, record: &Record) -> bool {
        self.trust.is_trusted(record)
    }

    /// Whether what the index does not know is absent.
    fn is_index_complete(&self) -> bool {
        !self.incomplete.load(Ordering::Acquire)
    }
}

impl Sorted {
    /// Counts, then places: two walks over the digests.
    fn new(digests: &[Digest]) -> Self {
        let of = |digest: &Digest| digest.as_sha256().map_or(STRIPES, |key| stripe(&key));
        let mut ends = [0; STRIPES + 1];
        for digest in digests {
            ends[of(digest)] += 1;
        }
        let mut sum = 0;
        for end in &mut ends {
            // For now where the stripe begins.
            sum += std::mem::replace(end, sum);
        }
        let mut places = vec![0; digests.len()];
        for (place, digest) in digests.iter().enumerate() {
            let next = &mut ends[of(digest)];
            places[*next] = place as u32;
            *next += 1;
        }
        Self { places, ends }
    }

    /// The places of a stripe's digests; of other algorithms' behind the last stripe.
    fn of(&self, stripe: usize) -> &[u32] {
        let begin = stripe.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.places[begin..self.ends[stripe]]
    }
}

#[cfg(test)]
mod tests {
    use cache_core::Algorithm;

    use super::*;

    #[test]
    fn digests_are_sorted_by_their_stripe_and_none_is_lost() {
        let mut digests: Vec<_> = (0..1000_u32)
            .map(|number| Digest::sha256(&number.to_le_bytes()))
            .collect();
        digests.insert(500, Digest::of(Algorithm::Blake3, b"other"));
        let sorted = Sorted::new(&digests);
        let mut seen = Vec::new();
        for at in 0..STRIPES {
            for place in sorted.of(at) {
                let key = digests[*place as usize].as_sha256().unwrap();
                assert_eq!(stripe(&key), at);
                seen.push(*place);
            }
        }
        assert_eq!(sorted.of(STRIPES), [500]);
        seen.push(500);
        seen.sort_unstable();
        assert_eq!(seen, (0..1001).collect::<Vec<_>>());
        assert!(Sorted::new(&[]).of(STRIPES).is_empty());
    }
}
