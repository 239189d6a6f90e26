//! apt-cacher-ng as apt's proxy.

use std::path::Path;

use anyhow::Result;

use super::{Index, Origin, Protocol, Way};
use crate::{Bench, proxy::apt_cacher_ng};

pub(super) fn start(folder: &Path, bench: &Bench, _: &Origin) -> Result<Index> {
    let (process, address) = apt_cacher_ng::process(folder, bench.processors)?;
    let ways = &[(Protocol::Debian, Way::Proxy)];
    Ok(Index::of("apt-cacher-ng", address, ways, process))
}
