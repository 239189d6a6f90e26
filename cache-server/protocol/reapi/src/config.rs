//! What an operator decides about the Remote Execution API.

use cache_core::Size;
use serde::{Deserialize, Serialize};

/// Configuration of the Remote Execution API; the default suits gRPC's own limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReapiConfig {
    /// The largest message that a client is sent. gRPC's libraries take no more than
    /// 4 MiB unless they are told to.
    pub message: Size,
    /// The largest blob; `None` for what the store has room for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blob: Option<Size>,
    /// How much of an action's outputs is put into its result for clients that ask for
    /// that.
    pub inline: Size,
    /// The largest document that is parsed: a `Tree` or an `ActionResult`.
    pub document: Size,
    /// How many directories a tree may have.
    pub tree_directories: usize,
    /// How many uploads may be open at once, at work or broken off.
    pub upload_sessions: usize,
    /// After how many seconds without a byte a broken off upload is given up.
    pub upload_idle_seconds: u64,
    /// How many uploads are stored at once; the others queue.
    pub upload_slots: usize,
    /// How many seconds one waits in a queue before `UNAVAILABLE`.
    pub upload_wait_seconds: u64,
    /// How many streams are compressed at once, and how many compressed uploads may be
    /// open: each holds a window of up to 8 MiB.
    pub zstd_streams: usize,
}

/// Of a message, kept free for what is around the blobs in it: 1/16.
const AROUND: u64 = 16;

impl ReapiConfig {
    /// The most bytes of blobs in one batch, and in one result.
    pub(crate) const fn batch_bytes(&self) -> u64 {
        self.message.0 - self.message.0 / AROUND
    }

    /// The largest message that is taken. Twice what is sent, so that a batch which is
    /// too large is told so in words.
    pub(crate) fn taken_bytes(&self) -> usize {
        usize::try_from(self.message.0.saturating_mul(2)).unwrap_or(usize::MAX)
    }
}

impl Default for ReapiConfig {
    fn default() -> Self {
        Self {
            message: Size::mib(4),
            blob: None,
            inline: Size::mib(1),
            document: Size::mib(32),
            tree_directories: 100_000,
            upload_sessions: 4096,
            upload_idle_seconds: 15 * 60,
            upload_slots: 256,
            upload_wait_seconds: 25,
            zstd_streams: 64,
        }
    }
}
