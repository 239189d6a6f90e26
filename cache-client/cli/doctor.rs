//! Whether the cache is used: each tool makes a small request, and the server's own counters
//! say whether it came.

mod checks;
mod counters;
mod probe;

pub(crate) use self::{
    checks::{Check, Verdict, checks},
    counters::Counters,
    probe::{Probe, Proof},
};
