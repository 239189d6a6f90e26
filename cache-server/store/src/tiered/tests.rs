//! A store near and a bucket in this process.

use cache_core::{Memory, testing};

use super::*;

async fn tiered() -> Tiered<Memory> {
    Tiered::new(Memory::default(), crate::bucket::tests::bucket().await)
}

#[tokio::test]
async fn passes_the_blob_store_contract() {
    testing::blob_store(tiered).await;
}

#[tokio::test]
async fn passes_the_ref_store_contract() {
    testing::ref_store(tiered).await;
}
