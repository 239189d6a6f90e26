//! A BuildKit cache manifest without the layers that are gone.
//!
//! BuildKit fails a build when a cache manifest names a layer that it cannot
//! fetch, and silently rebuilds the steps whose layers a manifest does not name
//! (`cache/remotecache/v1/parse.go`). So what is left is served as a manifest of
//! its own: the same document without some entries, hence with a digest that can
//! be asked for. The same layers gone give the same bytes.

use std::collections::HashSet;

use bytes::Bytes;
use cache_core::{Binding, BlobStoreExt, Change, Digest, Durability, Error, Ref, Result, Upload};
use serde_json::Value;

use crate::{meta::Meta, name::Repository, oci::Oci};

impl Oci {
    /// The ref of what is left of `original` without `missing`, stored and leased;
    /// `None` if that is of no use, or if there is no room for it.
    pub(crate) async fn pruned(
        &self,
        repository: &Repository,
        original: &Ref,
        missing: &HashSet<Digest>,
    ) -> Result<Option<Ref>> {
        if missing.contains(&original.target) {
            return Ok(None);
        }
        let Some(blob) = self.blobs().open(&original.target).await? else {
            return Ok(None);
        };
        let whole = blob.read(blob.size()).await?;
        let Some(left) = without(&whole, missing) else {
            return Ok(None);
        };
        match self.keep(repository, original, missing, left).await {
            Ok(kept) => Ok(Some(kept)),
            // A read goes on without a cache rather than fail with a full disk, or
            // with a layer that went since it was looked for.
            Err(Error::Full { .. } | Error::ReadOnly { .. } | Error::Incomplete { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Stores what is left, unless an earlier request did.
    async fn keep(
        &self,
        repository: &Repository,
        original: &Ref,
        missing: &HashSet<Digest>,
        left: Bytes,
    ) -> Result<Ref> {
        let digest = Digest::sha256(&left);
        let key = repository.manifest(&digest);
        let known = self.refs().resolve(&key).await?;
        if let Some(known) = known.filter(|known| known.target == digest)
            && self.absent(repository, &digest, &known).await?.is_empty()
        {
            return Ok(known);
        }
        let meta = Meta {
            digest,
            pruned: true,
            subject: None,
            absent: Vec::new(),
            ..Meta::of(original)?
        };
        let present = |it: &&Digest| !missing.contains(it);
        let closure = original.closure.iter().filter(present).copied().collect();
        let kept = self.written(&original.writer, digest, closure, meta.bytes()?);
        self.blobs()
            .put(Upload::default(), left, Some(&digest))
            .await?;
        let change = Change {
            bindings: vec![
                Binding::set(key, kept.clone()),
                Binding::unset(repository.deleted(&digest)),
            ],
            durability: Durability::Grouped,
        };
        self.cache().bind(change).await?;
        Ok(kept)
    }
}

/// The document without the entries that name something missing; `None` if no
/// layer is left or the config is gone. Everything else stays, in its order.
fn without(whole: &[u8], missing: &HashSet<Digest>) -> Option<Bytes> {
    let mut document: Value = serde_json::from_slice(whole).ok()?;
    let is_missing = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str();
        digest
            .and_then(|digest| digest.parse().ok())
            .is_some_and(|digest| missing.contains(&digest))
    };
    let is_config = |child: &Value| child["mediaType"] == crate::document::CACHE_CONFIG;
    // An image has its config apart; an index has it among its children.
    let (list, config) = match document.get("layers") {
        Some(_) => ("layers", document.get("config").cloned()),
        None => {
            let children = document.get("manifests")?.as_array()?;
            let config = children.iter().find(|child| is_config(child)).cloned();
            ("manifests", config)
        }
    };
    if is_missing(&config?) {
        return None;
    }
    let entries = document.get_mut(list)?.as_array_mut()?;
    entries.retain(|entry| !is_missing(entry));
    if !entries.iter().any(|entry| !is_config(entry)) {
        return None;
    }
    serde_json::to_vec(&document).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(media_type: &str, content: &[u8]) -> Value {
        json!({"mediaType": media_type, "digest": Digest::sha256(content), "size": 1})
    }

    fn config() -> Value {
        entry(crate::document::CACHE_CONFIG, b"config")
    }

    fn left(document: &Value, missing: &[&[u8]]) -> Option<Value> {
        let missing = missing.iter().map(|content| Digest::sha256(content));
        let left = without(document.to_string().as_bytes(), &missing.collect())?;
        Some(serde_json::from_slice(&left).unwrap())
    }

    #[test]
    fn both_forms_lose_their_missing_layers_and_nothing_else() {
        let (a, b) = (entry("l/l", b"a"), entry("l/l", b"b"));
        let image = json!({"z": 1, "layers": [a, b], "config": config(), "a": {"y": 1, "b": 2}});
        let expected = json!({"z": 1, "layers": [b], "config": config(), "a": {"y": 1, "b": 2}});
        let pruned = left(&image, &[b"a"]).unwrap();
        assert_eq!(pruned.to_string(), expected.to_string(), "order is kept");

        let index = json!({"manifests": [a, b, config()]});
        let expected = json!({"manifests": [a, config()]});
        assert_eq!(left(&index, &[b"b"]), Some(expected));
    }

    #[test]
    fn without_config_or_any_layer_nothing_is_left() {
        let a = entry("l/l", b"a");
        let image = json!({"layers": [a], "config": config()});
        let index = json!({"manifests": [a, config()]});
        for document in [image, index] {
            assert_eq!(left(&document, &[b"a"]), None);
            assert_eq!(left(&document, &[b"config"]), None);
        }
    }
}
