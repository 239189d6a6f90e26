//! Which blobs are here, in memory: what the index knows in brief, so that the question
//! which of ten thousand are missing needs no database.
//!
//! It follows the index: each change of a record is repeated here under the stripe that
//! it was made under, and what was in the index before is filled in behind the start
//! ([`super::fill`]). Only when a whole stripe was gone through does "not here" mean
//! absent. Whatever is not certain is asked of the index: a record in doubt or not
//! durable yet, one of a stripe that is not filled, one there was no memory for.
//!
//! A key is known by a tag of 96 bits, a keyed hash of all of it (SipHash, whose key is
//! drawn at the start). The first bits of the key itself would do for keys that are
//! hashes of something; but a client may ask for 32 bytes that differ from a stored name
//! in the last one, and must be told that they are absent. Who does not know the key can
//! only guess: one question in 2^92 for an absent blob is answered wrongly.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use cache_core::{GROUP, evict::MAX_USES};
use parking_lot::{Mutex, MutexGuard};

use super::{
    index::{Record, Records},
    layout::Key,
    stripes::{STRIPES, stripe},
    tags::{SLOT, Tag, Tags},
    trust::Trust,
};

/// What the index knows, sharded as the stripes are.
#[derive(Debug)]
pub(super) struct Presence {
    shards: [Mutex<Shard>; STRIPES],
    hasher: RandomState,
    trust: Arc<Trust>,
    /// Entries of a shard at most.
    most: usize,
}

#[derive(Debug, Default)]
struct Shard {
    tags: Tags,
    filled: Filled,
    /// How often everything was forgotten.
    generation: u64,
}

/// How much of a stripe was filled in.
#[derive(Debug, Default)]
enum Filled {
    /// Nothing is kept: the database may lose or find records.
    #[default]
    Closed,
    /// What comes before these bytes, in the order of [`Place`].
    UpTo(Vec<u8>),
    /// Everything.
    Whole,
    /// As much as there was memory for.
    Partly,
}

/// Where filling a stripe goes on.
#[derive(Debug)]
pub(super) struct Place {
    generation: u64,
    /// The next key, or what it begins with. The keys of a stripe are four ranges of the
    /// index, each with its own first byte.
    pub(super) from: Vec<u8>,
}

/// What memory knows of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is in the index, and a client may be told so.
    Here(Brief),
    /// It is not in the index.
    Absent,
    /// Only the index can tell.
    Unsure,
}

/// A record in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    /// Length in bytes.
    pub(super) size: u64,
    /// The index knows a use at this time or up to [`COARSE`] later, in seconds of the
    /// store's clock.
    pub(super) used: u64,
    /// Uses that the index knows.
    pub(super) uses: u8,
}

/// Bits of a size: 64 GiB. A larger blob is asked of the index.
const SIZE_BITS: u32 = 36;
/// Bits of a time, in steps of [`COARSE`]: 8.5 years of running.
const TIME_BITS: u32 = 24;
/// Seconds that times are rounded down to.
const COARSE: u64 = 16;
const USES_SHIFT: u32 = SIZE_BITS + TIME_BITS;
/// The index is to be asked.
const ASK: u64 = 1 << (USES_SHIFT + 2);

impl Brief {
    /// Whether the bytes are in the database of small blobs.
    pub(super) const fn is_small(&self) -> bool {
        self.size <= GROUP as u64
    }

    /// Whether the index counts further uses.
    pub(super) const fn may_be_used_more(&self) -> bool {
        self.uses < MAX_USES
    }

    /// `None` if its size takes more bits than there are.
    fn pack(record: &Record) -> Option<u64> {
        let time = (record.used / COARSE).min((1 << TIME_BITS) - 1);
        let uses = u64::from(record.uses.min(MAX_USES));
        (record.size < 1 << SIZE_BITS)
            .then_some(record.size << TIME_BITS | time | uses << USES_SHIFT)
    }

    const fn unpack(value: u64) -> Self {
        Self {
            size: value >> TIME_BITS & ((1 << SIZE_BITS) - 1),
            used: (value & ((1 << TIME_BITS) - 1)) * COARSE,
            uses: (value >> USES_SHIFT & 3) as u8,
        }
    }
}

