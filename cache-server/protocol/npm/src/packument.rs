//! Packuments: all that a registry says of a package, full or abbreviated, and kept as two.

use std::fmt;

use cache_upstream::{Class, Resource};
use http::request::Parts;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    answer::Answer,
    asked::{Asked, Form},
    document::Outgoing,
    error::NpmError,
    name::PackageName,
    npm::Npm,
    registry::Registry,
};

/// What must be in a packument for it to be one.
#[derive(Deserialize)]
struct Outline {
    name: String,
    versions: Option<Object>,
    time: Option<Times>,
}

/// An object, whatever is in it.
struct Object;

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Object {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(self)
    }
}

/// Of a package that was withdrawn, this is all that is left.
#[derive(Deserialize)]
struct Times {
    unpublished: Option<IgnoredAny>,
}

impl Npm {
    pub(crate) async fn packument(
        &self,
        registry: &Registry,
        name: &PackageName,
        asked: Asked,
        parts: &Parts,
    ) -> Result<Answer, NpmError> {
        let resource = self.packument_of(registry, name, asked.form)?;
        let found = self.fetch(&resource, asked.demand).await?;
        let blob = found.blob().await?;
        let edits = self.edits_of_packument(registry, name, asked, &blob);
        let rewrite = registry.rewrite_for(asked.client);
        let outgoing = Outgoing {
            edits: edits.await?,
            rewrite: rewrite.map(|rewrite| (name.clone(), rewrite)),
            vary: Some("Accept, User-Agent"),
        };
        self.send((&found, &blob), outgoing, parts).await
    }

    /// A packument as its registry has it.
    pub(crate) fn packument_of(
        &self,
        registry: &Registry,
        name: &PackageName,
        form: Form,
    ) -> Result<Resource, NpmError> {
        let key = format!("{}/{name}", form.label());
        let class = Class::Index(self.config().freshness.into());
        let resource = registry.resource(&key, &name.segment(), form.accept(), class)?;
        let name = name.clone();
        Ok(resource.checked(move |_, document| check(document, &name)))
    }
}

/// A login page is no packument, and another package's is not this one's.
pub(crate) fn check(document: &[u8], name: &PackageName) -> Result<(), String> {
    let outline: Outline = serde_json::from_slice(document)
        .map_err(|error| format!("that is no packument: {error}"))?;
    if outline.name != name.as_str() {
        return Err(format!("that is the packument of {:?}", outline.name));
    }
    let withdrawn = outline.time.and_then(|time| time.unpublished);
    if outline.versions.is_none() && withdrawn.is_none() {
        return Err("that is no packument: it has no versions".to_owned());
    }
    Ok(())
}
