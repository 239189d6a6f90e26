//! Which mounts there are: in Dockerfiles, and in those that bake and compose files name.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    build::{CommandLine, definition, slug},
    dockerfile::{CacheMount, Dockerfile, Given},
};

/// Where to look, and with which build arguments.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    /// Dockerfiles, and files of bake or compose.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) given: BTreeMap<String, String>,
    /// As `linux/amd64`.
    pub(crate) platform: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) mounts: Vec<CacheMount>,
    /// What may not be as it seems.
    pub(crate) doubts: Vec<String>,
}

/// Reads the files.
pub(crate) async fn search(search: &Search) -> Result<Found> {
    let mut found = Found::default();
    for file in &search.files {
        if is_of_bake(file) {
            found.of_bake(file, search).await?;
        } else {
            let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
            found.of_text(
                &text,
                &file.display().to_string(),
                &search.given(&BTreeMap::new()),
            )?;
        }
    }
    Ok(found)
}

fn is_of_bake(file: &Path) -> bool {
    let extension = file.extension().and_then(|it| it.to_str());
    matches!(extension, Some("hcl" | "json" | "yaml" | "yml"))
}

impl Search {
    fn given(&self, others: &BTreeMap<String, String>) -> Given {
        let mut arguments = others.clone();
        arguments.extend(self.given.clone());
        let given = Given {
            arguments,
            ..Given::default()
        };
        given.for_platform(&self.platform)
    }
}

impl Found {
    /// Bake reads compose files, too.
    async fn of_bake(&mut self, file: &Path, search: &Search) -> Result<()> {
        let at = file.display().to_string();
        let words = ["docker", "buildx", "bake", "--file", &at];
        let line = CommandLine::parse(words.map(str::to_owned).to_vec())?;
        let definition = definition(&line).await;
        let definition =
            definition.with_context(|| format!("{at}: bake does not understand it"))?;
        for (name, target) in definition.target {
            let text = match target.dockerfile_inline {
                Some(text) => text,
                None => {
                    let context = target.context.as_deref().unwrap_or(".");
                    let dockerfile = target.dockerfile.as_deref().unwrap_or("Dockerfile");
                    let path = Path::new(context).join(dockerfile);
                    let read = fs::read_to_string(&path);
                    read.with_context(|| format!("{at}: {name}: {}", path.display()))?
                }
            };
            let arguments = target.args.into_iter();
            let arguments = arguments.filter_map(|(name, value)| Some((name, value?)));
            self.of_text(
                &text,
                &format!("{at}: {name}"),
                &search.given(&arguments.collect()),
            )?;
        }
        Ok(())
    }

    fn of_text(&mut self, text: &str, at: &str, given: &Given) -> Result<()> {
        let mounts = Dockerfile::parse(text).and_then(|file| file.cache_mounts(given));
        let mounts = mounts.with_context(|| at.to_owned())?;
        for mount in mounts.found {
            if !self.mounts.iter().any(|known| known.is_same(&mount)) {
                self.mounts.push(mount);
            }
        }
        let doubt = |doubt: String| format!("{at}: {doubt}");
        self.doubts.extend(mounts.doubts.into_iter().map(doubt));
        Ok(())
    }
}

/// What a mount is called in keys: different mounts have different names.
pub(crate) fn name(mount: &CacheMount) -> String {
    let mut name = mount.id.clone();
    let mut add = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            name.push_str(&format!(",{what}={value}"));
        }
    };
    add("space", mount.space.clone());
    add("from", mount.from.clone());
    add("source", mount.source.clone());
    add("mode", mount.mode.map(|mode| format!("{mode:o}")));
    add("uid", mount.uid.map(|uid| uid.to_string()));
    add("gid", mount.gid.map(|gid| gid.to_string()));
    slug(&name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::dockerfile::SPACE;

    fn search_in(file: &Path) -> Search {
        Search {
            files: vec![file.to_owned()],
            given: BTreeMap::from([("V".to_owned(), "2".to_owned())]),
            platform: "linux/amd64".to_owned(),
        }
    }

    #[tokio::test]
    async fn mounts_are_told_with_the_arguments_of_the_build() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("Dockerfile");
        let text = "FROM a\nARG V TARGETARCH\n\
                    RUN --mount=type=cache,id=x-$V-$TARGETARCH,target=/x y\n";
        fs::write(&file, text)?;
        let found = search(&search_in(&file)).await?;
        let ids: Vec<_> = found.mounts.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(ids, ["x-2-amd64"]);

        fs::write(&file, "FROM a\nRUN --mount=type=cache y\n")?;
        let error = search(&search_in(&file)).await.unwrap_err();
        assert!(
            format!("{error:#}").contains("Dockerfile: line 2"),
            "{error:#}"
        );
        Ok(())
    }

    #[test]
    fn mounts_that_differ_have_names_that_differ() -> Result<()> {
        let text = "FROM a\nRUN --mount=type=cache,target=/x --mount=type=cache,target=/x,uid=1 \
            --mount=type=cache,target=/x,gid=1 --mount=type=cache,target=/x,mode=1 \
            --mount=type=cache,id=x,target=/x --mount=type=cache,id=-x,target=/x y\n";
        let mut found = Found::default();
        found.of_text(text, "Dockerfile", &Given::default())?;
        let arguments = BTreeMap::from([(SPACE.to_owned(), "s".to_owned())]);
        let given = Given {
            arguments,
            ..Given::default()
        };
        found.of_text(text, "Dockerfile", &given)?;
        let names: HashSet<String> = found.mounts.iter().map(name).collect();
        assert_eq!(names.len(), 12, "{names:?}");
        Ok(())
    }
}
