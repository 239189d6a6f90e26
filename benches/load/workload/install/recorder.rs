//! A relay between a client and a server, which keeps the heads of the requests: what a
//! client asked for, others can ask for again. Where an answer names the server, it names
//! the relay instead, so that no request goes past it.

use std::{
    io::{
        ErrorKind::{TimedOut, WouldBlock},
        Read, Write,
    },
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use cache_tests::server::free_port;

/// How long the begin of a name may wait for its end.
const PAUSE: Duration = Duration::from_millis(20);

pub(super) struct Recorder {
    pub(super) address: SocketAddr,
    /// Heads in the order in which they came, over all connections.
    heads: Receiver<Vec<u8>>,
}

impl Recorder {
    /// It ends with the bench.
    pub(super) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", free_port()))?;
        let address = listener.local_addr()?;
        let names = Names {
            server: server.to_string(),
            relay: address.to_string(),
        };
        // The answers keep their lengths.
        ensure!(names.server.len() == names.relay.len(), "{names:?}");
        let (keeping, heads) = channel();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (keeping, names) = (keeping.clone(), names.clone());
                // Who leaves early is missed by the client, which fails then.
                thread::spawn(move || relay(client, server, names, &keeping).ok());
            }
        });
        Ok(Self { address, heads })
    }

    /// What was asked for since the last time.
    pub(super) fn heads(&self) -> Vec<Vec<u8>> {
        self.heads.try_iter().collect()
    }
}

/// Same in length.
#[derive(Clone, Debug)]
struct Names {
    server: String,
    relay: String,
}

impl Names {
    /// Puts the relay in the place of the server.
    fn exchange(&self, text: &mut [u8]) {
        let (from, to) = (self.server.as_bytes(), self.relay.as_bytes());
        let mut at = 0;
        while at + from.len() <= text.len() {
            if text[at..].starts_with(from) {
                text[at..at + to.len()].copy_from_slice(to);
            }
            at += 1;
        }
    }

    /// Bytes at the end that may be the begin of the server's name.
    fn begun(&self, text: &[u8]) -> usize {
        let longest = (self.server.len() - 1).min(text.len());
        let mut lengths = (1..=longest).rev();
        let begins = lengths.find(|length| text.ends_with(&self.server.as_bytes()[..*length]));
        begins.unwrap_or(0)
    }
}

/// Passes answers on, until the server ends them.
fn pass_on(mut answers: TcpStream, mut client: TcpStream, names: &Names) -> Result<()> {
    let (mut held, mut piece) = (Vec::new(), [0; 64 * 1024]);
    answers.set_read_timeout(Some(PAUSE))?;
    loop {
        let kept = match answers.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => {
                held.extend_from_slice(&piece[..read]);
                names.exchange(&mut held);
                names.begun(&held)
            }
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => 0,
            Err(error) => return Err(error.into()),
        };
        let rest = held.split_off(held.len() - kept);
        client.write_all(&std::mem::replace(&mut held, rest))?;
    }
    client.write_all(&held)?;
    Ok(client.shutdown(Shutdown::Write)?)
}

fn relay(
    mut client: TcpStream,
    server: SocketAddr,
    names: Names,
    keeping: &Sender<Vec<u8>>,
) -> Result<()> {
    let mut server = TcpStream::connect(server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (answers, to) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || pass_on(answers, to, &names));
    let (mut held, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let read = client.read(&mut piece)?;
        if read == 0 {
            return Ok(server.shutdown(Shutdown::Write)?);
        }
        held.extend_from_slice(&piece[..read]);
        for head in take_heads(&mut held) {
            keeping.send(head)?;
        }
        server.write_all(&piece[..read])?;
    }
}

/// Takes the whole heads out of what was read: no request here has a body.
fn take_heads(held: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut heads = Vec::new();
    while let Some(end) = held.windows(4).position(|at| at == b"\r\n\r\n") {
        heads.push(held.drain(..end + 4).collect());
    }
    heads
}

#[cfg(test)]
mod tests {
    use super::{Names, take_heads};

    #[test]
    fn the_relay_is_named_where_the_server_was_also_if_the_name_comes_in_two_pieces() {
        let names = Names {
            server: "127.0.0.1:12000".to_owned(),
            relay: "127.0.0.1:13000".to_owned(),
        };
        let mut text = b"to http://127.0.0.1:12000/a and 127.0.0.1:12".to_vec();
        names.exchange(&mut text);
        assert_eq!(text, b"to http://127.0.0.1:13000/a and 127.0.0.1:12");
        assert_eq!(names.begun(&text), "127.0.0.1:12".len());
        assert_eq!(names.begun(b"nothing of it"), 0);
    }

    #[test]
    fn heads_that_come_together_are_taken_apart_and_the_rest_is_kept() {
        let mut held = b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\nGET /c".to_vec();
        let heads = take_heads(&mut held);
        assert_eq!(
            heads,
            [&b"GET /a HTTP/1.1\r\n\r\n"[..], b"GET /b HTTP/1.1\r\n\r\n"]
        );
        assert_eq!(held, b"GET /c");
    }
}
