//! A blob's BLAKE3 seal: proves any 64 KiB group of it without reading the rest.
//!
//! BLAKE3 is a tree over 1 KiB chunks, so the hash of an aligned run of 64 chunks
//! is an inner node of it. A [`Seal`] keeps the root and these nodes, called its
//! leaves; the leaves prove a group, and merging them gives the root again, so
//! they need no trust of their own (BLAKE3 specification, section 2.1).

use std::fmt;

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root,
};
use serde::{Deserialize, Serialize};

/// Bytes proven by one leaf: 64 chunks of 1 KiB. 32 bytes of seal for each
/// 64 KiB are 0.05 % of the blob.
pub const GROUP: usize = 64 * 1024;

/// The BLAKE3 root of a blob and, above [`GROUP`] bytes, the node of each group.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    root: [u8; 32],
    leaves: Vec<ChainingValue>,
}

impl Seal {
    /// Seals bytes that are all at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut builder = SealBuilder::default();
        builder.update(bytes);
        builder.finish()
    }

    /// A seal as it was stored: `None` if the leaves do not merge into the root.
    #[must_use]
    pub fn from_parts(root: [u8; 32], leaves: Vec<ChainingValue>) -> Option<Self> {
        match leaves.len() {
            0 => Some(Self { root, leaves }),
            1 => None,
            _ => (merge_root(&leaves) == root).then_some(Self { root, leaves }),
        }
    }

    /// The BLAKE3 hash of the whole blob.
    #[must_use]
    pub const fn root(&self) -> &[u8; 32] {
        &self.root
    }

    /// The nodes of the groups; empty for a blob of at most [`GROUP`] bytes.
    #[must_use]
    pub fn leaves(&self) -> &[ChainingValue] {
        &self.leaves
    }

    /// Whether `bytes` are group `index` of the blob, counted from 0.
    ///
    /// Every group but the last has exactly [`GROUP`] bytes.
    #[must_use]
    pub fn proves(&self, index: usize, bytes: &[u8]) -> bool {
        if self.leaves.is_empty() {
            return index == 0
                && bytes.len() <= GROUP
                && *blake3::hash(bytes).as_bytes() == self.root;
        }
        let last = index + 1 == self.leaves.len();
        let length_fits = bytes.len() == GROUP || last && (1..GROUP).contains(&bytes.len());
        length_fits
            && self
                .leaves
                .get(index)
                .is_some_and(|leaf| *leaf == group_node(index, bytes))
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field(
                "root",
                &blake3::Hash::from_bytes(self.root).to_hex().as_str(),
            )
            .field("leaves", &self.leaves.len())
            .finish()
    }
}

/// Makes a [`Seal`] in one pass over bytes that arrive in pieces.
#[derive(Clone, Debug, Default)]
pub struct SealBuilder {
    leaves: Vec<ChainingValue>,
    /// The begun group; `None` before its first byte.
    group: Option<Box<blake3::Hasher>>,
    /// Bytes in the begun group, at most [`GROUP`].
    filled: usize,
}

impl SealBuilder {
    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            // A full group is closed only when more follows: the only group of a
            // small blob must be finalized as a root, not as an inner node.
            if self.filled == GROUP {
                self.close_group();
            }
            if self.filled == 0 && bytes.len() > GROUP {
                let (group, rest) = bytes.split_at(GROUP);
                self.leaves.push(group_node(self.leaves.len(), group));
                bytes = rest;
                continue;
            }
            let (head, rest) = bytes.split_at(bytes.len().min(GROUP - self.filled));
            let offset = self.leaves.len() as u64 * GROUP as u64;
            self.group
                .get_or_insert_with(|| {
                    let mut hasher = Box::new(blake3::Hasher::new());
                    hasher.set_input_offset(offset);
                    hasher
                })
                .update(head);
            self.filled += head.len();
            bytes = rest;
        }
    }

    /// The seal of everything added.
    #[must_use]
    pub fn finish(mut self) -> Seal {
        if self.leaves.is_empty() {
            let root = self
                .group
                .map_or_else(|| blake3::hash(b""), |group| group.finalize());
            return Seal {
                root: *root.as_bytes(),
                leaves: Vec::new(),
            };
        }
        self.close_group();
        Seal {
            root: merge_root(&self.leaves),
            leaves: self.leaves,
        }
    }

    fn close_group(&mut self) {
        if let Some(group) = self.group.take() {
            self.leaves.push(group.finalize_non_root());
        }
        self.filled = 0;
    }
}

fn group_node(index: usize, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(index as u64 * GROUP as u64);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// Merges two or more group nodes into the root.
fn merge_root(leaves: &[ChainingValue]) -> [u8; 32] {
    let (left, right) = leaves.split_at(left_subtree(leaves.len()));
    *merge_subtrees_root(&merge(left), &merge(right), Mode::Hash).as_bytes()
}

fn merge(leaves: &[ChainingValue]) -> ChainingValue {
    if let [leaf] = leaves {
        return *leaf;
    }
    let (left, right) = leaves.split_at(left_subtree(leaves.len()));
    merge_subtrees_non_root(&merge(left), &merge(right), Mode::Hash)
}

/// The left subtree is the largest power of two that leaves the right one
/// non-empty (BLAKE3 specification, section 2.1).
const fn left_subtree(leaves: usize) -> usize {
    (leaves.div_ceil(2)).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn root_is_the_blake3_of_the_blob_at_every_boundary() {
        for groups in 0..10 {
            for extra in [0, 1, 1023, 1024, GROUP - 1] {
                let bytes = pattern(groups * GROUP + extra);
                assert_eq!(Seal::of(&bytes).root(), blake3::hash(&bytes).as_bytes());
            }
        }
    }

    #[test]
    fn each_group_is_proven_and_no_other_bytes_are() {
        let bytes = pattern(3 * GROUP + 5);
        let seal = Seal::of(&bytes);
        for (index, group) in bytes.chunks(GROUP).enumerate() {
            assert!(seal.proves(index, group));
            let mut damaged = group.to_vec();
            damaged[0] ^= 1;
            assert!(!seal.proves(index, &damaged));
            assert!(!seal.proves(index, &group[..group.len() - 1]));
            assert!(!seal.proves(index + 1, group));
        }
    }

    #[test]
    fn changed_leaves_do_not_make_a_seal() {
        let seal = Seal::of(&pattern(4 * GROUP));
        let mut leaves = seal.leaves().to_vec();
        leaves.swap(0, 1);
        assert_eq!(Seal::from_parts(*seal.root(), leaves), None);
        assert_eq!(
            Seal::from_parts(*seal.root(), seal.leaves().to_vec()),
            Some(seal)
        );
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(len in 0..3 * GROUP, piece in 1..GROUP) {
            let bytes = pattern(len);
            let mut builder = SealBuilder::default();
            for part in bytes.chunks(piece) {
                builder.update(part);
            }
            prop_assert_eq!(builder.finish(), Seal::of(&bytes));
        }
    }
}
