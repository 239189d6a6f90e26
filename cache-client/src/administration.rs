//! For those who keep a server.

use std::time::Duration;

use cache_proto::cachalot::v1::{self, administration_client::AdministrationClient};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};

use crate::{Result, connection::Connection, retry::Repeat, streamed::streamed};

/// What takes as long as there is something to do.
const A_DAY: Duration = Duration::from_secs(24 * 3_600);

/// What was evicted, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far a scrub is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Scrubbed {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that were damaged; they are misses now.
    pub damaged: u64,
    /// Everything was read.
    pub complete: bool,
}

/// How far a check or a repair is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// Refs that were looked at.
    pub refs: u64,
    /// Blobs that were looked at.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Some of what is wrong, in words.
    pub findings: Vec<String>,
    /// Refs of which a blob is missing.
    pub incomplete_refs: u64,
    /// Records without bytes.
    pub missing_blobs: u64,
    /// Files without a record.
    pub unknown_files: u64,
    /// What was put right.
    pub repaired: u64,
    /// Everything was looked at.
    pub complete: bool,
}

/// What only a server's keeper may; on the admin listener.
#[derive(Clone, Debug)]
pub struct Administration {
    connection: Connection,
}

impl Administration {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Evicts until at most `target` bytes are stored, 0 for the low watermark; what is
    /// leased stays. With `dry_run` it only says what it would evict.
    ///
    /// # Errors
    /// Those of any call.
    pub async fn collect(&self, target: u64, dry_run: bool) -> Result<Collected> {
        let call = "cachalot.v1.Administration.Collect";
        let request = v1::CollectRequest { target, dry_run };
        let collect = |channel, request| async move {
            AdministrationClient::new(channel).collect(request).await
        };
        let connection = self.connection.within(A_DAY);
        let answer = connection.call(call, Repeat::Safe, request, collect);
        let v1::CollectResponse { blobs, bytes } = answer.await?;
        Ok(Collected { blobs, bytes })
    }

    /// Reads every blob and compares it with its seal; tells how far it is. Dropping the
    /// stream ends it.
    ///
    /// # Errors
    /// Those of any call; an item too, and the stream ends there.
    pub async fn scrub(&self) -> Result<BoxStream<'static, Result<Scrubbed>>> {
        let call = "cachalot.v1.Administration.Scrub";
        let request = v1::ScrubRequest {};
        let scrub = |channel, request| async move {
            AdministrationClient::new(channel).scrub(request).await
        };
        let progress = streamed(&self.connection, call, request, scrub).await?;
        Ok(progress.map_ok(Scrubbed::parse).boxed())
    }

    /// Looks for refs without their blobs and blobs without their files. Changes nothing.
    ///
    /// # Errors
    /// As of [`Administration::scrub`].
    pub async fn check(&self) -> Result<BoxStream<'static, Result<Checked>>> {
        let call = "cachalot.v1.Administration.Check";
        let request = v1::CheckRequest {};
        let check = |channel, request| async move {
            AdministrationClient::new(channel).check(request).await
        };
        let progress = streamed(&self.connection, call, request, check).await?;
        Ok(progress.map_ok(Checked::parse).boxed())
    }

    /// What a check finds wrong, put right.
    ///
    /// # Errors
    /// As of [`Administration::scrub`].
    pub async fn repair(&self) -> Result<BoxStream<'static, Result<Checked>>> {
        let call = "cachalot.v1.Administration.Repair";
        let request = v1::RepairRequest {};
        let repair = |channel, request| async move {
            AdministrationClient::new(channel).repair(request).await
        };
        let progress = streamed(&self.connection, call, request, repair).await?;
        Ok(progress.map_ok(Checked::parse).boxed())
    }
}

impl Scrubbed {
    fn parse(wire: v1::ScrubProgress) -> Self {
        Self {
            blobs: wire.blobs,
            bytes: wire.bytes,
            damaged: wire.damaged,
            complete: wire.complete,
        }
    }
}

impl Checked {
    fn parse(wire: v1::CheckProgress) -> Self {
        Self {
            refs: wire.refs,
            blobs: wire.blobs,
            bytes: wire.bytes,
            findings: wire.findings,
            incomplete_refs: wire.incomplete_refs,
            missing_blobs: wire.missing_blobs,
            unknown_files: wire.unknown_files,
            repaired: wire.repaired,
            complete: wire.complete,
        }
    }
}
