//! A table from the tags of keys to 60 bits each, as small as it can be: 20 bytes an
//! entry and a tenth to a fifth of them free.
//!
//! Linear probing in which entries stand in the order of their tags: a tag that is not
//! here is known to be absent at the first larger one, so the table may be nearly full.

/// 96 bits that stand for a key. The first 64 say where it is looked for, so they must be
/// evenly spread, whoever chose the key.
pub(super) type Tag = [u32; 3];

/// An entry that is in use has this bit set in its value.
const TAKEN: u64 = 1 << 63;

/// The fewest places of a table that has any.
const FEWEST: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    tag: Tag,
    /// The halves of a `u64`, which would be aligned to 8 bytes.
    value: [u32; 2],
}

/// Bytes of an entry.
pub(super) const SLOT: usize = size_of::<Slot>();

/// The table.
#[derive(Debug, Default)]
pub(super) struct Tags {
    /// As many as `homes`, and behind them those that were pushed over the end.
    slots: Vec<Slot>,
    /// Places that a tag can be looked for at first.
    homes: usize,
    /// Entries.
    len: usize,
}

impl Slot {
    fn new(tag: Tag, value: u64) -> Self {
        let value = value | TAKEN;
        Self {
            tag,
            value: [(value >> 32) as u32, value as u32],
        }
    }

    const fn is_taken(&self) -> bool {
        self.value[0] >> 31 == 1
    }

    fn value(&self) -> u64 {
        (u64::from(self.value[0]) << 32 | u64::from(self.value[1])) & !TAKEN
    }
}

impl Tags {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// What was last inserted under a tag.
    pub(super) fn find(&self, tag: &Tag) -> Option<u64> {
        let at = self.place(tag);
        let slot = self.slots.get(at)?;
        (slot.is_taken() && slot.tag == *tag).then(|| slot.value())
    }

    /// Inserts or replaces a value of 63 bits.
    pub(super) fn insert(&mut self, tag: Tag, value: u64) {
        if self.len * 10 >= self.homes * 9 {
            self.rebuild();
        }
        let at = self.place(&tag);
        let slot = Slot::new(tag, value);
        match self.slots.get_mut(at) {
            Some(old) if old.is_taken() && old.tag == tag => {
                *old = slot;
                return;
            }
            _ => {}
        }
        let behind = self.slots[at.min(self.slots.len())..].iter();
        let free = at + behind.take_while(|slot| slot.is_taken()).count();
        if free >= self.slots.len() {
            self.slots.resize(free + 1, Slot::default());
        }
        self.slots.copy_within(at..free, at + 1);
        self.slots[at] = slot;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, tag: &Tag) {
        let mut at = self.place(tag);
        match self.slots.get(at) {
            Some(slot) if slot.is_taken() && slot.tag == *tag => {}
            _ => return,
        }
        // Those that were pushed away from their homes move back.
        while let Some(next) = self.slots.get(at + 1).copied()
            && next.is_taken()
            && self.home(&next.tag) <= at
        {
            self.slots[at] = next;
            at += 1;
        }
        self.slots[at] = Slot::default();
        self.len -= 1;
        if self.homes > FEWEST && self.len * 3 < self.homes {
            self.rebuild();
        }
    }

    /// Where a tag is, or where it would be.
    fn place(&self, tag: &Tag) -> usize {
        let home = self.home(tag);
        let from = self.slots.get(home..).unwrap_or_default();
        home + from
            .iter()
            .take_while(|slot| slot.is_taken() && slot.tag < *tag)
            .count()
    }

    /// Where a tag is looked for first; in the order of tags.
    fn home(&self, tag: &Tag) -> usize {
        let first = u64::from(tag[0]) << 32 | u64::from(tag[1]);
        // Below the number of homes.
        ((u128::from(first) * self.homes as u128) >> 64) as usize
    }

    /// Moves to a table that is four fifths full.
    fn rebuild(&mut self) {
        let homes = (self.len + self.len / 4 + 1).max(FEWEST);
        let old = std::mem::take(&mut self.slots);
        self.slots.reserve_exact(homes + FEWEST);
        self.slots.resize(homes, Slot::default());
        self.homes = homes;
        // They come in the order in which they go.
        let mut next = 0;
        for slot in old.into_iter().filter(Slot::is_taken) {
            let at = self.home(&slot.tag).max(next);
            if at == self.slots.len() {
                self.slots.push(slot);
            } else {
                self.slots[at] = slot;
            }
            next = at + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Tags crowd where `crowding` has few bits.
    fn tag(number: u64, crowding: u64) -> Tag {
        let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) & crowding;
        [(spread >> 32) as u32, spread as u32, number as u32]
    }

    /// Inserts and removes as a random walk says, beside a map that is right.
    fn walk(steps: u64, keys: u64, crowding: u64) {
        let mut tags = Tags::default();
        let mut right = HashMap::new();
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for step in 0..steps {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let key = state % keys;
            // Grows in the first half, shrinks in the second.
            if (state >> 40) % 10 < if step < steps / 2 { 7 } else { 2 } {
                tags.insert(tag(key, crowding), step);
                right.insert(key, step);
            } else {
                tags.remove(&tag(key, crowding));
                right.remove(&key);
            }
            assert_eq!(tags.len(), right.len());
            let other = (state >> 20) % keys;
            assert_eq!(
                tags.find(&tag(other, crowding)),
                right.get(&other).copied(),
                "step {step}"
            );
        }
        for key in 0..keys {
            assert_eq!(tags.find(&tag(key, crowding)), right.get(&key).copied());
        }
    }

    #[test]
    fn it_says_what_a_map_says() {
        walk(60_000, 2000, u64::MAX);
    }

    #[test]
    fn tags_that_crowd_at_the_end_or_share_their_first_bits_are_told_apart() {
        walk(20_000, 300, 7);
        walk(20_000, 300, 7 << 61);
        for number in 0..100 {
            let mut tags = Tags::default();
            for other in 0..=number {
                tags.insert([u32::MAX, u32::MAX, other], u64::from(other));
            }
            assert_eq!(
                tags.find(&[u32::MAX, u32::MAX, number]),
                Some(u64::from(number))
            );
            assert_eq!(tags.find(&[u32::MAX, u32::MAX, number + 1]), None);
        }
    }

    #[test]
    fn an_entry_takes_24_bytes_at_most_when_there_are_many() {
        let mut tags = Tags::default();
        for number in 0..100_000_u64 {
            tags.insert(tag(number, u64::MAX), number);
            if number > 10_000 {
                assert!(tags.slots.capacity() * SLOT <= tags.len() * 26);
            }
        }
        for number in 0..99_000_u64 {
            tags.remove(&tag(number, u64::MAX));
        }
        assert!(tags.slots.capacity() < 4000, "it shrinks");
    }
}
