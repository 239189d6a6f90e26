//! Namespaces, keys and page tokens, and what is stored of refs and builds.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_cachalot::fuzzing::rows(input));
