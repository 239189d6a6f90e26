//! A manifest as it was pushed: what kind it is, and what it names.
//!
//! Read, never re-modelled: the bytes are kept as they came (image-spec,
//! manifest.md and image-index.md; Docker's schema 2 has the same shape).

use cache_core::Digest;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::OciError;

/// The most things that one manifest may name, so that a closure stays bounded.
pub(crate) const MOST_NAMED: usize = 1 << 16;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// The config of a BuildKit cache, whichever form it has (BuildKit,
/// `cache/remotecache/v1/doc.go`).
pub(crate) const CACHE_CONFIG: &str = "application/vnd.buildkit.cacheconfig.v0";

/// A manifest that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// As the client said, without parameters.
    pub(crate) media_type: String,
    /// Whether it is a BuildKit cache: it may be served without some layers, and
    /// BuildKit fails a build when a layer it names is gone.
    pub(crate) cache: bool,
    /// What must be pushed before it.
    pub(crate) needs: Vec<Need>,
    /// What it refers to, which may be absent.
    pub(crate) subject: Option<Digest>,
    /// The manifest's, else that of its config (spec, "Listing Referrers").
    pub(crate) artifact_type: Option<String>,
    pub(crate) annotations: Map<String, Value>,
}

/// Something that a manifest names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) digest: Digest,
    pub(crate) role: Role,
    /// Whether clients can do without our copy: they have it in `data` or fetch it
    /// from one of its `urls`.
    pub(crate) optional: bool,
}

/// What something is to the manifest that names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Config,
    Layer,
    /// An entry of an index: a manifest or, in a cache, a layer.
    Child,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    /// Of the artifact manifest that image-spec 1.1 dropped again.
    blobs: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<Map<String, Value>>,
}

/// image-spec, descriptor.md
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    urls: Option<Vec<String>>,
    data: Option<String>,
}

impl Document {
    /// Understands `bytes` that were sent with `content_type`.
    pub(crate) fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, OciError> {
        let wire: Wire =
            serde_json::from_slice(bytes).map_err(|error| invalid(error.to_string()))?;
        // Schema 1 names its layers elsewhere; nothing has pushed it since 2017.
        if wire.schema_version == Some(1) {
            return Err(invalid("schema version 1 is not supported"));
        }
        let media_type = wire.agreed_media_type(content_type)?;
        wire.check_shape(&media_type)?;
        let needs = wire.needs();
        if needs.len() > MOST_NAMED {
            return Err(invalid(format!("more than {MOST_NAMED} descriptors")));
        }
        let config = wire.config.as_ref().map(|config| &config.media_type);
        let mut children = wire.manifests.iter().flatten();
        let cache = config.is_some_and(|media_type| media_type == CACHE_CONFIG)
            || children.any(|child| child.media_type == CACHE_CONFIG);
        let own_type = wire.artifact_type.filter(|own| !own.is_empty());
        Ok(Self {
            cache,
            needs,
            subject: wire.subject.map(|subject| subject.digest),
            artifact_type: own_type.or_else(|| config.cloned()),
            annotations: wire.annotations.unwrap_or_default(),
            media_type,
        })
    }
}

impl Wire {
    /// Header and body must not contradict each other (image-spec, manifest.md,
    /// "mediaType"); older manifests lack it in the body.
    fn agreed_media_type(&self, content_type: Option<&str>) -> Result<String, OciError> {
        let header = content_type
            .map(|value| value.split(';').next().unwrap_or_default().trim())
            .filter(|value| !value.is_empty());
        let body = self.media_type.as_deref().filter(|value| !value.is_empty());
        match (header, body) {
            (Some(header), Some(body)) if !header.eq_ignore_ascii_case(body) => Err(invalid(
                format!("Content-Type is {header:?}, but mediaType is {body:?}"),
            )),
            (_, Some(agreed)) | (Some(agreed), None) if is_media_type(agreed) => {
                Ok(agreed.to_owned())
            }
            (Some(_), _) | (_, Some(_)) => Err(invalid("mediaType is not a media type")),
            (None, None) if self.manifests.is_some() => Ok(OCI_INDEX.to_owned()),
            (None, None) if self.layers.is_some() => Ok(OCI_MANIFEST.to_owned()),
            (None, None) => Err(invalid("neither Content-Type nor mediaType")),
        }
    }

    /// Refuses what one client would read as an image and another as an index
    /// (CVE-2021-41190), and what lacks the part that makes it one.
    fn check_shape(&self, media_type: &str) -> Result<(), OciError> {
        let image = self.config.is_some() || self.layers.is_some();
        let index = self.manifests.is_some();
        match media_type {
            OCI_MANIFEST | DOCKER_MANIFEST if index => {
                Err(invalid("an image manifest with manifests"))
            }
            OCI_MANIFEST | DOCKER_MANIFEST if self.config.is_none() || self.layers.is_none() => {
                Err(invalid("an image manifest without config or layers"))
            }
            OCI_INDEX | DOCKER_LIST if image => Err(invalid("an index with config or layers")),
            OCI_INDEX | DOCKER_LIST if !index => Err(invalid("an index without manifests")),
            _ => Ok(()),
        }
    }

