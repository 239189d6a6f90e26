//! An archive as of a time: apt-get updates from a release that its origin has replaced,
//! and downloads a package that has other bytes under its name since.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use cache_core::Digest;
use cache_tests::{Home, skip, tool::has};
use cache_upstream::testing::{FakeOrigin, Page};

use crate::{
    apt_race::{INSECURE, cachalot, line},
    packages::{apt_get, apt_home},
};

const INDEX: &str = "main/binary-all/Packages";

/// One state of the archive: a version of one package, whose name stays the same.
fn publish(origin: &FakeOrigin, version: u64) {
    let package = format!("!<arch>\nversion {version} of the whale\n");
    let (hex, size) = (Digest::sha256(package.as_bytes()).hex(), package.len());
    let index = format!(
        "Package: whale\nVersion: {version}\nArchitecture: all\n\
         Maintainer: Nobody <nobody@packages.example>\nFilename: pool/whale.deb\n\
         Size: {size}\nSHA256: {hex}\nDescription: a whale\n\n"
    );
    let (hex, size) = (Digest::sha256(index.as_bytes()).hex(), index.len());
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + version);
    let date = httpdate::fmt_http_date(time);
    let release = format!(
        "Origin: Whales\nSuite: stable\nCodename: stable\nDate: {}\nArchitectures: all\n\
         Components: main\nSHA256:\n {hex} {size} {INDEX}\n",
        date.replace("GMT", "UTC"),
    );
    let page = |body: String| Page::new(body).with("last-modified", &date);
    origin.serve("/pool/whale.deb", page(package));
    origin.serve(&format!("/dists/stable/{INDEX}"), page(index));
    origin.serve("/dists/stable/Release", page(release));
}

/// What a machine that was never here downloads: the package's bytes.
fn download(source: &str) -> Result<String> {
    let home = apt_home(&line(source))?;
    apt_get(&home, &[INSECURE], &["update"])?;
    apt_get(&home, &[INSECURE], &["download", "whale"])?;
    downloaded(&home)
}

fn downloaded(home: &Home) -> Result<String> {
    for entry in fs::read_dir(home.path())? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "deb") {
            return Ok(fs::read_to_string(path)?);
        }
    }
    anyhow::bail!("nothing was downloaded")
}

/// The times of the suite that the server tells, the newest first, once they are over.
async fn times(server: &str, host: &str) -> Result<Vec<String>> {
    let list = cache_tests::http::get(format!("http://{server}/apt/@/{host}/dists/stable")).await?;
    let list = list.error_for_status()?.text().await?;
    let times = list.lines().filter_map(|line| line.split(' ').next());
    // A time can be asked for when its second is over.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    Ok(times.map(ToOwned::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_served_as_it_was_at_a_time() -> Result<()> {
    if !has("apt-get") {
        skip("apt_pinned", "there is no apt-get");
        return Ok(());
    }
    let origin = FakeOrigin::start().await;
    let url = origin.url();
    let host = url.authority();
    let server = cachalot(host);
    let newest = format!("http://{}/apt/{host}", server.address());
    for version in [1, 2] {
        publish(&origin, version);
        let whale = download(&newest)?;
        ensure!(whale.contains(&format!("version {version} ")), "{whale}");
    }
    let times = times(&server.address(), host).await?;
    let [second, first] = times.as_slice() else {
        anyhow::bail!("there were two releases: {times:?}");
    };
    let as_of = |time: &str| format!("http://{}/apt/{time}/{host}", server.address());
    for round in ["with its origin", "without its origin"] {
        for (time, version) in [(first, 1), (second, 2)] {
            let whale = download(&as_of(time)).with_context(|| format!("{time} {round}"))?;
            ensure!(whale.contains(&format!("version {version} ")), "{whale}");
        }
        origin.set_down(true);
    }
    let before = download(&as_of("@20000101T000000Z"));
    let told = before.err().map(|it| format!("{it:#}")).unwrap_or_default();
    ensure!(told.contains("404"), "before the first: {told}");
    Ok(())
}
