//! Sums over all records, kept beside them.

use cache_core::evict::Queue;
use rocksdb::MergeOperands;

/// Sums that are kept beside the records, in the same batches.
#[derive(Clone, Copy)]
pub(super) enum Total {
    SmallBytes,
    MainBytes,
    Blobs,
    Ghosts,
}

impl Total {
    pub(super) const ALL: [Self; 4] =
        [Self::SmallBytes, Self::MainBytes, Self::Blobs, Self::Ghosts];

    pub(super) const fn key(self) -> &'static [u8] {
        match self {
            Self::SmallBytes => b"total/small-bytes",
            Self::MainBytes => b"total/main-bytes",
            Self::Blobs => b"total/blobs",
            Self::Ghosts => b"total/ghosts",
        }
    }

    pub(super) const fn of(queue: Queue) -> Self {
        match queue {
            Queue::Small => Self::SmallBytes,
            Queue::Main => Self::MainBytes,
        }
    }
}

/// Adds up what was merged into a row.
pub(super) fn sum(_: &[u8], current: Option<&[u8]>, operands: &MergeOperands) -> Option<Vec<u8>> {
    let total = operands.iter().fold(decode_sum(current), |sum, operand| {
        sum.wrapping_add(decode_sum(Some(operand)))
    });
    Some(total.to_le_bytes().to_vec())
}

pub(super) fn decode_sum(value: Option<&[u8]>) -> i64 {
    value
        .and_then(|value| value.try_into().ok())
        .map_or(0, i64::from_le_bytes)
}
