//! Recorded installs once more, many at once: their server is the bottleneck, and what is
//! compared is its processor time.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

/// Read at once.
const BUFFER: usize = 256 * 1024;

/// Nobody who answers takes this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one client asks for, and what it was answered the first time.
#[derive(Clone, Debug)]
pub(super) struct Recording {
    steps: Arc<[Step]>,
}

#[derive(Debug)]
struct Step {
    request: Vec<u8>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Of the body, without its framing.
    length: u64,
}

impl Recording {
    /// Asks for everything once.
    pub(super) fn of(heads: Vec<Vec<u8>>, server: SocketAddr) -> Result<Self> {
        block_on(async {
            let mut connection = Connection::new(server);
            let mut steps = Vec::new();
            for request in heads {
                let answer = connection.ask(&request).await?;
                let asked = String::from_utf8_lossy(&request).into_owned();
                // apt asks for documents that need not be there.
                let is_served = matches!(answer.status, 200 | 404);
                ensure!(is_served, "not served by itself, {answer:?}: {asked}");
                steps.push(Step { request, answer });
            }
            ensure!(!steps.is_empty(), "nothing was asked for");
            Ok(Self {
                steps: steps.into(),
            })
        })
    }

    pub(super) fn requests(&self) -> usize {
        self.steps.len()
    }

    /// Bytes of all bodies.
    pub(super) fn bytes(&self) -> u64 {
        self.steps.iter().map(|step| step.answer.length).sum()
    }

    /// Asks for everything with many clients at once, each over one connection at a time,
    /// and gives how many answers were not the same as the first time. One thread drives
    /// them all: that costs the least.
    pub(super) fn replay(&self, server: SocketAddr, clients: usize) -> Result<usize> {
        block_on(async {
            let mut running = JoinSet::new();
            for _ in 0..clients {
                let steps = Arc::clone(&self.steps);
                running.spawn(async move {
                    let mut connection = Connection::new(server);
                    let mut others = 0;
                    for step in steps.iter() {
                        let asked = connection.ask(&step.request);
                        let answer = timeout(PATIENCE, asked).await.ok().and_then(Result::ok);
                        if answer != Some(step.answer) {
                            others += 1;
                            connection.stream = None;
                        }
                    }
                    others
                });
            }
            let mut others = 0;
            while let Some(client) = running.join_next().await {
                others += client?;
            }
            Ok(others)
        })
    }
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// One connection at a time, made again when the server has closed it.
struct Connection {
    server: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not taken yet.
    held: std::ops::Range<usize>,
}

/// How an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
    Close,
}

impl Connection {
    fn new(server: SocketAddr) -> Self {
        Self {
            server,
            stream: None,
            buffer: vec![0; BUFFER],
            held: 0..0,
        }
    }

    async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        let was_open = self.stream.is_some();
        let mut answer = self.try_ask(request).await;
        if answer.is_err() && was_open {
            // It was idle, and the server may close it then.
            self.stream = None;
            answer = self.try_ask(request).await;
        }
        answer
    }

    async fn try_ask(&mut self, request: &[u8]) -> Result<Answer> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.server).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
            self.held = 0..0;
        }
        let stream = self.stream.as_mut().context("it is open")?;
        stream.write_all(request).await?;
        let head = self.head().await?;
        let (status, body, closes) = parse(&head)?;
        let length = match body {
            Body::Length(length) => {
                self.skip(length).await?;
                length
            }
            Body::Chunked => self.skip_chunks().await?,
            Body::Close => self.skip_rest().await,
        };
        if closes || body == Body::Close {
            self.stream = None;
        }
        Ok(Answer { status, length })
    }

    async fn head(&mut self) -> Result<String> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.line().await?);
        }
        Ok(String::from_utf8(head)?)
    }

    /// A line with its end.
    async fn line(&mut self) -> Result<Vec<u8>> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            if self.held.is_empty() {
                self.fill().await?;
            }
            let held = &self.buffer[self.held.clone()];
            let end = held.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(held.len(), |end| end + 1);
            line.extend_from_slice(&held[..taken]);
            self.held.start += taken;
        }
        Ok(line)
    }

    async fn skip(&mut self, mut length: u64) -> Result<()> {
        while length > 0 {
            if self.held.is_empty() {
                self.fill().await?;
            }
            let taken = self.held.len().min(usize::try_from(length)?);
            self.held.start += taken;
            length -= taken as u64;
        }
        Ok(())
    }

    async fn skip_chunks(&mut self) -> Result<u64> {
        let mut all = 0;
        loop {
            let line = String::from_utf8(self.line().await?)?;
            let size = line.trim().split(';').next().unwrap_or_default();
            let size = u64::from_str_radix(size, 16).context("a chunk's size")?;
            // And the line's end behind it.
            self.skip(size + 2).await?;
            if size == 0 {
                return Ok(all);
            }
            all += size;
        }
    }

    async fn skip_rest(&mut self) -> u64 {
        let mut all = self.held.len() as u64;
        while self.fill().await.is_ok() {
            all += self.held.len() as u64;
        }
        all
    }

    async fn fill(&mut self) -> Result<()> {
        let stream = self.stream.as_mut().context("it is open")?;
        match stream.read(&mut self.buffer).await? {
            0 => Err(anyhow!("the server closed the connection")),
            read => {
                self.held = 0..read;
                Ok(())
            }
        }
    }
}

/// Status, how the body ends, and whether the connection ends with it.
fn parse(head: &str) -> Result<(u16, Body, bool)> {
    let head = head.to_ascii_lowercase();
    let status = head.get(9..12).context("a status line")?.parse()?;
    let field = |name: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        lines
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim())
    };
    let body = match (field("transfer-encoding"), field("content-length")) {
        _ if matches!(status, 204 | 304) => Body::Length(0),
        (Some(coding), _) if coding.contains("chunked") => Body::Chunked,
        (_, Some(length)) => Body::Length(length.parse().context("Content-Length")?),
        _ => Body::Close,
    };
    let closes = field("connection").is_some_and(|it| it.contains("close"));
    Ok((status, body, closes))
}

#[cfg(test)]
mod tests {
    use super::{Body, parse};

    #[test]
    fn the_framing_of_a_body_is_read_from_its_head() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let sized = "HTTP/1.1 404 Not Found\r\ncontent-length: 12\r\nConnection: close\r\n\r\n";
        let endless = "HTTP/1.0 200 OK\r\n\r\n";
        let of = |head| parse(head).expect("a head");
        assert_eq!(of(chunked), (200, Body::Chunked, false));
        assert_eq!(of(sized), (404, Body::Length(12), true));
        assert_eq!(of(endless), (200, Body::Close, false));
    }
}
