//! A small registry client for load and faults: it speaks as BuildKit does, and
//! tells apart what was acknowledged, refused and left open.

use std::{io, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use cache_core::Digest;
use futures::stream;
use reqwest::{Body, Client, StatusCode};
use serde_json::json;

/// A repository on a server.
#[derive(Clone, Debug)]
pub struct Registry {
    client: Client,
    address: String,
    base: String,
}

/// No request here takes this long, unless the server hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer with another status than expected. An error that is not this one, nor
/// about wrong bytes, is the connection's.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {status}: {body}")]
pub struct Refused {
    /// What was asked.
    pub url: String,
    /// The status.
    pub status: StatusCode,
    /// The body, as text.
    pub body: String,
}

impl Refused {
    /// The message in the registry's own form of errors; `None` if it has none.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        let error = body["errors"].as_array()?.first()?;
        error["code"].as_str().filter(|code| !code.is_empty())?;
        let message = error["message"].as_str()?;
        (!message.is_empty()).then(|| message.to_owned())
    }
}

/// An image that was made up: its manifest and the blobs it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Bytes,
    /// Config and layers.
    pub blobs: Vec<Bytes>,
}

/// The media type of [`Image::manifest`].
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    /// An image with the given layers.
    #[must_use]
    pub fn of(layers: &[Bytes]) -> Self {
        let config = Bytes::from_static(b"{\"architecture\":\"amd64\",\"os\":\"linux\"}");
        let describe = |media_type: &str, bytes: &Bytes| {
            json!({
                "mediaType": media_type,
                "digest": Digest::sha256(bytes).to_string(),
                "size": bytes.len(),
            })
        };
        let layer = "application/vnd.oci.image.layer.v1.tar";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": describe("application/vnd.oci.image.config.v1+json", &config),
            "layers": layers.iter().map(|bytes| describe(layer, bytes)).collect::<Vec<_>>(),
        });
        let blobs = std::iter::once(&config).chain(layers).cloned().collect();
        Self {
            manifest: manifest.to_string().into(),
            blobs,
        }
    }

    /// The config and the layers that a manifest names.
    ///
    /// # Errors
    /// If it is none.
    pub fn named(manifest: &[u8]) -> Result<Vec<Digest>> {
        let document: serde_json::Value = serde_json::from_slice(manifest)?;
        let layers = document["layers"].as_array().context("layers")?;
        let digest = |descriptor: &serde_json::Value| {
            let digest = descriptor["digest"].as_str().context("digest")?;
            Ok(digest.parse()?)
        };
        std::iter::once(&document["config"])
            .chain(layers)
            .map(digest)
            .collect()
    }
}

impl Registry {
    /// A repository at `address`, as `127.0.0.1:3142`.
    #[must_use]
    pub fn new(address: &str, repository: &str) -> Self {
        let client = crate::http::builder().timeout(PATIENCE).build();
        Self {
            client: client.expect("a client"),
            address: address.to_owned(),
            base: format!("http://{address}/v2/{repository}"),
        }
    }

    /// Another repository of the same server, over the same connections.
    #[must_use]
    pub fn beside(&self, repository: &str) -> Self {
        Self {
            base: format!("http://{}/v2/{repository}", self.address),
            ..self.clone()
        }
    }

    /// The length of a blob, as a HEAD says; `None` for 404.
    ///
    /// # Errors
    /// If the answer is neither 200 nor 404.
    pub async fn has_blob(&self, digest: &Digest) -> Result<Option<u64>> {
        let url = format!("{}/blobs/{digest}", self.base);
        let head = self.client.head(url).send().await?;
        if head.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let head = expect(head, StatusCode::OK).await?;
        let length = head
            .headers()
            .get("Content-Length")
            .context("Content-Length")?;
        Ok(Some(length.to_str()?.parse()?))
    }

