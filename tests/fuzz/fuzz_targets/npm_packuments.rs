//! Packuments, and what is made of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_npm::fuzzing::packuments(input));
