//! The least of a gRPC client: messages are made before they are sent, and of what comes
//! back only lengths are read. It must cost less than the servers it measures.

use std::{net::SocketAddr, str, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, header::CONTENT_TYPE};
use prost::Message;
use tokio::{net::TcpStream, runtime::Runtime, task, time};

use crate::corpus::Blob;

/// What a server may send ahead: more than a message of a stream.
const WINDOW: u32 = 4 << 20;

/// What a server may put into one frame, by HTTP/2's default: tonic's and grpc-go's clients
/// leave it so.
pub(crate) const FRAME: u32 = 16 << 10;

/// The same for a client that was made for large blobs, as ours.
pub(crate) const WIDE_FRAME: u32 = 1 << 20;

/// Nobody who answers takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A byte that says whether the message is compressed, and its length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
pub(crate) const PREFIX: usize = 5;

/// A message as it is sent.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("messages of the bench are small"));
    message.encode(&mut frame).expect("there is room");
    frame.freeze()
}

/// What drives one connection.
pub(crate) fn runtime() -> Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    Ok(builder.enable_all().build()?)
}

/// The name of a blob in `google.bytestream` (remote_execution.proto, "resource names").
pub(crate) fn resource(blob: &Blob) -> String {
    format!("blobs/{}/{}", blob.digest.hex(), blob.bytes.len())
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Channel {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
}

impl Channel {
    pub(crate) async fn open(address: SocketAddr, frame: u32) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(frame)
            .max_send_buffer_size(WINDOW as usize);
        let (sender, connection) = builder.handshake(stream).await?;
        // It ends with the channel; an error is one of the calls'.
        task::spawn(connection);
        Ok(Self { sender, address })
    }

    /// Calls a method with a message and shows the answer, piece by piece as it comes.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        message: &Bytes,
        each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let called = time::timeout(PATIENCE, self.called(method, message, each));
        called
            .await
            .context("no answer")?
            .context(method.to_owned())
    }

    async fn called(
        &mut self,
        method: &str,
        message: &Bytes,
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let request = Request::post(format!("http://{}/{method}", self.address))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(())?;
        futures::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut body) = self.sender.send_request(request, false)?;
        body.send_data(message.clone(), true)?;
        let response = response.await?;
        ensure!(response.status() == 200, "{response:?}");
        if status(response.headers()).is_some() {
            return succeeded(response.headers());
        }
        let mut body = response.into_body();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            each(&piece)?;
            body.flow_control().release_capacity(piece.len())?;
        }
        let trailers = body.trailers().await?;
        succeeded(&trailers.context("no status")?)
    }

    /// Calls a method, and gives the answer whole, without its prefix.
    pub(crate) async fn ask(&mut self, method: &str, message: &Bytes) -> Result<Bytes> {
        let mut answer = BytesMut::new();
        let take = |piece: &[u8]| {
            answer.extend_from_slice(piece);
            Ok(())
        };
        self.call(method, message, take).await?;
        ensure!(answer.len() >= PREFIX, "no message");
        Ok(answer.split_off(PREFIX).freeze())
    }
}

fn status(headers: &HeaderMap) -> Option<&str> {
    str::from_utf8(headers.get("grpc-status")?.as_bytes()).ok()
}

fn succeeded(headers: &HeaderMap) -> Result<()> {
    match status(headers) {
        Some("0") => Ok(()),
        _ => bail!("{headers:?}"),
    }
}

/// Finds the data in a stream of messages that have nothing but one field of bytes, as
/// `google.bytestream.ReadResponse`.
#[derive(Debug, Default)]
pub(crate) struct Data {
    /// The begin of a message, until it tells the length of its data.
    head: Vec<u8>,
    /// Bytes of data that the message still has.
    left: usize,
}

impl Data {
    /// Shows the data in a piece of the stream.
    pub(crate) fn take(
        &mut self,
        mut piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        while !piece.is_empty() {
            if self.left == 0 {
                self.head.push(piece[0]);
                piece = &piece[1..];
                if let Some(length) = length(&self.head)? {
                    self.left = length;
                    self.head.clear();
                }
            } else {
                let (data, rest) = piece.split_at(piece.len().min(self.left));
                each(data)?;
                self.left -= data.len();
                piece = rest;
            }
        }
        Ok(())
    }
}

/// The length of the data behind the head of a message, if the head is whole: the prefix,
/// the field's number and wire type, and a varint.
fn length(head: &[u8]) -> Result<Option<usize>> {
    let Some((prefix, field)) = head.split_at_checked(PREFIX) else {
        return Ok(None);
    };
    let Some((tag, varint)) = field.split_first() else {
        // A message without data.
        return Ok((prefix[1..] == [0; 4]).then_some(0));
    };
    ensure!(*tag == 10 << 3 | 2, "another field: {tag}");
    match varint.last() {
        Some(last) if last & 0x80 == 0 => {
            let bits = varint.iter().rev();
            Ok(Some(
                bits.fold(0, |sum, byte| sum << 7 | usize::from(byte & 0x7f)),
            ))
        }
        _ => Ok(None),
    }
}
