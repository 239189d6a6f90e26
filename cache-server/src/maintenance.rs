//! What those who keep the server ask of its store, carried out on the disk.

use std::mem;

use async_trait::async_trait;
use cache_cachalot::{CheckProgress, CollectResponse, Maintenance, ScrubProgress, Tell};
use cache_core::Result;
use cache_store::{Checked, Disk, Scrubbed};

/// A disk and what may be done with it.
#[derive(Debug)]
pub(crate) struct Keeper(pub(crate) Disk);

#[async_trait]
impl Maintenance for Keeper {
    async fn collect(&self, target: Option<u64>, dry_run: bool) -> Result<CollectResponse> {
        let collected = self.0.collect(target, dry_run).await?;
        Ok(CollectResponse {
            blobs: collected.blobs,
            bytes: collected.bytes,
        })
    }

    async fn scrub(&self, mut tell: Tell<ScrubProgress>) -> Result<ScrubProgress> {
        let found = self.0.scrub_all(move |found| tell(scrubbed(found))).await?;
        Ok(scrubbed(found))
    }

    async fn check(&self, repair: bool, mut tell: Tell<CheckProgress>) -> Result<CheckProgress> {
        let tell = move |found: &mut Checked| tell(checked(found));
        let mut found = self.0.check(repair, tell).await?;
        Ok(checked(&mut found))
    }
}

fn scrubbed(found: Scrubbed) -> ScrubProgress {
    ScrubProgress {
        blobs: found.blobs,
        bytes: found.bytes,
        damaged: found.damaged,
        complete: false,
    }
}

fn checked(found: &mut Checked) -> CheckProgress {
    CheckProgress {
        refs: found.refs,
        blobs: found.blobs,
        bytes: found.bytes,
        findings: mem::take(&mut found.findings),
        incomplete_refs: found.incomplete_refs,
        missing_blobs: found.missing_blobs,
        unknown_files: found.unknown_files,
        repaired: found.repaired,
        complete: false,
    }
}
