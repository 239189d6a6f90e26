//! What bake, compose and registries print, and command lines of builds.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::models(input));
