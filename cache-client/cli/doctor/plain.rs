//! One GET over plain HTTP/1.0: the answer ends where the connection does.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use url::Url;

const LIMIT: Duration = Duration::from_secs(10);
/// A page of metrics has tens of kilobytes.
const LONGEST: u64 = 16 << 20;

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        let mut found = lines.filter(|(it, _)| it.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    }
}

/// Asks a server for a path.
pub(super) async fn get(server: &str, path: &str, token: Option<&str>) -> Result<Answer> {
    let asked = timeout(LIMIT, ask(server, path, token)).await;
    asked
        .unwrap_or_else(|_| bail!("no answer within {LIMIT:?}"))
        .with_context(|| server.to_owned())
}

async fn ask(server: &str, path: &str, token: Option<&str>) -> Result<Answer> {
    let url = Url::parse(server)?;
    ensure!(url.scheme() == "http", "only http is spoken here");
    let host = url.host_str().context("a host")?;
    let port = url.port_or_known_default().context("a port")?;
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    let mut request =
        format!("GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: cachalot\r\n");
    if let Some(token) = token {
        ensure!(
            !token.contains(['\r', '\n']),
            "the token has more than one line"
        );
        request.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.take(LONGEST).read_to_end(&mut bytes).await?;
    parse(&String::from_utf8_lossy(&bytes)).context("this is no web server")
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_status_headers_and_a_body() {
        let answer = parse("HTTP/1.0 401 No\r\nDate: then\r\nX: y:z\r\n\r\nbody\r\n\r\n").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (401, "body\r\n\r\n"));
        assert_eq!(
            (answer.header("date"), answer.header("x")),
            (Some("then"), Some("y:z"))
        );
        assert!(parse("SSH-2.0\r\n\r\n").is_none());
    }
}