impl Presence {
    /// Takes up to `memory` bytes.
    pub(super) fn new(memory: u64, trust: Arc<Trust>) -> Self {
        let presence = Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            trust,
            // A ninth of the places is free when a table grows.
            most: (memory / (SLOT * STRIPES) as u64 * 9 / 10) as usize,
        };
        presence.open();
        presence
    }

    /// Forgets everything; nothing is kept until [`Presence::open`].
    pub(super) fn close(&self) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            *shard = Shard {
                generation: shard.generation + 1,
                ..Shard::default()
            };
        }
    }

    /// Forgets everything and begins anew.
    pub(super) fn open(&self) {
        for (stripe, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock();
            *shard = Shard {
                tags: Tags::default(),
                filled: Filled::UpTo(vec![stripe as u8]),
                generation: shard.generation + 1,
            };
        }
    }

    /// Notes what the index says of a key. The caller holds the key's stripe.
    pub(super) fn note(&self, key: &Key, record: Option<&Record>) {
        let tag = self.tag(key);
        let mut shard = self.shards[stripe(key)].lock();
        match record {
            Some(record) => self.insert(&mut shard, tag, record),
            None => shard.tags.remove(&tag),
        }
    }

    /// Looks for keys of one stripe, which the caller holds.
    pub(super) fn look(&self, stripe: usize) -> Look<'_> {
        Look {
            presence: self,
            shard: self.shards[stripe].lock(),
        }
    }

    /// Where filling a stripe goes on; `None` if nothing is left to do.
    pub(super) fn unfilled(&self, stripe: usize) -> Option<Place> {
        let shard = self.shards[stripe].lock();
        match &shard.filled {
            Filled::UpTo(from) => Some(Place {
                generation: shard.generation,
                from: from.clone(),
            }),
            _ => None,
        }
    }

    /// Whether nothing is left to be filled in.
    pub(super) fn is_filled(&self) -> bool {
        let mut shards = self.shards.iter();
        shards.all(|shard| !matches!(shard.lock().filled, Filled::UpTo(_)))
    }

    /// Takes in what the index has at a place, and goes on behind it. The caller has held the stripe since before it read the index.
    pub(super) fn fill(&self, place: &Place, records: Records) {
        let first = place.from[0];
        let mut shard = self.shards[usize::from(first) % STRIPES].lock();
        // What was read before everything was forgotten is worth nothing.
        if shard.generation != place.generation || !matches!(shard.filled, Filled::UpTo(_)) {
            return;
        }
        let range = first.checked_add(STRIPES as u8).map(|first| vec![first]);
        shard.filled = records.next.or(range).map_or(Filled::Whole, Filled::UpTo);
        for (key, record) in &records.found {
            self.insert(&mut shard, self.tag(key), record);
        }
    }

    /// Fills a stripe no further: the index cannot be read.
    pub(super) fn give_up(&self, stripe: usize) {
        self.shards[stripe].lock().filled = Filled::Partly;
    }

    fn insert(&self, shard: &mut Shard, tag: Tag, record: &Record) {
        if matches!(shard.filled, Filled::Closed) {
            return;
        }
        if shard.tags.len() >= self.most && shard.tags.find(&tag).is_none() {
            shard.filled = Filled::Partly;
            return;
        }
        // Judged under the lock of the shard: whoever finds an epoch suspect forgets
        // everything behind it, also what is noted here.
        let plain = self.trust.is_trusted(record) && self.trust.is_kept(record);
        let value = Brief::pack(record).filter(|_| plain).unwrap_or(ASK);
        shard.tags.insert(tag, value);
    }

    fn tag(&self, key: &Key) -> Tag {
        let first = self.hasher.hash_one((0_u8, key));
        let second = self.hasher.hash_one((1_u8, key));
        [(first >> 32) as u32, first as u32, second as u32]
    }
}

/// One stripe, to be looked at many times.
#[derive(Debug)]
pub(super) struct Look<'a> {
    presence: &'a Presence,
    shard: MutexGuard<'a, Shard>,
}

impl Look<'_> {
    pub(super) fn find(&self, key: &Key) -> Known {
        match self.shard.tags.find(&self.presence.tag(key)) {
            Some(value) if value & ASK == 0 => Known::Here(Brief::unpack(value)),
            None if matches!(self.shard.filled, Filled::Whole) => Known::Absent,
            Some(_) | None => Known::Unsure,
        }
    }
}

#[cfg(test)]
mod tests {
    use cache_core::Digest;

    use super::{super::config::BlobDurability, *};

    fn record(size: u64, epoch: u64) -> Record {
        Record {
            size,
            root: Some([0; 32]),
            epoch,
            used: 1000,
            uses: 2,
            main: false,
            seq: 1,
            aliases: Vec::new(),
        }
    }

