//! One call of `ByteStream.Write`, from its first message to the blob.

use std::{convert::Infallible, sync::Arc};

use cache_proto::google::bytestream::WriteRequest;
use tokio::{select, sync::OwnedMutexGuard};
use tonic::Streaming;

use crate::{
    byte_stream::whole,
    capabilities::signed,
    error::{ReapiError, Result},
    reapi::Reapi,
    resource_name::{Form, UploadName},
    session::{Key, Progress, Session, Turn},
};

/// A call at work.
pub(crate) struct Write {
    reapi: Reapi,
    key: Key,
    messages: Streaming<WriteRequest>,
}

impl Write {
    pub(crate) const fn new(reapi: Reapi, key: Key, messages: Streaming<WriteRequest>) -> Self {
        Self {
            reapi,
            key,
            messages,
        }
    }

    /// Takes the messages, and says how many bytes are committed.
    pub(crate) async fn run(mut self, first: WriteRequest) -> Result<i64> {
        let resource = &self.key.name.resource;
        // What is here need not come: the client stops sending when it sees this answer.
        if self.reapi.has(&resource.blob).await? {
            return Ok(whole(resource));
        }
        // Before any queue: a call that hangs on this upload has the place we would wait for.
        if let Some(session) = self.reapi.sessions().find(&self.key) {
            drop(session.turn());
        }
        let _place = match resource.form {
            Form::Identity => None,
            Form::Zstd => Some(self.reapi.decompression().await?),
        };
        let _slot = self.reapi.slot().await?;
        let session = self.reapi.sessions().open(self.key.clone())?;
        let mut turn = session.turn();
        let lock = async { Ok::<_, Infallible>(session.lock().await) };
        let otherwise = "another call is at work on this upload";
        let progress = self.reapi.patiently(lock, otherwise).await?;
        let written = self.take(&session, &mut turn, progress, first).await;
        if is_final(&written) {
            self.reapi.sessions().end(&session);
        }
        written.map(|it| signed(it.held))
    }

    async fn take(
        &mut self,
        session: &Arc<Session>,
        turn: &mut Turn,
        mut progress: OwnedMutexGuard<Progress>,
        first: WriteRequest,
    ) -> Result<Written> {
        if first.write_offset == 0 && session.held() > 0 {
            session.reset(&mut progress);
        }
        let mut next = Some(first);
        while let Some(message) = next {
            self.check(&message, session.held())?;
            let store = self.reapi.blobs();
            session.take(&mut progress, store, message.data).await?;
            if message.finish_write {
                session.commit(&mut progress, store).await?;
                let (held, is_whole) = (session.held(), true);
                return Ok(Written { held, is_whole });
            }
            next = select! {
                biased;
                () = turn.is_over() => return Err(ReapiError::Overtaken),
                message = self.messages.message() => {
                    message.map_err(ReapiError::Transport)?
                }
            };
        }
        // Kept, until the client goes on with it.
        let (held, is_whole) = (session.held(), false);
        Ok(Written { held, is_whole })
    }

    /// Each message goes on where the last one ended (bytestream.proto, "WriteRequest").
    fn check(&self, message: &WriteRequest, held: u64) -> Result<()> {
        let offset = message.write_offset;
        if offset != signed(held) {
            return Err(ReapiError::WriteOffset { offset, held });
        }
        let name = &message.resource_name;
        if name.is_empty() || *name == self.key.name.to_string() {
            return Ok(());
        }
        // The first one's, perhaps in another spelling.
        match UploadName::parse(name) {
            Ok(name) if name == self.key.name => Ok(()),
            _ => Err(ReapiError::Write("resource_name changes")),
        }
    }
}

/// What came of the messages.
struct Written {
    held: u64,
    is_whole: bool,
}

/// Whether an upload cannot go on: what is left of it is of no use.
fn is_final(written: &Result<Written>) -> bool {
    match written {
        Ok(written) => written.is_whole,
        // The client may do better: what came before is kept.
        Err(ReapiError::Overtaken | ReapiError::Transport(_) | ReapiError::WriteOffset { .. }) => {
            false
        }
        Err(_) => true,
    }
}
