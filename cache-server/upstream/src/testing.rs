//! An origin that does what a test says, for the tests of everyone who asks one: real
//! connections on loopback, answers that may lie, stall, break off or never end.

#![expect(
    clippy::unwrap_used,
    reason = "an origin that cannot serve fails its test"
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cache_core::Digest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use url::Url;

use crate::OriginConfig;

/// A server on loopback; it ends with the runtime of its test.
#[derive(Clone, Debug)]
pub struct FakeOrigin {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    pages: HashMap<String, Page>,
    asked: Vec<Asked>,
    down: bool,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Asked {
    /// `GET` and so on.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// What a path answers.
#[derive(Clone, Debug)]
pub struct Page {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    fault: Fault,
    guard: Option<Box<Guard>>,
}

/// What a request must have, and the answer to one that has it not.
#[derive(Clone, Debug)]
struct Guard {
    name: HeaderName,
    value: HeaderValue,
    otherwise: Page,
}

/// How a body goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    #[default]
    None,
    /// The connection closes after so many bytes of a response.
    CloseAfter(usize),
    /// Nothing more comes after so many bytes of a response, for as long as the client
    /// waits.
    StallAfter(usize),
    /// `Content-Length` says this.
    ClaimLength(u64),
    /// The body goes on for ever, in chunks.
    Endless,
    /// So many bytes at a time, with a pause between them.
    Slow(usize, Duration),
    /// The connection closes before the status.
    NoAnswer,
    /// The status never comes.
    Silent,
}

impl Page {
    /// 200 with these bytes, an `ETag` and a `Last-Modified`. Conditions and ranges are
    /// honoured.
    #[must_use]
    pub fn new(body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let tag = format!("\"{}\"", &Digest::sha256(&body).hex()[..16]);
        Self::bare(body)
            .with("etag", &tag)
            .with("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT")
    }

    /// 200 with these bytes and no validator, as plain mirrors answer.
    #[must_use]
    pub fn bare(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
            fault: Fault::None,
            guard: None,
        }
    }

