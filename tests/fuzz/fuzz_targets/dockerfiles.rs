//! Dockerfiles and mount flags.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::dockerfiles(input));
