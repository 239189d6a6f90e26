//! Instance names, resource names and hashes of the Remote Execution API.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_reapi::fuzzing::names(input));
