//! Which blob goes first: S3-FIFO, as a policy over queues that someone else keeps.
//!
//! Three FIFO queues: new blobs enter *small*, a tenth of the room; the oldest of
//! small moves to *main* if it was used meanwhile and is evicted otherwise; the
//! oldest of main goes round again if it was used. The names of blobs evicted
//! from small are kept in *ghost*: one that comes back soon enters main at once.
//! A scan of things used once passes through small and never touches main (Yang
//! et al., "FIFO queues are all you need for cache eviction", SOSP 2023).
//!
//! A hit only counts a use, so queues can live on disk: nothing is reordered.

/// A queue of stored blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queue {
    /// New blobs.
    Small,
    /// Blobs that were used again.
    Main,
}

/// What becomes of the oldest entry of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes; `remember` puts its name into ghost.
    Evict {
        /// Whether its name goes into ghost.
        remember: bool,
    },
    /// It goes to the young end of a queue.
    Requeue {
        /// That queue.
        queue: Queue,
        /// The uses it keeps.
        uses: u8,
    },
}

/// Uses are counted up to here (two bits, as the paper has it).
pub const MAX_USES: u8 = 3;

/// The room of small is a tenth of all (the paper's default).
const SMALL_SHARE: u64 = 10;

/// The queue that a new blob enters.
#[must_use]
pub const fn admit(in_ghost: bool) -> Queue {
    if in_ghost { Queue::Main } else { Queue::Small }
}

/// The queue whose oldest entry is judged next, by the bytes in each.
#[must_use]
pub const fn next_queue(small: u64, main: u64) -> Queue {
    if main == 0 || small > (small + main) / SMALL_SHARE {
        Queue::Small
    } else {
        Queue::Main
    }
}

/// Judges the oldest entry of `queue`. A held entry is never evicted.
#[must_use]
pub const fn judge(queue: Queue, uses: u8, held: bool) -> Verdict {
    match queue {
        _ if held => Verdict::Requeue { queue, uses },
        Queue::Small if uses > 0 => Verdict::Requeue {
            queue: Queue::Main,
            uses: 0,
        },
        Queue::Main if uses > 0 => Verdict::Requeue {
            queue: Queue::Main,
            uses: uses - 1,
        },
        Queue::Small => Verdict::Evict { remember: true },
        Queue::Main => Verdict::Evict { remember: false },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet, VecDeque};

    use super::*;

    /// The policy over queues in memory, unit-sized entries.
    #[derive(Default)]
    struct Fifo {
        small: VecDeque<u32>,
        main: VecDeque<u32>,
        ghost: VecDeque<u32>,
        uses: HashMap<u32, u8>,
    }

    impl Fifo {
        fn hit(&mut self, id: u32, capacity: usize) -> bool {
            if let Some(uses) = self.uses.get_mut(&id) {
                *uses = (*uses + 1).min(MAX_USES);
                return true;
            }
            while self.uses.len() >= capacity {
                self.evict(capacity);
            }
            let ghost = self.ghost.iter().position(|g| *g == id);
            if let Some(at) = ghost {
                self.ghost.remove(at);
            }
            self.queue(admit(ghost.is_some())).push_back(id);
            self.uses.insert(id, 0);
            false
        }

        fn evict(&mut self, capacity: usize) {
            let queue = next_queue(self.small.len() as u64, self.main.len() as u64);
            let id = self.queue(queue).pop_front().unwrap();
            match judge(queue, self.uses[&id], false) {
                Verdict::Evict { remember } => {
                    self.uses.remove(&id);
                    if remember {
                        self.ghost.push_back(id);
                        self.ghost.truncate(capacity);
                    }
                }
                Verdict::Requeue { queue, uses } => {
                    self.uses.insert(id, uses);
                    self.queue(queue).push_back(id);
                }
            }
        }

        fn queue(&mut self, queue: Queue) -> &mut VecDeque<u32> {
            match queue {
                Queue::Small => &mut self.small,
                Queue::Main => &mut self.main,
            }
        }
    }

    fn lru_hits(trace: &[u32], capacity: usize) -> usize {
        let mut order: VecDeque<u32> = VecDeque::new();
        let mut hits = 0;
        for id in trace {
            if let Some(at) = order.iter().position(|o| o == id) {
                order.remove(at);
                hits += 1;
            } else if order.len() == capacity {
                order.pop_front();
            }
            order.push_back(*id);
        }
        hits
    }

    /// Builds that reuse 60 base layers, each build followed by 40 layers of its own.
    fn builds() -> Vec<u32> {
        (0..200)
            .flat_map(|build| (0..60).chain((0..40).map(move |own| 1000 + build * 40 + own)))
            .collect()
    }

    #[test]
    fn a_scan_does_not_flush_what_is_used_again() {
        let trace = builds();
        let mut fifo = Fifo::default();
        let hits = trace.iter().filter(|id| fifo.hit(**id, 80)).count();
        // 199 of 200 builds could reuse 60 layers each; LRU keeps none of them,
        // because 100 distinct layers pass between two uses and 80 fit.
        assert_eq!(lru_hits(&trace, 80), 0);
        assert!(hits > 190 * 60, "{hits} hits");
        assert!(HashSet::<u32>::from_iter(fifo.main).is_superset(&(0..60).collect()));
    }

    #[test]
    fn held_entries_are_never_evicted() {
        for queue in [Queue::Small, Queue::Main] {
            for uses in 0..=MAX_USES {
                assert_eq!(judge(queue, uses, true), Verdict::Requeue { queue, uses });
            }
        }
    }
}
