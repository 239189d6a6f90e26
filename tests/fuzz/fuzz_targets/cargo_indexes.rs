//! Documents and descriptions of cargo's indexes.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_cargo::fuzzing::indexes(input));
