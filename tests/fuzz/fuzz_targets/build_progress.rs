//! BuildKit's progress, in both forms.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_fuzz::progress(input));
