//! Rows of the index.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_store::fuzzing::records(input));
