//! The configuration.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_server::fuzzing::config(input));
