//! Streams of zstd that clients send.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_reapi::fuzzing::inflate(input));
