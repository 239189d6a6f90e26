//! The usual way: the mount goes through a build context into a builder, through an image and
//! a container out of it, and between jobs it is an archive of CI's.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use super::site::{Builder, Leg, Site, build, timed};

/// Under which the server has the archive.
const KEY: &str = "usual/npm";

/// The archive is fetched and unpacked, then the folder is the context of a build.
pub(super) fn restore(site: &Site, builder: &Builder<'_>) -> Result<Leg> {
    let (archive, host) = (words(&site.path("archive.tzst"))?, site.path("host"));
    fs::remove_dir_all(&host)?;
    fs::create_dir(&host)?;
    let before = site.sent();
    let archived = timed(|| {
        site.client(&["get", KEY, &archive])?;
        site.run(&["tar", "--zstd", "-C", &words(&host)?, "-xf", &archive])
    })?;
    let moved = site.sent() - before;
    let carried = inject(builder, &host)?;
    Ok(Leg {
        carried,
        uncompressed: carried,
        archived,
        moved,
    })
}

/// Copies a folder of jobs into the mount.
pub(super) fn inject(builder: &Builder<'_>, folder: &Path) -> Result<Duration> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.context("a folder of jobs")?;
    builder.timed(&format!("{} --tag inject", build("inject", name)))
}

/// A build copies the mount into an image, and a container of that is copied to the folder;
/// then all of that is packed and sent.
pub(super) fn save(site: &Site, builder: &Builder<'_>) -> Result<Leg> {
    let output = "--output type=docker,compression=uncompressed";
    let uncompressed = extract(site, builder, output)?;
    let carried = extract(site, builder, "--load")?;
    let (archive, host) = (words(&site.path("archive.tzst"))?, site.path("host"));
    let before = site.received();
    let archived = timed(|| {
        let zstd = "--use-compress-program=zstd -T0";
        site.run(&["tar", zstd, "-C", &words(&host)?, "-cf", &archive, "."])?;
        site.client(&["put", &archive, KEY])
    })?;
    Ok(Leg {
        carried,
        uncompressed,
        archived,
        moved: site.received() - before,
    })
}

/// Copies the mount to the folder of CI. `output` is what lets the build load its image.
fn extract(site: &Site, builder: &Builder<'_>, output: &str) -> Result<Duration> {
    let host = site.path("host");
    fs::remove_dir_all(&host)?;
    fs::create_dir(&host)?;
    let time = builder.timed(&format!(
        "{} {output} --tag extract; docker create --name cache extract; \
         docker cp -L cache:/cache - | tar -x -C host --strip-components 1",
        build("extract", "empty")
    ))?;
    // Nothing of it is left for the next.
    builder.run("docker rm cache >&2; docker rmi extract >&2")?;
    let held = site.digest_of(&host)?;
    ensure!(builder.holds()? == held, "it is not what was copied out");
    Ok(time)
}

fn words(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).context("a path of UTF-8")
}
