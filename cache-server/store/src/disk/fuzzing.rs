//! The readers of what is stored, for fuzz targets: a damaged row is none, and no reason to
//! panic.

use super::{
    index::Record,
    layout::Key,
    queues::{parse_queue_key, queue_key},
};
use crate::row::{self, decode, encode};

/// Reads bytes as each kind of row of the index, and as an object of a bucket.
///
/// # Panics
/// If a row is not read again as it was written.
pub fn records(input: &[u8]) {
    if let Some(record) = decode::<Record>(input) {
        assert_eq!(decode::<Record>(&encode(&record)).as_ref(), Some(&record));
        assert!(record.charge() >= record.size);
    }
    if let Some(to) = row::parse(input) {
        let written = row::row(&to);
        assert_eq!(row::parse(&written).as_ref(), Some(&to));
        let head = row::head(input).expect("a part of it");
        assert_eq!((head.target, head.written), (to.target, to.written));
    }
    if let Some((code, seq)) = parse_queue_key(input) {
        assert_eq!(queue_key(code, seq), input);
    }
    crate::bucket::replay(input);
    // Facts: where a walk was, and the epoch.
    let _ = decode::<Option<Key>>(input);
    let _ = decode::<u64>(input);
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn rows_that_were_hard_to_read() {
        replay("store_records", super::records);
    }
}
