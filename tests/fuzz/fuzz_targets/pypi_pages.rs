//! Pages of projects in both forms, the JSON API's descriptions, and wheels.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_pypi::fuzzing::pages(input));
