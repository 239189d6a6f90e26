//! An archive that is rewritten while apt-get updates from it: straight from the origin
//! some updates mix two generations and fail; through the cache none does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use cache_core::{Algorithm, Digest};
use cache_tests::{TestServer, skip, soaks, tool::has};
use cache_upstream::testing::{FakeOrigin, Page};

use crate::packages::{apt_get, apt_home};

/// How long the archive is of two generations, and how long of one.
const TORN: Duration = Duration::from_millis(250);
const WHOLE: Duration = Duration::from_millis(750);
const INDEX: &str = "main/binary-amd64/Packages";

/// Clients at once, and updates of each.
fn load() -> (usize, usize) {
    if soaks() { (4, 125) } else { (2, 12) }
}

/// Puts a generation in place of another, file by file, as a mirror is synchronised.
async fn rewrite(origin: &FakeOrigin, generation: usize) {
    // Another size each time, which apt notices before anything else.
    let stanza = |at: usize| {
        format!(
            "Package: whale{at}\nVersion: {generation}\nArchitecture: amd64\n\
             Maintainer: Nobody <nobody@packages.example>\nFilename: pool/whale{at}.deb\n\
             Size: 1\nSHA256: {}\nDescription: a whale\n\n",
            Digest::sha256(b"x").hex()
        )
    };
    let packages: String = (0..200 + generation % 7).map(stanza).collect();
    let (hash, size) = (
        Digest::of(Algorithm::Sha256, packages.as_bytes()),
        packages.len(),
    );
    // One second a generation: dates are what tells which is newer.
    let seconds = generation as u64 + 1_700_000_000;
    let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
    let date = httpdate::fmt_http_date(time);
    let release = format!(
        "Origin: Whales\nSuite: stable\nCodename: stable\nDate: {}\nArchitectures: amd64\n\
         Components: main\nSHA256:\n {} {size} {INDEX}\n",
        date.replace("GMT", "UTC"),
        hash.hex()
    );
    let page = |body: String| Page::new(body).with("last-modified", &date);
    origin.serve(&format!("/dists/stable/{INDEX}"), page(packages));
    tokio::time::sleep(TORN).await;
    origin.serve("/dists/stable/Release", page(release));
}

/// There is no key for it.
const INSECURE: &str = "Acquire::AllowInsecureRepositories=true";

fn line(source: &str) -> String {
    format!("deb [trusted=yes] {source} stable main\n")
}

/// Updates again and again in homes of their own; gives how many failed, and how one did.
async fn updates(source: &str) -> Result<(usize, String)> {
    let (clients, each) = load();
    let line = line(source);
    let client = move |line: String| {
        let mut failures = Vec::new();
        for _ in 0..each {
            // Every time as a machine that was never here.
            let home = apt_home(&line)?;
            if let Err(error) = apt_get(&home, &[INSECURE], &["update"]) {
                failures.push(format!("{error:#}"));
            }
        }
        Ok::<_, anyhow::Error>(failures)
    };
    let running: Vec<_> = (0..clients)
        .map(|_| {
            let line = line.clone();
            tokio::task::spawn_blocking(move || client(line))
        })
        .collect();
    let mut failures = Vec::new();
    for client in running {
        failures.extend(client.await??);
    }
    let one = failures.first().cloned().unwrap_or_default();
    Ok((failures.len(), one))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_rewritten_never_mixes_for_clients() -> Result<()> {
    if !has("apt-get") {
        skip("apt_race", "there is no apt-get");
        return Ok(());
    }
    let origin = FakeOrigin::start().await;
    let url = origin.url();
    let archives = format!("[{{origin={{url=\"{url}\", private=true}}}}]");
    let mut server = TestServer::fresh(&["--quota", "4GiB"])
        .with_setting("apt.archives", &archives)
        // Every update meets a change.
        .with_setting("apt.fresh", "0s")
        .with_setting("upstream.recheck", "0s");
    server.restart();

    rewrite(&origin, 0).await;
    let host = url.authority();
    let ours = format!("http://{}/apt/{host}", server.address());
    // It is in use already: of a suite that nobody asked for, no index is fetched ahead.
    apt_get(&apt_home(&line(&ours))?, &[INSECURE], &["update"])?;
    let over = Arc::new(AtomicBool::new(false));
    let (until, rewritten) = (Arc::clone(&over), origin.clone());
    let rewriting = tokio::spawn(async move {
        let mut generation = 1;
        while !until.load(Ordering::Relaxed) {
            rewrite(&rewritten, generation).await;
            tokio::time::sleep(WHOLE).await;
            generation += 1;
        }
        generation
    });
    let (straight, how) = updates(url.as_str()).await?;
    let (through, why) = updates(&ours).await?;
    over.store(true, Ordering::Relaxed);
    let generations = rewriting.await?;
    let (clients, each) = load();
    eprintln!(
        "{generations} generations, {} updates each way: {straight} failed straight from the \
         origin, {through} through the cache",
        clients * each
    );
    ensure!(straight > 0, "the race that is to be won was not run");
    ensure!(
        how.contains("mismatch") || how.contains("unexpected size"),
        "{how}"
    );
    ensure!(through == 0, "{through} updates failed: {why}");
    Ok(())
}
