//! Moves a large file both ways and tells how far it is: `cargo run --example download`.
//!
//! The server is `CACHALOT_URL`. Any server of the Remote Execution API will do.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cache_client::{Builder, Error, Retry};

#[tokio::main]
async fn main() -> cache_client::Result<()> {
    let client = Builder::from_env()?
        .connections(4)
        .silence(Duration::from_secs(10))
        .retry(Retry::default().attempts(8))
        .connect()
        .await?;
    let moved = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&moved);
    let blobs = client.blobs("examples").progress(move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    });

    let here = |source| Error::File {
        path: "a temporary folder".to_owned(),
        source,
    };
    let folder = tempfile::tempdir().map_err(here)?;
    let source = folder.path().join("source");
    fs::write(&source, vec![7; 20 << 20]).map_err(here)?;

    let blob = blobs.put_file(&source).await?;
    println!("{} bytes put", moved.swap(0, Ordering::Relaxed));

    // Several ranges at a time; the file appears when every byte was checked.
    let target = folder.path().join("target");
    let found = blobs.download(&blob, &target).await?;
    println!("found: {found}, {} bytes", moved.load(Ordering::Relaxed));
    let same = fs::read(source).map_err(here)? == fs::read(target).map_err(here)?;
    println!("the same: {same}");
    Ok(())
}
