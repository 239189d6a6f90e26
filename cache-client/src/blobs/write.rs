//! Storing one large blob: a stream that goes on where the server has got to.

use std::{io, pin::pin};

use bytes::Bytes;
use cache_proto::google::bytestream::{
    QueryWriteStatusRequest, WriteRequest, byte_stream_client::ByteStreamClient,
};
use futures::{future, future::Either, stream};
use tokio::sync::mpsc;
use tonic::{Code, Status};

use super::{
    Blobs,
    capabilities::Capabilities,
    compression::{Deflate, shrunk},
    resource,
    source::{self, Opened},
    upload::Upload,
};
use crate::{
    Blob, Error, Result,
    connection::Authorized,
    retry::{Attempts, Repeat},
};

const CALL: &str = "ByteStream.Write";
/// What is looked at to see whether a blob shrinks.
const SAMPLE: usize = 64 << 10;

/// Stores one blob.
pub(crate) async fn one(blobs: &Blobs, capabilities: &Capabilities, upload: Upload) -> Result<()> {
    let blob = *upload.blob();
    let source = upload.source().open().await?;
    let zstd = capabilities.zstd() && is_worth_it(blobs, &blob, &source).await?;
    let mut writing = Writing {
        blobs,
        blob,
        source,
        zstd,
        name: resource::write(&blobs.instance.name, &blob, zstd),
        from: 0,
        told: 0,
        attempts: blobs.connection().attempts(),
    };
    writing.run().await?;
    blobs.progress.tell(blob.size - writing.told);
    Ok(())
}

/// Whether the first bytes shrink.
async fn is_worth_it(blobs: &Blobs, blob: &Blob, source: &Opened) -> Result<bool> {
    if !blobs.compression.pays(blobs.connection(), blob.size) {
        return Ok(false);
    }
    let length = source::piece(blob.size).min(SAMPLE);
    Ok(shrunk(&source.read(0, length).await?).is_some())
}

/// Why an attempt ended.
enum Stop {
    /// The server or the way to it.
    There(Status),
    /// The bytes.
    Here(Error),
}

/// One blob on its way.
struct Writing<'a> {
    blobs: &'a Blobs,
    blob: Blob,
    source: Opened,
    zstd: bool,
    name: String,
    /// Where the next attempt begins, in the stream as it is sent.
    from: u64,
    /// Bytes of the blob that were told of.
    told: u64,
    attempts: Attempts,
}

