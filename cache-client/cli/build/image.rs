//! What was made: the size of an image, and which of its layers each step made.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    builder::said,
    command_line::CommandLine,
    steps::{Step, instruction},
};

/// An image, as it is in its registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    /// As it is called there.
    pub(crate) name: String,
    pub(crate) digest: String,
    /// The sum of its layers as they are stored, of every platform.
    pub(crate) size: u64,
    /// The same one by one, and what made each; of images for one platform.
    layers: Vec<(String, u64)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Manifest {
    manifests: Vec<Descriptor>,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Descriptor {
    digest: String,
    size: u64,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    history: Vec<History>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct History {
    created_by: String,
    empty_layer: bool,
}

/// What buildx says that it made, by `--metadata-file`: name and digest.
pub(crate) fn made(metadata: &Path) -> Vec<(String, String)> {
    made_of(&std::fs::read_to_string(metadata).unwrap_or_default())
}

pub(super) fn made_of(metadata: &str) -> Vec<(String, String)> {
    let value: Value = serde_json::from_str(metadata).unwrap_or_default();
    // Of bake there is one such object for each target.
    let targets = value.as_object().into_iter().flatten().map(|(_, it)| it);
    let all = [&value].into_iter().chain(targets);
    let of = |it: &Value| {
        let names = it["image.name"].as_str()?;
        let name = names.split(',').next()?.trim();
        let digest = it["containerimage.digest"].as_str()?;
        Some((name.to_owned(), digest.to_owned()))
    };
    all.filter_map(of).collect()
}

/// Asks the registry of an image; `None` if it is not there.
pub(crate) async fn ask(line: &CommandLine, name: &str, digest: &str) -> Option<Image> {
    let repository = match name.rsplit_once('/') {
        Some((path, last)) => format!("{path}/{}", last.split(':').next()?),
        None => name.split(':').next()?.to_owned(),
    };
    let of = |digest: &str| match digest {
        "" => name.to_owned(),
        digest => format!("{repository}@{digest}"),
    };
    let raw = async |reference: String| {
        let words = ["buildx", "imagetools", "inspect", "--raw", &reference];
        let text = said(line, &words).await?;
        serde_json::from_str::<Manifest>(&text).ok()
    };
    let top = raw(of(digest)).await?;
    let mut parts = Vec::new();
    if top.manifests.is_empty() {
        parts.push((of(digest), top));
    } else {
        for child in top.manifests.iter().filter(|child| child.is_image()) {
            parts.push((of(&child.digest), raw(of(&child.digest)).await?));
        }
    }
    let mut image = Image {
        name: name.to_owned(),
        digest: digest.to_owned(),
        size: size(parts.iter().map(|(_, manifest)| manifest)),
        layers: Vec::new(),
    };
    if let [(reference, manifest)] = &parts[..] {
        image.layers = layers(line, reference, manifest).await.unwrap_or_default();
    }
    Some(image)
}

async fn layers(
    line: &CommandLine,
    reference: &str,
    manifest: &Manifest,
) -> Option<Vec<(String, u64)>> {
    let words = [
        "buildx",
        "imagetools",
        "inspect",
        "--format",
        "{{json .Image}}",
    ];
    let text = said(line, &[&words[..], &[reference]].concat()).await?;
    made_by(serde_json::from_str(&text).ok()?, manifest)
}

/// The sum of the layers. What a registry says of them need not be true.
fn size<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> u64 {
    let layers = manifests.flat_map(|manifest| &manifest.layers);
    layers.fold(0, |sum, layer| sum.saturating_add(layer.size))
}

/// What made each layer, and its size.
fn made_by(config: Config, manifest: &Manifest) -> Option<Vec<(String, u64)>> {
    let made = config.history.into_iter().filter(|it| !it.empty_layer);
    let made: Vec<String> = made.map(|it| it.created_by).collect();
    let sizes = manifest.layers.iter().map(|layer| layer.size);
    (made.len() == manifest.layers.len()).then(|| made.into_iter().zip(sizes).collect())
}

impl Descriptor {
    /// Attestations are stored as if they were another platform's image.
    fn is_image(&self) -> bool {
        !self.annotations.contains_key("vnd.docker.reference.type")
    }
}

impl Image {
    /// Tells each step how large the layer is that it made. They are found by their text:
    /// an image does not know the steps by their digest.
    pub(crate) fn attribute(&self, steps: &mut [Step]) {
        let mut from = 0;
        for (made_by, size) in &self.layers {
            let made_by = squeezed(made_by);
            let is = |step: &Step| {
                let text = squeezed(&bare(instruction(&step.name)));
                !text.is_empty() && step.bytes == 0 && matches(&made_by, &text)
            };
            // The order of steps is that in which they were told of, mostly the layers'.
            let later = steps.iter().skip(from).position(is).map(|at| at + from);
            if let Some(at) = later.or_else(|| steps.iter().position(is)) {
                steps[at].bytes = *size;
                from = at;
            }
        }
    }
}

/// History tells `RUN |1 A=b /bin/sh -c make # buildkit` of `RUN make`.
fn matches(made_by: &str, text: &str) -> bool {
    let made_by = made_by.trim_end_matches("#buildkit");
    match (made_by.strip_prefix("RUN"), text.strip_prefix("RUN")) {
        (Some(made_by), Some(text)) => made_by.ends_with(text),
        _ => made_by == text,
    }
}

/// An instruction without its flags, which history leaves out.
fn bare(text: &str) -> String {
    let mut words = text.split_whitespace();
    let first = words.next().unwrap_or_default();
    let rest = words.skip_while(|word| word.starts_with("--"));
    [first]
        .into_iter()
        .chain(rest)
        .collect::<Vec<_>>()
        .join(" ")
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// An image by its manifest and its configuration, without asking anyone.
#[cfg(any(test, feature = "fuzzing-cli"))]
pub(super) fn read(manifest: &str, config: &str) -> Option<Image> {
    let manifest: Manifest = serde_json::from_str(manifest).ok()?;
    let config = serde_json::from_str(config).ok()?;
    Some(Image {
        size: size([&manifest].into_iter()),
        layers: made_by(config, &manifest)?,
        ..Image::default()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use anyhow::Result;

    use super::*;
    use crate::build::steps::Verdict;

    #[test]
    fn layers_are_told_to_the_steps_that_made_them() {
        let step = |name: &str| Step {
            name: name.to_owned(),
            digest: String::new(),
            verdict: Verdict::Cached,
            duration: Duration::ZERO,
            saved: None,
            bytes: 0,
        };
        let mut steps = [
            step("[builder 2/2] RUN make"),
            step("[app 2/4] RUN --mount=type=cache,target=/x   apt-get install a && true"),
            step("[app 3/4] COPY --chown=1 a b"),
            step("[app 4/4] RUN python -m compileall -q web"),
        ];
        let image = Image {
            layers: vec![
                ("debuerreotype".to_owned(), 7),
                (
                    "RUN |1 A=b /bin/sh -c apt-get install a \t&& true # buildkit".to_owned(),
                    10,
                ),
                ("COPY a b # buildkit".to_owned(), 20),
                (
                    "RUN /bin/sh -c python -m compileall -q web # buildkit".to_owned(),
                    30,
                ),
            ],
            ..Image::default()
        };
        image.attribute(&mut steps);
        assert_eq!(steps.map(|step| step.bytes), [0, 10, 20, 30]);
    }

    #[test]
    fn metadata_is_of_one_image_or_of_several() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let one = r#"{"containerimage.digest": "sha256:1", "image.name": "r/a:1,r/a:2"}"#;
        std::fs::write(file.path(), one)?;
        let of = |name: &str, digest: &str| (name.to_owned(), digest.to_owned());
        assert_eq!(made(file.path()), [of("r/a:1", "sha256:1")]);
        std::fs::write(
            file.path(),
            format!(r#"{{"a": {one}, "b": {{}}, "c": "d"}}"#),
        )?;
        assert_eq!(made(file.path()), [of("r/a:1", "sha256:1")]);
        std::fs::write(file.path(), "not json")?;
        assert_eq!(made(file.path()), []);
        Ok(())
    }
}
