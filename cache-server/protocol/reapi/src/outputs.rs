//! The blobs that an action's result needs.

use cache_core::Algorithm;
use cache_proto::reapi::{self, ActionResult, Directory, OutputDirectory, Tree};
use prost::Message;

use crate::{
    digest::Named,
    error::{ReapiError, Result},
    reapi::Reapi,
    tree::Walk,
};

/// Every output of a result, also those that its trees name.
#[derive(Debug)]
pub(crate) struct Outputs<'a> {
    reapi: &'a Reapi,
    function: Option<Algorithm>,
    blobs: Vec<Named>,
}

impl<'a> Outputs<'a> {
    /// Gathers them. Each is named once or more often, the empty blob never.
    ///
    /// # Errors
    /// [`ReapiError::Result`] if it is malformed, [`ReapiError::Incomplete`] if a tree is
    /// not here.
    pub(crate) async fn of(
        reapi: &'a Reapi,
        result: &ActionResult,
        function: Option<Algorithm>,
    ) -> Result<Vec<Named>> {
        let blobs = Vec::new();
        let mut outputs = Self {
            reapi,
            function,
            blobs,
        };
        outputs.check_paths(result)?;
        for file in &result.output_files {
            outputs.add(file.digest.as_ref())?;
        }
        outputs.add(result.stdout_digest.as_ref())?;
        outputs.add(result.stderr_digest.as_ref())?;
        for directory in &result.output_directories {
            outputs.add_directory(directory).await?;
        }
        outputs.blobs.retain(|blob| !blob.is_empty());
        Ok(outputs.blobs)
    }

    /// Paths are relative to the working directory, which may be named by an empty one
    /// (remote_execution.proto, "OutputFile" and "OutputDirectory").
    fn check_paths(&self, result: &ActionResult) -> Result<()> {
        let files = result.output_files.iter().map(|it| &it.path);
        let symlinks = result.output_symlinks.iter();
        let symlinks = symlinks.chain(&result.output_file_symlinks);
        let symlinks = symlinks.chain(&result.output_directory_symlinks);
        let mut named = files.chain(symlinks.map(|it| &it.path));
        if named.any(String::is_empty) {
            return Err(ReapiError::Result("an output without a path"));
        }
        let files = result.output_files.iter().map(|it| &it.path);
        let mut all = files.chain(result.output_directories.iter().map(|it| &it.path));
        if all.any(|path| path.starts_with('/') || path.contains('\0')) {
            return Err(ReapiError::Result("an output whose path is not relative"));
        }
        Ok(())
    }

    /// A digest that is not set, or without a hash, names nothing: what it is of has its
    /// content inline, or has none.
    fn add(&mut self, digest: Option<&reapi::Digest>) -> Result<()> {
        let digest = digest.filter(|it| !(it.hash.is_empty() && it.size_bytes == 0));
        if let Some(digest) = digest {
            self.blobs.push(Named::parse(digest, self.function)?);
        }
        Ok(())
    }

    async fn add_directory(&mut self, output: &OutputDirectory) -> Result<()> {
        let (tree, root) = (&output.tree_digest, &output.root_directory_digest);
        if tree.is_none() && root.is_none() {
            return Err(ReapiError::Result("a directory without a digest"));
        }
        if let Some(tree) = tree {
            self.add_tree(Named::parse(tree, self.function)?).await?;
        }
        if let Some(root) = root {
            self.add_root(Named::parse(root, self.function)?).await?;
        }
        Ok(())
    }

    /// A tree has all of its directories in it; they need not be blobs of their own.
    async fn add_tree(&mut self, blob: Named) -> Result<()> {
        let bytes = self.reapi.document(&blob).await.map_err(incomplete)?;
        let tree = Tree::decode(bytes);
        let tree = tree.map_err(|_| ReapiError::Result("a tree_digest that is of no Tree"))?;
        self.blobs.push(blob);
        for directory in tree.root.iter().chain(&tree.children) {
            self.add_files(directory)?;
        }
        Ok(())
    }

    /// A root directory leads to others, each of which is a blob.
    async fn add_root(&mut self, root: Named) -> Result<()> {
        let mut walk = Walk::new(self.reapi.clone(), self.function, root);
        while let Some((blob, directory)) = walk.next().await.map_err(incomplete)? {
            self.blobs.push(blob);
            self.add_files(&directory)?;
        }
        Ok(())
    }

    fn add_files(&mut self, directory: &Directory) -> Result<()> {
        let files = directory.files.iter();
        files.map(|file| &file.digest).try_for_each(|digest| {
            let digest = digest.as_ref();
            self.blobs.push(Named::required(digest, self.function)?);
            Ok(())
        })
    }
}

/// A missing part of a result is not a missing result.
fn incomplete(error: ReapiError) -> ReapiError {
    match error {
        ReapiError::BlobUnknown(digest) => ReapiError::Incomplete {
            missing: vec![digest],
        },
        other => other,
    }
}
