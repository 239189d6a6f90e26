//! GET of one file that is not there yet by 200 clients at once, while its origin sends
//! it over four seconds.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cache_core::Digest;
use cache_tests::server::free_port;

use crate::{
    Bench,
    goal::{Bound, Goal},
    proxy::{self, Proxy},
    report::milliseconds,
};

const CLIENTS: usize = 200;
const SIZE: usize = 8 << 20;
/// Parts that the origin sends, and the pause behind each: four seconds in all.
const PARTS: usize = 64;
const PAUSE: Duration = Duration::from_micros(62_500);
/// Several times what any of them takes that answers at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// An origin that sends one file slowly and counts who asks for it.
struct Origin {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// What one client saw, from the moment when all began.
struct Seen {
    first: Duration,
    whole: Duration,
}

/// What the clients of one proxy saw.
struct Row {
    name: &'static str,
    asked: usize,
    leader: Duration,
    /// The last first byte behind the leader's.
    follower: Duration,
    whole: Duration,
    failed: usize,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let origin = Origin::start()?;
    let proxies = proxy::start(bench, origin.address)?;
    let direct = fetch(origin.address, "/debian/pool/direct_1_all.deb")?.whole;
    let mut rows = Vec::new();
    for (at, proxy) in proxies.iter().enumerate() {
        let path = format!("/debian/pool/main/w/whale/whale{at}_1_all.deb");
        match measure(proxy.as_ref(), &origin, &path) {
            Ok(row) => rows.push(row),
            // A peer that serves nobody has no figures; the others have theirs.
            Err(error) => eprintln!("{}: {error:#}", proxy.name()),
        }
    }
    table(direct, &rows);
    if let Some(ours) = rows.iter().find(|row| row.name == "cachalot") {
        bench.report.goals(goals(direct, ours));
    }
    Ok(())
}

fn measure(proxy: &dyn Proxy, origin: &Origin, path: &str) -> Result<Row> {
    let before = origin.asked.load(Ordering::Relaxed);
    let digest = Digest::sha256(&content());
    let (address, target) = (proxy.address(), proxy.target(path, &digest));
    let seen: Vec<Result<Seen>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| fetch(address, &target)))
            .collect();
        let join = |client: thread::ScopedJoinHandle<'_, _>| client.join();
        let ended = clients.into_iter().map(join);
        ended
            .map(|client| client.unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked"))))
            .collect()
    });
    let failed = seen.iter().filter(|it| it.is_err()).count();
    if failed == CLIENTS {
        let error = seen.into_iter().find_map(Result::err);
        return Err(error.context("an error")?.context("no client was served"));
    }
    let mut seen: Vec<_> = seen.into_iter().flatten().collect();
    seen.sort_by_key(|it| it.first);
    let (leader, last) = (seen.first(), seen.last());
    let (leader, last) = leader.zip(last).context("no client was served")?;
    Ok(Row {
        name: proxy.name(),
        asked: origin.asked.load(Ordering::Relaxed) - before,
        leader: leader.first,
        follower: last.first - leader.first,
        whole: seen.iter().map(|it| it.whole).max().unwrap_or_default(),
        failed,
    })
}

/// One GET over a connection of its own.
fn fetch(address: SocketAddr, target: &str) -> Result<Seen> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "{line}");
    while line.trim() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    let mut first = [0];
    answer.read_exact(&mut first)?;
    let first = begun.elapsed();
    let length = std::io::copy(&mut answer, &mut std::io::sink())? + 1;
    // In chunks, the framing comes on top.
    ensure!(length >= SIZE as u64, "{length} bytes");
    Ok(Seen {
        first,
        whole: begun.elapsed(),
    })
}

impl Origin {
    fn start() -> Result<Self> {
        // The kernel's own choice is above 32767: apt-cacher-ng 3.7 takes such a port for a
        // negative number and asks at another one.
        let listener = TcpListener::bind(("127.0.0.1", free_port()))?;
        let address = listener.local_addr()?;
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        // It ends with the bench.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counting = Arc::clone(&counting);
                // A client that leaves is none of its concern.
                thread::spawn(move || serve(stream, &counting).ok());
            }
        });
        Ok(Self { address, asked })
    }
}

fn serve(stream: TcpStream, asked: &AtomicUsize) -> Result<()> {
    let mut requests = BufReader::new(stream.try_clone()?);
    let mut answers = stream;
    let (mut line, mut is_last) = (String::new(), false);
    while requests.read_line(&mut line)? > 0 {
        if line.starts_with("GET ") {
            asked.fetch_add(1, Ordering::Relaxed);
        }
        is_last |= line.eq_ignore_ascii_case("connection: close\r\n");
        if line.trim().is_empty() {
            send(&mut answers)?;
            if is_last {
                break;
            }
        }
        line.clear();
    }
    Ok(())
}

fn send(answers: &mut TcpStream) -> Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\nETag: \"whale\"\r\n\
         Cache-Control: max-age=3600\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\n"
    );
    answers.write_all(head.as_bytes())?;
    for part in content().chunks(SIZE / PARTS) {
        answers.write_all(part)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// The file.
fn content() -> Vec<u8> {
    vec![7; SIZE]
}

fn table(direct: Duration, rows: &[Row]) {
    println!(
        "\n### GET of an absent file of 8 MiB by {CLIENTS} clients at once; its origin takes {:.2} s\n",
        direct.as_secs_f64()
    );
    println!(
        "| server | requests to the origin | first byte, ms | last client's first byte behind it, ms \
         | whole, of the origin's time | clients that failed |\n|---|--:|--:|--:|--:|--:|"
    );
    for row in rows {
        println!(
            "| {} | {} | {} | {} | {:.3} | {} |",
            row.name,
            row.asked,
            milliseconds(row.leader.as_secs_f64()),
            milliseconds(row.follower.as_secs_f64()),
            row.whole.as_secs_f64() / direct.as_secs_f64(),
            row.failed,
        );
    }
}

fn goals(direct: Duration, ours: &Row) -> [Goal; 3] {
    [
        Goal {
            what: "absent file, 200 clients: requests to the origin".to_owned(),
            value: ours.asked as f64,
            unit: "",
            bound: Bound::AtMost(1.0),
        },
        Goal {
            what: "absent file, 200 clients: last first byte behind the first".to_owned(),
            value: ours.follower.as_secs_f64() * 1e3,
            unit: " ms",
            bound: Bound::AtMost(20.0),
        },
        Goal {
            what: "absent file, 200 clients: whole, of the origin's time".to_owned(),
            value: ours.whole.as_secs_f64() / direct.as_secs_f64(),
            unit: "x",
            bound: Bound::AtMost(1.05),
        },
    ]
}
