//! A registry in memory, open to all: `cargo run -p cache-oci --example oci_memory -- 127.0.0.1:5000`

use std::{error::Error, sync::Arc};

use cache_core::{Cache, Memory};
use cache_oci::{Oci, OciConfig, Sparse};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:5000")).await?;
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory));
    let config = OciConfig {
        open: true,
        sparse: Sparse::All,
        ..OciConfig::default()
    };
    axum::serve(listener, cache_oci::router(Oci::new(cache, config))).await?;
    Ok(())
}
