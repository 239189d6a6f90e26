//! Stores bytes and a file, and reads them back: `cargo run --example put_and_get`.
//!
//! The server is `CACHALOT_URL`. Any server of the Remote Execution API will do.

use bytes::Bytes;
use cache_client::{Builder, Compression, Upload};
use futures::{TryStreamExt, stream};

#[tokio::main]
async fn main() -> cache_client::Result<()> {
    let client = Builder::from_env()?.connect().await?;
    let blobs = client.blobs("examples").compression(Compression::Always);

    // Bytes at hand, by their SHA-256.
    let blob = blobs.put("a sperm whale").await?;
    let read = blobs.read(&blob, 1024).await?;
    println!("{blob}: {:?}", read.as_deref());

    // A file: read for its name first, and sent only if the server has it not.
    let program = std::env::args_os().next().unwrap_or_default();
    let file = blobs.put_file(&program).await?;
    println!("{file}: {}", program.display());

    // Many at once: small ones go together.
    let songs = (0..1_000).map(|i| Upload::from(Bytes::from(format!("song {i}"))));
    let songs: Vec<Upload> = songs.collect();
    let names = songs.iter().map(|song| *song.blob()).collect();
    let uploaded = blobs.put_many(stream::iter(songs)).await?;
    println!("{} of {} were new", uploaded.sent_blobs, uploaded.blobs);

    let mut found = blobs.read_many(names, 1024);
    let mut bytes = 0;
    while let Some((blob, song)) = found.try_next().await? {
        bytes += song.map_or(0, |song| song.len());
        assert!(blob.size < 1024, "as they were put");
    }
    println!("{bytes} bytes of songs");
    Ok(())
}
