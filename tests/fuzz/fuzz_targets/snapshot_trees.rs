//! Whole snapshots: servers and clients take the same.

#![no_main]

use cache_client::snapshot::fuzzing::Documents;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    if let Some(documents) = Documents::of(input) {
        let (root, segments) = (&documents.root, &documents.segments);
        let is_bound = cache_cachalot::fuzzing::is_snapshot(root, segments);
        assert_eq!(documents.are_taken(), is_bound);
    }
});
