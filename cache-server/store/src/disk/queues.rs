//! The eviction queues as rows of the index: a code and a sequence number lead to a key.

use cache_core::evict::Queue;
use rocksdb::{DB, Direction, IteratorMode};

use super::{
    index::{QUEUE, family},
    layout::Key,
};

/// The code of the queue of names of evicted blobs.
pub(super) const GHOST_QUEUE: u8 = 2;

pub(super) const fn queue_code(queue: Queue) -> u8 {
    match queue {
        Queue::Small => 0,
        Queue::Main => 1,
    }
}

pub(super) fn queue_key(code: u8, seq: u64) -> [u8; 9] {
    let mut key = [code; 9];
    key[1..].copy_from_slice(&seq.to_be_bytes());
    key
}

pub(super) fn parse_queue_key(key: &[u8]) -> Option<(u8, u64)> {
    let (code, seq) = key.split_first()?;
    Some((*code, u64::from_be_bytes(seq.try_into().ok()?)))
}

pub(super) fn oldest(
    db: &DB,
    code: u8,
    behind: u64,
    limit: usize,
) -> Result<Vec<(u64, Key)>, rocksdb::Error> {
    let start = queue_key(code, behind + 1);
    let mut found = Vec::new();
    for entry in db.iterator_cf(
        family(db, QUEUE),
        IteratorMode::From(&start, Direction::Forward),
    ) {
        let (entry, key) = entry?;
        match (parse_queue_key(&entry), Key::try_from(&*key)) {
            (Some((other, _)), _) if other != code => break,
            (Some((_, seq)), Ok(key)) => found.push((seq, key)),
            _ => {}
        }
        if found.len() == limit {
            break;
        }
    }
    Ok(found)
}

pub(super) fn last_seq(db: &DB, code: u8) -> Option<u64> {
    let end = queue_key(code, u64::MAX);
    let mode = IteratorMode::From(&end, Direction::Reverse);
    let (key, _) = db.iterator_cf(family(db, QUEUE), mode).next()?.ok()?;
    parse_queue_key(&key)
        .filter(|(other, _)| *other == code)
        .map(|(_, seq)| seq)
}
