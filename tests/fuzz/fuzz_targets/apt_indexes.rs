//! Releases, and indexes of packages in every packing.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_apt::fuzzing::indexes(input));
