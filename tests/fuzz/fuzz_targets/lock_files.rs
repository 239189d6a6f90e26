//! The five formats of lock files, and pages of projects.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::locks(input));