impl Writing<'_> {
    async fn run(&mut self) -> Result<()> {
        loop {
            let status = match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(Stop::Here(error)) => return Err(error),
                Err(Stop::There(status)) => status,
            };
            if self.position(status).await? {
                return Ok(());
            }
        }
    }

    /// After a failure: where to go on. True if everything arrived.
    async fn position(&mut self, mut status: Status) -> Result<bool> {
        loop {
            // A server that forgot what it had taken refuses what follows it.
            let lost = self.from > 0
                && matches!(
                    status.code(),
                    Code::InvalidArgument | Code::NotFound | Code::OutOfRange
                );
            if lost {
                self.restart();
                status = Status::unavailable(status.message());
            }
            if !self.attempts.again(&status, Repeat::Safe).await {
                return Err(self.reason(&status).await);
            }
            if lost {
                return Ok(false);
            }
            match self.committed().await {
                Ok(None) => return Ok(true),
                Ok(Some(committed)) => {
                    if committed > self.from {
                        self.attempts.progressed();
                    }
                    self.from = committed;
                    return Ok(false);
                }
                Err(now) if matches!(now.code(), Code::NotFound | Code::Unimplemented) => {
                    self.restart();
                    return Ok(false);
                }
                Err(now) => status = now,
            }
        }
    }

    fn restart(&mut self) {
        self.name = resource::write(&self.blobs.instance.name, &self.blob, self.zstd);
        self.from = 0;
    }

    /// Why it cannot be: a file that changed is not the server's failure.
    async fn reason(&self, status: &Status) -> Error {
        if status.code() == Code::InvalidArgument
            && let Err(changed) = self.source.check(&self.blob).await
        {
            return changed;
        }
        Error::of(CALL, status)
    }

    /// How much the server has of what was sent; `None` for everything.
    async fn committed(&self) -> Result<Option<u64>, Status> {
        let connection = self.blobs.connection();
        let request = QueryWriteStatusRequest {
            resource_name: self.name.clone(),
        };
        let mut client = ByteStreamClient::new(connection.transfer());
        let answer = client.query_write_status(request);
        let answer = connection.unless_silent(answer).await?.into_inner();
        let committed = u64::try_from(answer.committed_size).unwrap_or_default();
        if answer.complete {
            return Ok(None);
        }
        if !self.zstd && committed > self.blob.size {
            return Err(Status::data_loss("more was taken than there is"));
        }
        Ok(Some(committed))
    }

    /// Sends what is left and hears what became of it.
    async fn attempt(&mut self) -> Result<(), Stop> {
        let (sender, receiver) = mpsc::channel(1);
        let connection = self.blobs.connection().clone();
        let mut client = ByteStreamClient::new(connection.transfer());
        let messages = stream::unfold(receiver, async |mut receiver| {
            receiver.recv().await.map(|message| (message, receiver))
        });
        let blob = self.blob;
        let answered = pin!(write(&mut client, messages));
        let (answer, sent) = {
            let feeding = pin!(self.feed(sender));
            match future::select(answered, feeding).await {
                // It has the blob by now, or does not want it.
                Either::Left((answer, _)) => (answer, None),
                Either::Right((sent, answered)) => {
                    let sent = sent?;
                    (connection.unless_silent(answered).await, Some(sent))
                }
            }
        };
        let taken = answer.map_err(Stop::There)?;
        let whole = u64::try_from(taken).map_or(self.zstd, |taken| {
            taken == blob.size || self.zstd && sent.is_none_or(|sent| taken == sent)
        });
        if whole {
            return Ok(());
        }
        let said = format!("the server took {taken} bytes of {blob}");
        Err(Stop::There(Status::unavailable(said)))
    }

    /// Sends the stream from where the server is; its whole length when all is sent.
    async fn feed(&mut self, sender: mpsc::Sender<WriteRequest>) -> Result<u64, Stop> {
        let mut deflate = if self.zstd {
            Some(Deflate::new().map_err(|e| broken(&e))?)
        } else {
            None
        };
        // What is compressed is made again from the start, and the same.
        let mut read = if self.zstd { 0 } else { self.from };
        let mut made = read;
        loop {
            let bytes = self.source.read(read, source::piece(self.blob.size - read));
            let bytes = bytes.await.map_err(Stop::Here)?;
            read += bytes.len() as u64;
            let last = read == self.blob.size;
            let piece = match &mut deflate {
                Some(deflate) => compressed(deflate, &bytes, last).map_err(|e| broken(&e))?,
                None => bytes,
            };
            let begin = made;
            made += piece.len() as u64;
            let known = usize::try_from(self.from.saturating_sub(begin)).unwrap_or(usize::MAX);
            let piece = piece.slice(known.min(piece.len())..);
            if !piece.is_empty() || last {
                self.send(&sender, begin.max(self.from), piece, last)
                    .await?;
            }
            self.tell(read);
            if last {
                return Ok(made);
            }
        }
    }

    async fn send(
        &self,
        sender: &mpsc::Sender<WriteRequest>,
        write_offset: u64,
        data: Bytes,
        finish_write: bool,
    ) -> Result<(), Stop> {
        let message = WriteRequest {
            resource_name: self.name.clone(),
            write_offset: i64::try_from(write_offset).unwrap_or(i64::MAX),
            finish_write,
            data,
        };
        let sent = async {
            if sender.send(message).await.is_err() {
                // The call is over; what is awaited beside this says why.
                future::pending::<()>().await;
            }
            Ok(())
        };
        let sent = self.blobs.connection().unless_silent(sent).await;
        sent.map_err(Stop::There)
    }

    /// Once for each byte, however often it is sent, and the last with the answer.
    fn tell(&mut self, read: u64) {
        let read = read.min(self.blob.size.saturating_sub(1));
        if read > self.told {
            self.blobs.progress.tell(read - self.told);
            self.told = read;
        }
    }
}

/// How many bytes the server says that it has taken.
async fn write(
    client: &mut ByteStreamClient<Authorized>,
    messages: impl futures::Stream<Item = WriteRequest> + Send + 'static,
) -> Result<i64, Status> {
    let answer = client.write(messages).await?;
    Ok(answer.into_inner().committed_size)
}

fn compressed(deflate: &mut Deflate, bytes: &[u8], last: bool) -> io::Result<Bytes> {
    let mut made = deflate.add(bytes)?;
    if last {
        made.extend(deflate.end()?);
    }
    Ok(made.into())
}

fn broken(error: &io::Error) -> Stop {
    Stop::Here(Error::Corrupt(format!("zstd: {error}")))
}