    /// Pushes a blob as BuildKit does: HEAD, POST, one PUT.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn push_blob(&self, bytes: &Bytes) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        if self.has_blob(&digest).await?.is_none() {
            self.upload_blob(bytes).await?;
        }
        Ok(digest)
    }

    /// Uploads a blob whether it is there or not: POST, one PUT.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn upload_blob(&self, bytes: &Bytes) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        self.upload_as(&digest, bytes.clone().into()).await?;
        Ok(digest)
    }

    /// Uploads a body under a digest, which need not be the body's.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn upload_as(&self, digest: &Digest, body: Body) -> Result<()> {
        let location = self.begin().await?;
        let put = self.client.put(with_digest(&location, digest)).body(body);
        expect(put.send().await?, StatusCode::CREATED).await?;
        Ok(())
    }

    /// Uploads a blob in one request: POST with its digest.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn upload_blob_at_once(&self, bytes: &Bytes) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        let url = format!("{}/blobs/uploads/?digest={digest}", self.base);
        let post = self.client.post(url).body(bytes.clone()).send().await?;
        expect(post, StatusCode::CREATED).await?;
        Ok(digest)
    }

    /// Begins to upload a blob and leaves after half of its bytes.
    pub async fn abandon_blob(&self, bytes: &Bytes) {
        let half = bytes.slice(..bytes.len() / 2);
        let gone = Err(io::Error::other("the client leaves"));
        let body = Body::wrap_stream(stream::iter([Ok(half), gone]));
        let left = self.upload_as(&Digest::sha256(bytes), body).await;
        assert!(left.is_err(), "half an upload was acknowledged");
    }

    /// Pushes a blob as skopeo and Docker's classic store do: POST, PATCHes, PUT.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn push_blob_in_chunks(&self, bytes: &Bytes, chunk: usize) -> Result<Digest> {
        let digest = Digest::sha256(bytes);
        let mut location = self.begin().await?;
        for part in bytes.chunks(chunk) {
            location = self.append(&location, bytes.slice_ref(part)).await?;
        }
        let put = self
            .client
            .put(with_digest(&location, &digest))
            .send()
            .await?;
        expect(put, StatusCode::CREATED).await?;
        Ok(digest)
    }

    /// Begins an upload and gives its address.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn begin(&self) -> Result<String> {
        let post = self
            .client
            .post(format!("{}/blobs/uploads/", self.base))
            .send()
            .await?;
        let post = expect(post, StatusCode::ACCEPTED).await?;
        self.location(&post)
    }

    /// Adds a chunk to an upload and gives its new address.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn append(&self, location: &str, chunk: Bytes) -> Result<String> {
        let patch = self.client.patch(location).body(chunk).send().await?;
        let patch = expect(patch, StatusCode::ACCEPTED).await?;
        self.location(&patch)
    }

    /// Puts a manifest under a tag or digest.
    ///
    /// # Errors
    /// If it was not acknowledged.
    pub async fn push_manifest(&self, reference: &str, manifest: &Bytes) -> Result<()> {
        let put = self
            .client
            .put(format!("{}/manifests/{reference}", self.base))
            .header("Content-Type", MANIFEST)
            .body(manifest.clone())
            .send()
            .await?;
        expect(put, StatusCode::CREATED).await?;
        Ok(())
    }

    /// Pushes an image whole.
    ///
    /// # Errors
    /// If any part was not acknowledged.
    pub async fn push(&self, tag: &str, image: &Image) -> Result<()> {
        for blob in &image.blobs {
            self.push_blob(blob).await?;
        }
        self.push_manifest(tag, &image.manifest).await
    }

    /// The bytes of a blob; `None` for 404.
    ///
    /// # Errors
    /// If the answer breaks off, is neither 200 nor 404, or is not what the name says.
    pub async fn pull_blob(&self, digest: &Digest) -> Result<Option<Bytes>> {
        let got = self
            .client
            .get(format!("{}/blobs/{digest}", self.base))
            .send()
            .await?;
        if got.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let bytes = expect(got, StatusCode::OK).await?.bytes().await?;
        anyhow::ensure!(
            Digest::sha256(&bytes) == *digest,
            "WRONG BYTES for {digest}"
        );
        Ok(Some(bytes))
    }

    /// The bytes of a manifest; `None` for 404.
    ///
    /// # Errors
    /// If the answer breaks off or is neither 200 nor 404.
    pub async fn pull_manifest(&self, reference: &str) -> Result<Option<Bytes>> {
        let got = self
            .client
            .get(format!("{}/manifests/{reference}", self.base))
            .send()
            .await?;
        if got.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(expect(got, StatusCode::OK).await?.bytes().await?))
    }

    /// Pulls a tag and everything it names; `None` if the tag is a miss.
    ///
    /// # Errors
    /// If the tag is served but any blob of it is not: a dangling ref.
    pub async fn pull(&self, tag: &str) -> Result<Option<Image>> {
        let Some(manifest) = self.pull_manifest(tag).await? else {
            return Ok(None);
        };
        let mut blobs = Vec::new();
        for digest in Image::named(&manifest)? {
            let blob = self.pull_blob(&digest).await?;
            blobs.push(blob.with_context(|| format!("DANGLING: {tag} names {digest}"))?);
        }
        Ok(Some(Image { manifest, blobs }))
    }

    fn location(&self, answer: &reqwest::Response) -> Result<String> {
        let location = answer
            .headers()
            .get("Location")
            .context("a Location")?
            .to_str()?;
        Ok(answer.url().join(location)?.to_string())
    }
}

fn with_digest(location: &str, digest: &Digest) -> String {
    let separator = if location.contains('?') { '&' } else { '?' };
    format!("{location}{separator}digest={digest}")
}

/// The answer if it has the status.
///
/// # Errors
/// [`Refused`] if it has another.
pub async fn expect(answer: reqwest::Response, status: StatusCode) -> Result<reqwest::Response> {
    if answer.status() == status {
        return Ok(answer);
    }
    let (url, status) = (answer.url().to_string(), answer.status());
    let body = answer.text().await.unwrap_or_default();
    Err(Refused { url, status, body }.into())
}
