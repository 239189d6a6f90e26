//! A package index in memory, before the one whose `/simple/` URL is the first argument
//! and whose files lie below the others: for trying clients against.

use std::sync::Arc;

use anyhow::Context;
use cache_core::{Cache, Memory, Principal, SystemClock};
use cache_http::Identity;
use cache_pypi::{IndexConfig, Pypi, PypiConfig};
use cache_upstream::{Fetcher, OriginConfig, UpstreamConfig};
use url::Url;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut origins = std::env::args().skip(1).map(|url| {
        let url = Url::parse(&url)?;
        anyhow::Ok(OriginConfig {
            private: true,
            ..OriginConfig::from(url)
        })
    });
    let simple = origins.next().context("expected the URL of an index")??;
    let config = PypiConfig {
        indexes: vec![IndexConfig {
            name: "main".to_owned(),
            simple,
            files: origins.collect::<Result<_, _>>()?,
        }],
        ..PypiConfig::default()
    };
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
    let (clock, metrics) = (
        Arc::new(SystemClock::default()),
        prometheus::Registry::new(),
    );
    let fetcher = Fetcher::new(cache.clone(), UpstreamConfig::default(), clock, &metrics)?;
    let anyone = Identity::Known(Arc::new(Principal::anyone()));
    let app = cache_pypi::router(Pypi::new(fetcher, config)?.keeping(cache))
        .layer(axum::Extension(anyone));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3141").await?;
    axum::serve(listener, app).await?;
    Ok(())
}
