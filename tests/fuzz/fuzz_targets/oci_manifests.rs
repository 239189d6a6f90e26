//! Manifests and indexes of images.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_oci::fuzzing::manifests(input));
