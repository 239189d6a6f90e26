//! Headers of requests: ranges, preconditions, credentials; and password files.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_http::fuzzing::headers(input));
