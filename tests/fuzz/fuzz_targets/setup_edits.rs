//! The editors of tools' files.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::edits(input));
