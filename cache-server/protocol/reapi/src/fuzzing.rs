//! The readers of what clients send, one function a fuzz target: none may panic, whatever
//! it is given.

use std::sync::Arc;

use bytes::Bytes;
use cache_core::{Algorithm, BlobStoreExt, Cache, Digest, Memory, Upload};
use cache_proto::reapi::{self, ActionResult, Directory, Tree};
use prost::Message;

use crate::{
    Reapi, ReapiConfig,
    compression::Inflater,
    digest::{Named, function, of_hex},
    instance::Instance,
    outputs::Outputs,
    resource_name::{ResourceName, UploadName},
};

/// Reads a text as each kind of name, and as a hash.
///
/// # Panics
/// If a name is not read again as itself once it is printed.
pub fn names(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    if let Ok(instance) = Instance::parse(&text) {
        assert_eq!(instance.as_str(), text);
        // Whatever is taken has a place in the store.
        let _ = instance.action(&Digest::sha256(b"whale"));
    }
    if let Ok(name) = ResourceName::parse(&text) {
        assert_eq!(ResourceName::parse(&name.to_string()).ok(), Some(name));
    }
    if let Ok(name) = UploadName::parse(&text) {
        assert_eq!(UploadName::parse(&name.to_string()).ok(), Some(name));
    }
    for named in -1..12 {
        if let Ok(function) = function(named)
            && let Ok(digest) = of_hex(&text, function)
        {
            assert_eq!(digest.hex(), text);
        }
    }
}

/// Decompresses a stream: two bytes say how long its blob is said to be, one how much of it
/// comes at once.
///
/// # Panics
/// If more than the blob comes out, or less passes for it.
pub fn inflate(input: &[u8]) {
    let Some(([high, low, most], stream)) = input.split_first_chunk() else {
        return;
    };
    let size = u64::from(u16::from_be_bytes([*high, *low]));
    let Ok(mut inflater) = Inflater::new(size) else {
        return;
    };
    let mut made = 0;
    for part in stream.chunks(usize::from(*most) + 1) {
        let mut part = Bytes::copy_from_slice(part);
        loop {
            match inflater.step(&mut part) {
                Ok(Some(out)) => made += out.len() as u64,
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(made <= size, "{made} bytes of {size}");
        }
        assert!(part.is_empty(), "a part of the input was left");
    }
    if inflater.finish().is_ok() {
        assert_eq!(made, size);
    }
}

/// Gathers what an action's result needs, beside a tree and a directory that are here: each
/// of them has two bytes of length before it. The result's output directories lead to
/// them, whatever it says.
///
/// # Panics
/// If a file of the result or of its trees is not among what it needs.
pub fn results(input: &[u8]) {
    let Some((tree, rest)) = framed(input) else {
        return;
    };
    let Some((directory, result)) = framed(rest) else {
        return;
    };
    let Ok(mut result) = ActionResult::decode(result) else {
        return;
    };
    for output in &mut result.output_directories {
        lead(&mut output.tree_digest, tree);
        lead(&mut output.root_directory_digest, directory);
    }
    let blobs = [tree, directory].map(Bytes::copy_from_slice);
    let Some(needed) = needed(&result, blobs) else {
        return;
    };
    assert!(needed.iter().all(|blob| !blob.is_empty()));
    let mut files: Vec<_> = result.output_files.iter().map(|it| &it.digest).collect();
    let tree = Tree::decode(tree).unwrap_or_default();
    let directory = Directory::decode(directory).unwrap_or_default();
    let outputs = &result.output_directories;
    if outputs.iter().any(|it| it.tree_digest.is_some()) {
        let all = tree.root.iter().chain(&tree.children);
        files.extend(all.flat_map(|it| &it.files).map(|it| &it.digest));
    }
    if outputs.iter().any(|it| it.root_directory_digest.is_some()) {
        files.extend(directory.files.iter().map(|it| &it.digest));
    }
    for digest in files.into_iter().flatten().filter(|it| it.size_bytes > 0) {
        let file = Named::parse(digest, None).expect("what is needed was understood");
        assert!(needed.contains(&file), "{file} is not needed");
    }
}

fn framed(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = input.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn lead(digest: &mut Option<reapi::Digest>, to: &[u8]) {
    if let Some(digest) = digest {
        digest.hash = Digest::sha256(to).hex();
        digest.size_bytes = i64::try_from(to.len()).unwrap_or_default();
    }
}

/// What a result needs, where these blobs are; `None` if it is refused.
fn needed(result: &ActionResult, blobs: [Bytes; 2]) -> Option<Vec<Named>> {
    let memory = Memory::default();
    let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
    let reapi = Reapi::new(cache, ReapiConfig::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.ok()?.block_on(async {
        for blob in blobs {
            memory.put(Upload::default(), blob, None).await.ok()?;
        }
        let outputs = Outputs::of(&reapi, result, Some(Algorithm::Sha256));
        outputs.await.ok()
    })
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn names_that_were_hard_to_read() {
        replay("reapi_names", super::names);
    }

    #[test]
    fn streams_that_were_hard_to_inflate() {
        replay("reapi_inflate", super::inflate);
    }

    #[test]
    fn results_that_were_hard_to_read() {
        replay("reapi_results", super::results);
    }
}