    /// An answer of this status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            ..Self::bare("")
        }
    }

    /// 302 to this place.
    #[must_use]
    pub fn redirect(to: &str) -> Self {
        Self::status(302).with("location", to)
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.headers
            .insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// The same to requests with this header, and something else to others.
    #[must_use]
    pub fn only_with(mut self, name: &str, value: &str, otherwise: Self) -> Self {
        self.guard = Some(Box::new(Guard {
            name: name.parse().unwrap(),
            value: HeaderValue::from_str(value).unwrap(),
            otherwise,
        }));
        self
    }

    /// What a request gets.
    fn for_request(self, asked: &Asked) -> Self {
        match self.guard {
            Some(guard) if asked.headers.get(&guard.name) != Some(&guard.value) => guard.otherwise,
            _ => self,
        }
    }

    /// The same, but going wrong.
    #[must_use]
    pub const fn but(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

impl FakeOrigin {
    /// Starts one that answers 404 to everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::default(),
        };
        let serving = origin.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let origin = serving.clone();
                // A client that leaves is none of our concern.
                tokio::spawn(async move { origin.connection(stream).await.ok() });
            }
        });
        origin
    }

    /// `http://127.0.0.1:port/`.
    #[must_use]
    pub fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    /// How to ask it: at a private address.
    #[must_use]
    pub fn config(&self) -> OriginConfig {
        OriginConfig {
            private: true,
            ..OriginConfig::from(self.url())
        }
    }

    /// Answers this to a path, which begins with a slash, from now on.
    pub fn serve(&self, path: &str, page: Page) {
        self.shared.lock().pages.insert(path.to_owned(), page);
    }

    /// Answers nothing: every connection is closed at once.
    pub fn set_down(&self, down: bool) {
        self.shared.lock().down = down;
    }

    /// Every request so far.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.lock().asked.clone()
    }

    /// How many requests there were for a path.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        let shared = self.shared.lock();
        shared.asked.iter().filter(|it| it.path == path).count()
    }

    async fn connection(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(asked) = read_request(&mut stream).await? {
            let page = {
                let mut shared = self.shared.lock();
                if shared.down {
                    return Ok(());
                }
                shared.asked.push(asked.clone());
                let path = asked.path.split('?').next().unwrap_or_default();
                let page = shared.pages.get(&asked.path);
                page.or_else(|| shared.pages.get(path)).cloned()
            };
            let page = page.unwrap_or_else(|| Page::status(404));
            let page = page.for_request(&asked);
            if !respond(&mut stream, &asked, page).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(ToOwned::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = HeaderMap::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        let (name, value) = (name.parse::<HeaderName>(), value.parse());
        headers.append(name.unwrap(), value.unwrap());
    }
    let length = headers.get("content-length");
    let length = length.map_or(0, |it| it.to_str().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(Asked {
        method,
        path,
        headers,
        body: body.into(),
    }))
}

/// Whether the connection can be used again.
async fn respond(
    stream: &mut BufReader<TcpStream>,
    asked: &Asked,
    mut page: Page,
) -> std::io::Result<bool> {
    match page.fault {
        Fault::NoAnswer => return Ok(false),
        Fault::Silent => {
            sleep(Duration::from_secs(3600)).await;
            return Ok(false);
        }
        _ => {}
    }
    condition(asked, &mut page);
    let mut head = format!("HTTP/1.1 {} x\r\n", page.status.as_u16());
    for (name, value) in &page.headers {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    let date = httpdate_now();
    head.push_str(&format!("date: {date}\r\n"));
    match page.fault {
        Fault::Endless => head.push_str("transfer-encoding: chunked\r\n"),
        Fault::ClaimLength(length) => head.push_str(&format!("content-length: {length}\r\n")),
        _ if page.status == StatusCode::NOT_MODIFIED => {}
        _ => head.push_str(&format!("content-length: {}\r\n", page.body.len())),
    }
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    if asked.method == "HEAD" {
        return Ok(true);
    }
    send(stream, &page).await
}

async fn send(stream: &mut BufReader<TcpStream>, page: &Page) -> std::io::Result<bool> {
    let body = &page.body;
    match page.fault {
        Fault::CloseAfter(bytes) => {
            stream.write_all(&body[..bytes.min(body.len())]).await?;
            Ok(bytes >= body.len())
        }
        Fault::StallAfter(bytes) => {
            stream.write_all(&body[..bytes.min(body.len())]).await?;
            if bytes < body.len() {
                sleep(Duration::from_secs(3600)).await;
            }
            Ok(true)
        }
        Fault::Slow(piece, pause) => {
            for part in body.chunks(piece) {
                stream.write_all(part).await?;
                stream.flush().await?;
                sleep(pause).await;
            }
            Ok(true)
        }
        Fault::Endless => loop {
            let part = format!("{:x}\r\n", 1 << 16);
            stream.write_all(part.as_bytes()).await?;
            stream.write_all(&[b'x'; 1 << 16]).await?;
            stream.write_all(b"\r\n").await?;
        },
        Fault::ClaimLength(_) => {
            stream.write_all(body).await?;
            Ok(false)
        }
        Fault::None | Fault::NoAnswer | Fault::Silent => {
            stream.write_all(body).await?;
            Ok(true)
        }
    }
}

/// Turns a page into a 304 or a 206 if the request's headers ask for it.
fn condition(asked: &Asked, page: &mut Page) {
    if page.status != StatusCode::OK {
        return;
    }
    let same = |condition: &str, ours: &str| {
        let condition = asked.headers.get(condition);
        condition.is_some() && condition == page.headers.get(ours)
    };
    let unchanged = match asked.headers.get("if-none-match") {
        Some(_) => same("if-none-match", "etag"),
        None => same("if-modified-since", "last-modified"),
    };
    if unchanged {
        page.status = StatusCode::NOT_MODIFIED;
        page.body = Bytes::new();
        return;
    }
    let range = asked.headers.get("range").and_then(|it| it.to_str().ok());
    let applies = asked.headers.get("if-range").is_none()
        || same("if-range", "etag")
        || same("if-range", "last-modified");
    let first = range
        .and_then(|range| {
            range
                .strip_prefix("bytes=")?
                .strip_suffix('-')?
                .parse()
                .ok()
        })
        .filter(|first: &usize| applies && *first < page.body.len());
    if let Some(first) = first {
        let size = page.body.len();
        page.status = StatusCode::PARTIAL_CONTENT;
        page.body = page.body.slice(first..);
        let range = format!("bytes {first}-{}/{size}", size - 1);
        page.headers.insert("content-range", range.parse().unwrap());
    }
}

fn httpdate_now() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

/// A host that says everything twice, and where it is.
pub async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 100];
                while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                    let twice = [&bytes[..read], &bytes[..read]].concat();
                    stream.write_all(&twice).await.unwrap();
                }
            });
        }
    });
    address
}

/// The children of a family of counters by the values of their labels, which are sorted
/// by the labels' names; in their order.
#[must_use]
pub fn counted(registry: &prometheus::Registry, family: &str) -> Vec<(String, u64)> {
    let families = registry.gather();
    let families = families.iter().filter(|it| it.name() == family);
    let metrics = families.flat_map(|it| it.get_metric());
    let mut counted: Vec<_> = metrics
        .map(|metric| {
            let labels = metric.get_label().iter().map(|label| label.value());
            let labels = labels.collect::<Vec<_>>().join(" ");
            (labels, metric.get_counter().get_value() as u64)
        })
        .collect();
    counted.sort();
    counted
}
