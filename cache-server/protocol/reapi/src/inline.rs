//! Small outputs inside of an action's result, for clients that ask for them there.

use std::collections::HashSet;

use bytes::Bytes;
use cache_core::Algorithm;
use cache_proto::reapi::{self, ActionResult, GetActionResultRequest};
use prost::Message;

use crate::{digest::Named, error::Result, reapi::Reapi};

/// Puts contents into a result as long as there is room. Not doing so is always right:
/// the client reads them by their digests (remote_execution.proto, "inline_stdout").
pub(crate) struct Inliner<'a> {
    reapi: &'a Reapi,
    function: Option<Algorithm>,
    /// Bytes that there is room for.
    left: u64,
}

impl<'a> Inliner<'a> {
    pub(crate) fn new(
        reapi: &'a Reapi,
        function: Option<Algorithm>,
        result: &ActionResult,
    ) -> Self {
        let config = reapi.config();
        let room = config.batch_bytes();
        let room = room.saturating_sub(result.encoded_len() as u64);
        Self {
            reapi,
            function,
            left: room.min(config.inline.0),
        }
    }

    pub(crate) async fn fill(
        &mut self,
        result: &mut ActionResult,
        asked: &GetActionResultRequest,
    ) -> Result<()> {
        if asked.inline_stdout {
            let digest = result.stdout_digest.as_ref();
            self.one(digest, &mut result.stdout_raw).await?;
        }
        if asked.inline_stderr {
            let digest = result.stderr_digest.as_ref();
            self.one(digest, &mut result.stderr_raw).await?;
        }
        if asked.inline_output_files.is_empty() {
            return Ok(());
        }
        let wanted: HashSet<_> = asked.inline_output_files.iter().collect();
        for file in &mut result.output_files {
            if wanted.contains(&file.path) {
                self.one(file.digest.as_ref(), &mut file.contents).await?;
            }
        }
        Ok(())
    }

    async fn one(&mut self, digest: Option<&reapi::Digest>, contents: &mut Bytes) -> Result<()> {
        let Some(blob) = digest.and_then(|it| Named::parse(it, self.function).ok()) else {
            return Ok(());
        };
        if !contents.is_empty() || blob.size > self.left {
            return Ok(());
        }
        *contents = self.reapi.bytes(&blob, self.left).await?;
        self.left -= blob.size;
        Ok(())
    }
}
