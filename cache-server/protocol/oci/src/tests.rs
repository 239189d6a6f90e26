//! The registry as its clients see it, in process and over a store in memory.

use std::sync::Arc;

use axum::{Router, body::Body, http::Request};
use bytes::Bytes;
use cache_core::{
    Action, BlobStore, Cache, Digest, Grant, ManualClock, Memory, Outcome, Principal,
};
use cache_http::{Class, Identity, Op, Served};
use http::{HeaderMap, StatusCode, request::Builder};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{Oci, OciConfig, document, router};

mod access;
mod bad_input;
mod blobs;
mod completeness;
mod lists;
mod manifests;
mod mirrors;
mod uploads;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry, and what is behind it.
struct Registry {
    memory: Memory,
    clock: Arc<ManualClock>,
    app: Router,
    /// Sent with every request, if any.
    who: Option<Identity>,
}

/// A response, read to its end.
#[derive(Debug)]
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    served: Served,
}

impl Registry {
    fn open() -> Self {
        Self::with(OciConfig::default())
    }

    fn with(mut config: OciConfig) -> Self {
        config.open = true;
        let (memory, clock) = (Memory::default(), Arc::new(ManualClock::default()));
        let cache = Cache::new(Arc::new(memory.clone()), Arc::new(memory.clone()));
        let oci = Oci::with_clock(cache, config, Arc::<ManualClock>::clone(&clock));
        Self {
            memory,
            clock,
            app: router(oci),
            who: None,
        }
    }

    /// The same registry, asked by someone with these rights.
    fn asked_by(&self, authenticated: bool, rights: &[(&str, Action)]) -> Self {
        let grants = rights.iter().map(|(prefix, action)| Grant {
            prefix: (*prefix).to_owned(),
            action: *action,
        });
        let principal = Principal {
            authenticated,
            ..Principal::anonymous(grants.collect())
        };
        self.asked_as(Identity::Known(Arc::new(principal)))
    }

    fn asked_as(&self, who: Identity) -> Self {
        Self {
            memory: self.memory.clone(),
            clock: Arc::clone(&self.clock),
            app: self.app.clone(),
            who: Some(who),
        }
    }

    async fn send(&self, request: Builder, body: impl Into<Body>) -> Reply {
        let mut request = request.body(body.into()).expect("a request");
        if let Some(who) = &self.who {
            request.extensions_mut().insert(who.clone());
        }
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let served = *parts.extensions.get().expect("every response is marked");
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.expect("a whole body").to_bytes(),
            served,
        }
    }

    async fn get(&self, uri: impl AsRef<str>) -> Reply {
        self.send(Request::get(uri.as_ref()), Body::empty()).await
    }

    async fn head(&self, uri: impl AsRef<str>) -> Reply {
        let reply = self.send(Request::head(uri.as_ref()), Body::empty()).await;
        assert!(reply.body.is_empty(), "HEAD has no body");
        reply
    }

    async fn delete(&self, uri: impl AsRef<str>) -> Reply {
        self.send(Request::delete(uri.as_ref()), Body::empty())
            .await
    }

    async fn post(&self, uri: impl AsRef<str>) -> Reply {
        self.send(Request::post(uri.as_ref()), Body::empty()).await
    }

    /// Pushes a blob in one request.
    async fn push(&self, repository: &str, content: &[u8]) -> Digest {
        let digest = Digest::sha256(content);
        self.push_as(repository, content, &digest).await;
        digest
    }

    async fn push_as(&self, repository: &str, content: &[u8], digest: &Digest) {
        let uri = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let pushed = self.send(Request::post(uri), content.to_vec()).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
    }

    /// Opens a session and gives its location.
    async fn session(&self, repository: &str) -> String {
        let opened = self.post(format!("/v2/{repository}/blobs/uploads/")).await;
        assert_eq!(opened.status, StatusCode::ACCEPTED, "{opened:?}");
        opened.header("location").to_owned()
    }

    async fn patch(&self, session: &str, range: Option<&str>, body: impl Into<Body>) -> Reply {
        let mut request = Request::patch(session);
        if let Some(range) = range {
            request = request.header("content-range", range);
        }
        self.send(request, body).await
    }

    async fn commit(&self, session: &str, digest: &Digest, body: impl Into<Body>) -> Reply {
        let request = Request::put(format!("{session}?digest={digest}"));
        self.send(request, body).await
    }

    async fn put_manifest(&self, path: &str, media_type: &str, body: impl Into<Body>) -> Reply {
        let request = Request::put(format!("/v2/{path}")).header("content-type", media_type);
        self.send(request, body).await
    }

    /// Pushes a config, layers, and the image manifest that names them.
    async fn push_image(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> Image {
        self.push_config(
            repository,
            tag,
            "application/vnd.oci.image.config.v1+json",
            layers,
        )
        .await
    }

    /// The same as BuildKit's `image-manifest=true` writes.
    async fn push_cache(&self, repository: &str, tag: &str, layers: &[&[u8]]) -> Image {
        self.push_config(repository, tag, document::CACHE_CONFIG, layers)
            .await
    }

    async fn push_config(
        &self,
        repository: &str,
        tag: &str,
        config_type: &str,
        layers: &[&[u8]],
    ) -> Image {
        let config = format!("config of {repository}:{tag}");
        self.push(repository, config.as_bytes()).await;
        for layer in layers {
            self.push(repository, layer).await;
        }
        let manifest = image(config_type, config.as_bytes(), layers).to_string();
        let path = format!("{repository}/manifests/{tag}");
        let pushed = self.put_manifest(&path, MANIFEST, manifest.clone()).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{pushed:?}");
        Image {
            digest: Digest::sha256(manifest.as_bytes()),
            config: Digest::sha256(config.as_bytes()),
            bytes: manifest.into(),
        }
    }

    /// Takes a blob from the store as eviction does.
    async fn evict(&self, digest: &Digest) {
        assert!(self.memory.remove(digest).await.expect("in memory"));
    }
}

/// A pushed manifest.
struct Image {
    digest: Digest,
    config: Digest,
    bytes: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        let value = value.unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.to_str().expect("ASCII")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Asserts an error in the protocol's form.
    fn refused(&self, status: StatusCode, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.json()["errors"][0]["code"], code, "{self:?}");
    }

    fn counted(&self, class: Class, op: Op, outcome: Outcome) {
        let served = (self.served.class, self.served.op, self.served.outcome);
        assert_eq!(served, (class, op, outcome));
    }
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256(content), "size": content.len()})
}

fn image(config_type: &str, config: &[u8], layers: &[&[u8]]) -> Value {
    let layer = |content: &&[u8]| descriptor("application/vnd.oci.image.layer.v1.tar", content);
    json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config_type, config),
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    })
}

/// A body that breaks off.
fn cut_off(content: &'static [u8]) -> Body {
    let parts = [
        Ok(Bytes::from_static(content)),
        Err(std::io::Error::other("connection reset")),
    ];
    Body::from_stream(futures::stream::iter(parts))
}

/// A body of unannounced length.
fn streamed(content: &'static [u8]) -> Body {
    let parts = content
        .chunks(7)
        .map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part)));
    Body::from_stream(futures::stream::iter(parts))
}
