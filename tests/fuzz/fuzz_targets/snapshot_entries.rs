//! Paths, entries, root documents and index records of snapshots.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_client::snapshot::fuzzing::entries(input));