    fn key(number: u64) -> Key {
        Digest::sha256(&number.to_le_bytes()).as_sha256().unwrap()
    }

    fn find(presence: &Presence, key: &Key) -> Known {
        presence.look(stripe(key)).find(key)
    }

    /// A presence of an index that has nothing but `records`, filled.
    fn filled(memory: u64, promised: BlobDurability, records: &[(Key, Record)]) -> Presence {
        let presence = Presence::new(memory, Arc::new(Trust::new(promised)));
        for at in 0..STRIPES {
            while let Some(place) = presence.unfilled(at) {
                let here = |(key, _): &&(Key, Record)| key[0] == place.from[0];
                let found = records.iter().filter(here).cloned().collect();
                presence.fill(&place, Records { found, next: None });
            }
        }
        presence
    }

    #[test]
    fn absence_is_known_only_when_the_stripe_was_gone_through() {
        let trust = Arc::new(Trust::new(BlobDurability::Grouped));
        let presence = Presence::new(1 << 20, trust);
        let (here, gone) = (key(1), key(2));
        presence.note(&here, Some(&record(7, 0)));
        assert!(matches!(find(&presence, &here), Known::Here(brief) if brief.size == 7));
        assert_eq!(find(&presence, &gone), Known::Unsure);
        let presence = filled(1 << 20, BlobDurability::Grouped, &[(here, record(7, 0))]);
        let brief = Brief {
            size: 7,
            used: 992,
            uses: 2,
        };
        assert_eq!(find(&presence, &here), Known::Here(brief));
        assert_eq!(find(&presence, &gone), Known::Absent);
        presence.note(&here, None);
        assert_eq!(find(&presence, &here), Known::Absent);
    }

    #[test]
    fn a_name_that_differs_in_one_bit_is_absent() {
        let here = key(1);
        let presence = filled(1 << 20, BlobDurability::Grouped, &[(here, record(7, 0))]);
        for bit in 0..256 {
            let mut other = here;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(find(&presence, &other), Known::Absent, "bit {bit}");
        }
    }

    #[test]
    fn what_there_is_no_memory_for_is_asked_of_the_index() {
        let records: Vec<_> = (0..10_000).map(|n| (key(n), record(n, 0))).collect();
        let presence = filled(100 << 10, BlobDurability::Grouped, &records);
        let known = records.iter().filter(|(key, record)| {
            match find(&presence, key) {
                Known::Here(brief) => assert_eq!(brief.size, record.size),
                Known::Absent => panic!("it is here"),
                Known::Unsure => return false,
            }
            true
        });
        let known = known.count();
        assert!((4000..6000).contains(&known), "{known} of 10,000");
    }

    #[test]
    fn records_in_doubt_or_not_durable_yet_and_huge_ones_are_asked_of_the_index() {
        let (old, new, huge) = (key(1), key(2), key(3));
        let records = [
            (old, record(7, 3)),
            (new, record(7, 4)),
            (huge, record(1 << 36, 3)),
        ];
        let presence = filled(1 << 20, BlobDurability::Strict, &[]);
        presence.trust.set_durable(3);
        for (key, record) in &records {
            presence.note(key, Some(record));
        }
        assert!(matches!(find(&presence, &old), Known::Here(_)));
        assert_eq!(find(&presence, &new), Known::Unsure);
        assert_eq!(find(&presence, &huge), Known::Unsure);

        let unproven = Record {
            root: None,
            ..record(7, 3)
        };
        presence.note(&old, Some(&unproven));
        assert_eq!(find(&presence, &old), Known::Unsure);
        presence.trust.suspects_mut().insert(3);
        presence.note(&old, Some(&record(7, 3)));
        assert_eq!(find(&presence, &old), Known::Unsure);
    }

    #[test]
    fn what_was_read_before_everything_was_forgotten_is_not_taken_in() {
        let trust = Arc::new(Trust::new(BlobDurability::Grouped));
        let presence = Presence::new(1 << 20, trust);
        let here = key(1);
        let place = presence.unfilled(stripe(&here)).unwrap();
        presence.close();
        presence.note(&here, Some(&record(7, 0)));
        assert_eq!(find(&presence, &here), Known::Unsure, "nothing is kept");
        presence.open();
        let found = vec![(here, record(7, 0))];
        presence.fill(&place, Records { found, next: None });
        assert_eq!(find(&presence, &here), Known::Unsure);
        let again = presence.unfilled(stripe(&here)).unwrap();
        assert_eq!(again.from, place.from);
    }
}
