//! The journal of what was edited.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::journals(input));
