//! The least of an HTTP/1.1 client: it must cost less than the servers it measures.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

/// Read at once. Heads are far smaller.
const BUFFER: usize = 256 * 1024;

/// Nobody who answers takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `Content-Length`.
    pub(crate) length: u64,
    /// Bytes of the head itself.
    pub(crate) size: usize,
}

impl Head {
    /// The head at the begin of `bytes`; `None` if it is not all there.
    ///
    /// # Errors
    /// If it is no head, or has no `Content-Length`: none of our requests has an
    /// answer without one.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|at| at == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = str::from_utf8(&bytes[..end]).context("a head")?;
        let status = text.get(9..12).context("a status line")?;
        Ok(Some(Self {
            status: status.parse().context("a status")?,
            length: header(text, "content-length")
                .with_context(|| format!("no Content-Length: {text}"))?
                .parse()
                .context("Content-Length")?,
            size: end + 4,
        }))
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// A request without a body.
pub(crate) fn request(method: &str, path: &str) -> Vec<u8> {
    request_with(method, path, "")
}

/// A request with further headers, each with its line end.
pub(crate) fn request_with(method: &str, path: &str, headers: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n").into_bytes()
}

/// A connection that is kept, used by one thread that waits.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not taken yet.
    held: std::ops::Range<usize>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
            held: 0..0,
        })
    }

    /// Sends a request made before, and gives the head of the answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<Head> {
        self.stream.write_all(request)?;
        self.head().map(|(head, _)| head)
    }

    /// Asks for a body of `length` bytes and shows it piece by piece, each with its
    /// offset.
    pub(crate) fn get(
        &mut self,
        request: &[u8],
        length: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let head = self.ask(request)?;
        ensure!(
            head.status == 200 && head.length == length,
            "{head:?} instead of 200 and {length} bytes"
        );
        let mut offset = 0;
        while offset < length {
            if self.held.is_empty() {
                self.held = 0..self.read_at(0)?;
            }
            let piece = &self.buffer[self.held.clone()];
            let piece = &piece[..piece.len().min(usize::try_from(length - offset)?)];
            each(offset, piece)?;
            offset += piece.len() as u64;
            self.held.start += piece.len();
        }
        Ok(())
    }

    /// Sends a body, in parts, and expects a status. Gives the `Location`.
    pub(crate) fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &[&[u8]],
        status: u16,
    ) -> Result<Option<String>> {
        let length: usize = body.iter().map(|part| part.len()).sum();
        let headers = format!("Content-Length: {length}\r\n{headers}");
        self.stream
            .write_all(&request_with(method, path, &headers))?;
        for part in body {
            self.stream.write_all(part)?;
        }
        let (head, text) = self.head()?;
        let location = header(&text, "location").map(ToOwned::to_owned);
        let mut said = Vec::new();
        while said.len() < usize::try_from(head.length)? {
            if self.held.is_empty() {
                self.held = 0..self.read_at(0)?;
            }
            said.extend_from_slice(&self.buffer[self.held.clone()]);
            self.held = 0..0;
        }
        if head.status != status {
            let said = String::from_utf8_lossy(&said);
            bail!(
                "{method} {path}: {} instead of {status}: {said}",
                head.status
            );
        }
        Ok(location)
    }

    fn head(&mut self) -> Result<(Head, String)> {
        // What a HEAD or an unread error left behind belongs to nobody.
        self.held = 0..0;
        loop {
            let held = self.held.end;
            self.held.end += self.read_at(held)?;
            if let Some(head) = Head::parse(&self.buffer[..self.held.end])? {
                self.held.start = head.size;
                let text = String::from_utf8_lossy(&self.buffer[..head.size]).into_owned();
                return Ok((head, text));
            }
        }
    }

    fn read_at(&mut self, at: usize) -> Result<usize> {
        match self.stream.read(&mut self.buffer[at..])? {
            0 => bail!("the server closed the connection"),
            read => Ok(read),
        }
    }
}

/// The path of a `Location`, which may be a whole URL.
pub(crate) fn path_of(location: &str) -> &str {
    match location.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => location,
    }
}
