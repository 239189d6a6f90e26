//! Lets keys lead to blobs, and finds them by fallbacks: `cargo run --example refs`.
//!
//! The server is `CACHALOT_URL`.

use cache_client::{Binding, Builder, Candidate};
use futures::TryStreamExt;

#[tokio::main]
async fn main() -> cache_client::Result<()> {
    let client = Builder::from_env()?.connect().await?;
    let (blobs, refs) = (client.blobs("examples"), client.refs("examples"));

    // A list that is of use only with what it lists.
    let part = blobs.put("one part").await?;
    let list = blobs.put(part.to_string()).await?;
    let binding = Binding::new("list/main-1", list).closure([part]).meta("v1");
    let bound = refs.bind(&binding).await?;
    println!("{} leads to {}", bound.key, bound.target);

    // What a branch would ask for: its own, or the newest of the main branch.
    let candidates = [
        Candidate::key("list/branch-7"),
        Candidate::prefix("list/main-"),
    ];
    match refs.resolve_first(candidates).await? {
        Some(found) => println!("candidate {}: {}", found.candidate, found.target.key),
        None => println!("a miss"),
    }

    let mut all = refs.list("list/");
    while let Some(found) = all.try_next().await? {
        println!("{} by {}", found.key, found.writer);
    }
    println!("removed: {}", refs.delete("list/main-1").await?);
    Ok(())
}
