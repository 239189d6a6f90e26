//! A whole server in this process, spoken to over real sockets.

mod auth;
mod bad_upstream;
mod connections;
mod drain;
mod grpc;
mod proxy;
mod serving;
mod tls;
mod transparent;
mod why;

use std::{net::SocketAddr, time::Duration};

use cache_core::{Digest, Period};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{self, Instant},
};

use crate::{
    Running, Server, StartError,
    config::{Config, Sources},
};

/// Far more than anything here takes, and far less than a hang.
const SOON: Duration = Duration::from_secs(20);

/// A server on free ports, and its folder.
struct Harness {
    running: Running,
    folder: TempDir,
}

impl Harness {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with a changed configuration.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = start(&folder, change).await.unwrap();
        Self { running, folder }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.running.data).await.unwrap()
    }

    /// Asks the data listener.
    async fn ask(&self, request: &str) -> Answer {
        ask(self.running.data, request, "").await
    }

    /// Asks the admin listener, for the body only.
    async fn admin(&self, path: &str) -> Answer {
        ask(self.running.admin, &format!("GET {path}"), "").await
    }

    /// Stores a blob in the repository `sea`.
    async fn push(&self, content: &str) -> Digest {
        let digest = Digest::sha256(content.as_bytes());
        let request = format!("POST /v2/sea/blobs/uploads/?digest={digest}");
        let answer = ask(self.running.data, &request, content).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        digest
    }

    /// The value of a metric, once it is what is expected.
    async fn until_metric(&self, series: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let metrics = self.admin("/metrics").await.body;
            let value = metrics
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            if value == Some(expected) {
                return;
            }
            assert!(begun.elapsed() < SOON, "{series} is {value:?}");
            time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn start(folder: &TempDir, change: impl FnOnce(&mut Config)) -> Result<Running, StartError> {
    let data = folder.path().join("data").display().to_string();
    let any = "127.0.0.1:0".to_owned();
    let mut config = Config::load(Sources {
        flags: vec![
            ("store.data", data),
            ("server.listen", any.clone()),
            ("server.admin_listen", any),
        ],
        ..Sources::default()
    })
    .unwrap();
    change(&mut config);
    Server::start(config).await
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// A header's value, by its name in lower case.
    fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &&str| {
            let (found, _) = line.split_once(": ").unwrap_or_default();
            found.eq_ignore_ascii_case(name)
        };
        let line = self.head.lines().find(named)?;
        line.split_once(": ").map(|(_, value)| value)
    }
}

/// Sends `METHOD /path` with perhaps more header lines, on a connection of its own.
async fn ask(address: SocketAddr, request: &str, body: &str) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    exchange(stream, request, body).await
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
    body: &str,
) -> Answer {
    let (line, headers) = request.split_once('\n').unwrap_or((request, ""));
    let headers: String = headers.lines().map(|h| format!("{h}\r\n")).collect();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: cache\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = time::timeout(SOON, stream.read_to_end(&mut bytes)).await;
    // A peer that closes TLS without saying so has answered all the same.
    let _ = read.expect("an answer");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Answer {
        status: status.expect("a status"),
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Whether the server closes a connection by itself, before [`SOON`].
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut sink = Vec::new();
    time::timeout(SOON, stream.read_to_end(&mut sink))
        .await
        .is_ok()
}

const fn milliseconds(milliseconds: u64) -> Period {
    Period(Duration::from_millis(milliseconds))
}
