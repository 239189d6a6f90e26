//! `cachalot mount`: the server keeps the cache, and a RUN of the builder reaches it.

use anyhow::Result;

use super::site::{Builder, Leg, Site};

pub(super) fn restore(site: &Site, builder: &Builder<'_>) -> Result<Leg> {
    let before = site.sent();
    let carried = builder.timed(&mount(site, "restore"))?;
    Ok(Leg {
        carried,
        moved: site.sent() - before,
        ..Leg::default()
    })
}

pub(super) fn save(site: &Site, builder: &Builder<'_>) -> Result<Leg> {
    let before = site.received();
    let carried = builder.timed(&mount(site, "save"))?;
    Ok(Leg {
        carried,
        moved: site.received() - before,
        ..Leg::default()
    })
}

fn mount(site: &Site, action: &str) -> String {
    format!(
        "cachalot --server {} mount {action} --project bench --key main \
         --file project.Dockerfile",
        site.server()
    )
}