    fn needs(&self) -> Vec<Need> {
        let config = self.config.iter().map(|it| it.need(Role::Config));
        let layers = self.layers.iter().flatten();
        let layers = layers.chain(self.blobs.iter().flatten());
        let layers = layers.map(|it| it.need(Role::Layer));
        let children = self.manifests.iter().flatten().map(|it| {
            it.need(if it.media_type == CACHE_CONFIG {
                Role::Config
            } else {
                Role::Child
            })
        });
        config.chain(layers).chain(children).collect()
    }
}

impl Descriptor {
    fn need(&self, role: Role) -> Need {
        let elsewhere = self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || self.media_type.contains("nondistributable")
            || self.media_type.contains("rootfs.foreign");
        Need {
            digest: self.digest,
            role,
            optional: elsewhere || self.data.is_some(),
        }
    }
}

/// RFC 6838, 4.2, loosely: what may safely be sent back in a header.
fn is_media_type(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    text.len() <= 255
        && text.split('/').count() == 2
        && text
            .split('/')
            .all(|part| !part.is_empty() && part.bytes().all(inner))
}

fn invalid(reason: impl Into<String>) -> OciError {
    OciError::ManifestInvalid(reason.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn descriptor(content: &[u8]) -> Value {
        json!({"mediaType": "x/y", "digest": Digest::sha256(content), "size": content.len()})
    }

    fn parse(document: &Value, content_type: Option<&str>) -> Result<Document, OciError> {
        Document::parse(document.to_string().as_bytes(), content_type)
    }

    #[test]
    fn an_image_needs_its_config_and_layers() {
        let image = json!({"config": descriptor(b"c"), "layers": [descriptor(b"l")], "new": 1});
        let document = parse(
            &image,
            Some("application/vnd.oci.image.manifest.v1+json; a=b"),
        );
        let document = document.unwrap();
        let roles: Vec<_> = document.needs.iter().map(|need| need.role).collect();
        assert_eq!(roles, [Role::Config, Role::Layer]);
        assert_eq!(document.media_type, OCI_MANIFEST);
        assert_eq!(document.artifact_type.as_deref(), Some("x/y"));
        assert!(!document.cache);
    }

    #[test]
    fn both_forms_of_a_cache_are_known() {
        let mut config = descriptor(b"c");
        config["mediaType"] = CACHE_CONFIG.into();
        let image = json!({"config": config, "layers": []});
        let index = json!({"manifests": [descriptor(b"l"), config]});
        for (document, media_type) in [(image, OCI_MANIFEST), (index, OCI_INDEX)] {
            let document = parse(&document, Some(media_type)).unwrap();
            assert!(document.cache);
            assert!(document.needs.iter().any(|need| need.role == Role::Config));
        }
    }

    #[test]
    fn what_is_embedded_or_elsewhere_is_optional() {
        for (key, value) in [
            ("urls", json!(["https://example.test/l"])),
            ("data", json!("bA==")),
            (
                "mediaType",
                json!("application/vnd.oci.image.layer.nondistributable.v1.tar"),
            ),
        ] {
            let mut layer = descriptor(b"l");
            layer[key] = value;
            let image = json!({"config": descriptor(b"c"), "layers": [layer]});
            let document = parse(&image, Some(OCI_MANIFEST)).unwrap();
            assert!(document.needs[1].optional, "{key}");
            assert!(!document.needs[0].optional, "{key}");
        }
    }

    #[test]
    fn a_manifest_that_can_be_read_in_two_ways_is_refused() {
        let image = json!({"config": descriptor(b"c"), "layers": []});
        let index = json!({"manifests": []});
        let both = json!({"config": descriptor(b"c"), "layers": [], "manifests": []});
        for (document, media_type) in [
            (&both, OCI_MANIFEST),
            (&both, OCI_INDEX),
            (&image, DOCKER_LIST),
            (&index, DOCKER_MANIFEST),
        ] {
            assert!(matches!(
                parse(document, Some(media_type)),
                Err(OciError::ManifestInvalid(_))
            ));
        }
    }

    #[test]
    fn bad_documents_are_refused_with_a_reason() {
        let typed = json!({"mediaType": OCI_INDEX, "manifests": []}).to_string();
        let nested = "[".repeat(100_000);
        let no_digest = json!({"config": {"digest": "md5:00"}, "layers": []}).to_string();
        for (bytes, content_type) in [
            ("", Some(OCI_MANIFEST)),
            ("whale", Some(OCI_MANIFEST)),
            ("[]", Some(OCI_MANIFEST)),
            ("{}", None),
            (&nested, Some(OCI_MANIFEST)),
            (&typed, Some(OCI_MANIFEST)),
            (&no_digest, Some(OCI_MANIFEST)),
            (r#"{"schemaVersion":1}"#, Some("a/b")),
            (r#"{"mediaType":"a/b\r\nx: y"}"#, None),
        ] {
            let result = Document::parse(bytes.as_bytes(), content_type);
            assert!(
                matches!(result, Err(OciError::ManifestInvalid(_))),
                "{result:?}"
            );
        }
    }

    #[test]
    fn any_media_type_is_accepted() {
        let document = parse(&json!({"anything": true}), Some("application/x.y+json")).unwrap();
        assert!(document.needs.is_empty());
    }
}
