//! Results of actions, trees and directories: what is needed of them is all there.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cache_reapi::fuzzing::results(input));
