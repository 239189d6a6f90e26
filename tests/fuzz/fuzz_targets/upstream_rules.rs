//! Headers of origins' answers, and what is kept of them.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_upstream::fuzzing::rules(input));
