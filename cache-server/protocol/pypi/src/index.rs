//! One index: where its pages are, and where its files may be.

use std::sync::Arc;

use cache_core::{Namespace, RefKey};
use cache_upstream::{Origin, OriginConfig, OriginError, Source, key};
use url::Url;

use crate::{config::IndexConfig, listing::site, name::Project};

/// An index as configured.
#[derive(Debug)]
pub(crate) struct Index {
    pub(crate) name: String,
    /// `pypi/<name>`: whose rights are asked for, and under which refs are kept.
    pub(crate) namespace: Namespace,
    simple: Arc<Origin>,
    /// The folder that it is in.
    folder: Arc<Origin>,
    /// Below these files may lie.
    files: Vec<Arc<Origin>>,
}

impl Index {
    /// `None` for a name that cannot be one.
    pub(crate) fn new(config: IndexConfig) -> Result<Option<Self>, OriginError> {
        let IndexConfig {
            name,
            simple,
            files,
        } = config;
        let is_name = !name.starts_with('-')
            // These stand in the same place of a path.
            && !matches!(&*name, "" | "simple" | "packages")
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        let (true, Ok(namespace)) = (is_name, format!("pypi/{name}").parse()) else {
            return Ok(None);
        };
        let folder = Arc::new(Origin::new(folder(&simple))?);
        let files = files
            .into_iter()
            .map(|file| Origin::new(file).map(Arc::new));
        let files = std::iter::once(Ok(Arc::clone(&folder))).chain(files);
        Ok(Some(Self {
            name,
            namespace,
            simple: Arc::new(Origin::new(simple)?),
            files: files.collect::<Result<_, _>>()?,
            folder,
        }))
    }

    /// The page of a project.
    pub(crate) fn page(&self, project: &Project) -> Option<Source> {
        self.simple.at(&format!("{project}/"))
    }

    /// The list of all projects.
    pub(crate) fn root(&self) -> Option<Source> {
        self.simple.at("")
    }

    /// A file, if it lies where files may.
    pub(crate) fn file(&self, url: &Url) -> Option<Source> {
        self.files.iter().find_map(|origin| origin.source(url))
    }

    /// Where a file of a project is found here, below `/pypi/`, if it lies where files
    /// may.
    ///
    /// The query is left out: who asks for the file finds it in its project's page.
    pub(crate) fn path(&self, project: &Project, url: &Url) -> Option<String> {
        self.file(url)?;
        let (site, path) = (site(url), url.path());
        Some(format!("packages/{}/{project}/{site}{path}", self.name))
    }

    /// What the JSON API says of a project, or of one version of it.
    pub(crate) fn description(&self, project: &Project, version: Option<&str>) -> Option<Source> {
        let version = version.map_or_else(String::new, |version| format!("{version}/"));
        self.folder.at(&format!("pypi/{project}/{version}json"))
    }

    /// The name of something of this index; `None` if it cannot be one.
    pub(crate) fn key(&self, name: &str) -> Option<RefKey> {
        key(&self.namespace, name).ok()
    }
}

/// The folder that `simple/` is in: private servers have their files beside it.
fn folder(simple: &OriginConfig) -> OriginConfig {
    let mut url = simple.url.clone();
    let path = url.path().trim_end_matches('/');
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let parent = format!("{parent}/");
    url.set_path(&parent);
    OriginConfig {
        url,
        ..simple.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lie_beside_the_pages_or_below_what_was_named() {
        let origin = |url: &str| OriginConfig::from(Url::parse(url).unwrap());
        let index = Index::new(IndexConfig {
            name: "main".to_owned(),
            simple: origin("https://packages.example/repo/simple/"),
            files: vec![origin("https://files.example/packages/")],
        });
        let index = index.unwrap().unwrap();
        let allowed = |url: &str| index.file(&url.parse().unwrap()).is_some();
        assert!(allowed("https://packages.example/repo/simple/six/six.whl"));
        assert!(allowed("https://packages.example/repo/files/six.whl"));
        assert!(allowed("https://files.example/packages/six.whl"));
        assert!(!allowed("https://packages.example/other/six.whl"));
        assert!(!allowed("https://files.example/six.whl"));
        assert!(!allowed("http://files.example/packages/six.whl"));
        assert!(!allowed("https://169.254.169.254/packages/six.whl"));
    }
}
