//! The smaller documents: one version, dist-tags, keys and attestations.

use cache_core::Blob;
use cache_upstream::{Class, Resource};
use http::request::Parts;
use serde::Deserialize;

use crate::{
    answer::Answer,
    asked::Asked,
    document::Outgoing,
    error::{JSON, NpmError},
    name::PackageName,
    npm::Npm,
    registry::Registry,
    route::Note,
};

/// What must be in the document of a version.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
}

impl Npm {
    pub(crate) async fn note(
        &self,
        registry: &Registry,
        note: &Note,
        asked: Asked,
        parts: &Parts,
    ) -> Result<Answer, NpmError> {
        let resource = self.note_of(registry, note)?;
        let found = self.fetch(&resource, asked.demand).await?;
        let blob = found.blob().await?;
        let mut outgoing = Outgoing::default();
        match note {
            Note::Version(name, _) => {
                if registry.policy.minds_age_of(name.as_str()) {
                    let version = self.version_of(name, &blob).await?;
                    self.admit_version(registry, name, &version).await?;
                }
                let rewrite = registry.rewrite_for(asked.client);
                outgoing.rewrite = rewrite.map(|rewrite| (name.clone(), rewrite));
                outgoing.vary = Some("User-Agent");
            }
            Note::DistTags(name) => {
                let edits = self.edits_of_tags(registry, name, asked.demand, &blob);
                outgoing.edits = edits.await?;
            }
            Note::Attestations(_, _) | Note::Keys => {}
        }
        self.send((&found, &blob), outgoing, parts).await
    }

    /// Which version a document is of that was perhaps asked for by a tag.
    async fn version_of(&self, name: &PackageName, blob: &Blob) -> Result<String, NpmError> {
        let document = blob.read(self.config().max_document.0).await?;
        let manifest: Result<Manifest, _> = serde_json::from_slice(&document);
        let manifest = manifest.map_err(|_| NpmError::Unreadable(name.clone()))?;
        Ok(manifest.version)
    }

    fn note_of(&self, registry: &Registry, note: &Note) -> Result<Resource, NpmError> {
        let (key, path) = match note {
            Note::Version(name, version) => (
                format!("version/{name}/{}", version.as_str()),
                format!("{}/{}", name.segment(), version.segment()),
            ),
            Note::DistTags(name) => (
                format!("dist-tags/{name}"),
                format!("-/package/{}/dist-tags", name.segment()),
            ),
            Note::Attestations(name, version) => (
                format!("attestations/{name}@{}", version.as_str()),
                format!(
                    "-/npm/v1/attestations/{}@{}",
                    name.segment(),
                    version.segment()
                ),
            ),
            Note::Keys => ("keys".to_owned(), "-/npm/v1/keys".to_owned()),
        };
        let class = Class::Index(self.config().freshness.into());
        let resource = registry.resource(&key, &path, JSON, class)?;
        Ok(match note {
            Note::Version(name, _) => {
                let name = name.clone();
                resource.checked(move |_, document| check_version(document, &name))
            }
            _ => resource.checked(|_, document| check_object(document)),
        })
    }
}

fn check_object(document: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Object {}
    let read: Result<Object, _> = serde_json::from_slice(document);
    read.map(|_| ())
        .map_err(|error| format!("that is no JSON object: {error}"))
}

pub(crate) fn check_version(document: &[u8], name: &PackageName) -> Result<(), String> {
    let manifest: Manifest = serde_json::from_slice(document)
        .map_err(|error| format!("that is no version of a package: {error}"))?;
    if manifest.name == name.as_str() {
        Ok(())
    } else {
        Err(format!("that is a version of {:?}", manifest.name))
    }
}
