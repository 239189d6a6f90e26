//! `GetTree`, and walking the directories below one.

use std::collections::{HashSet, VecDeque};

use cache_core::{Algorithm, Digest};
use cache_proto::reapi::{Directory, GetTreeRequest, GetTreeResponse};
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use tonic::Status;

use crate::{
    digest::{Named, function},
    error::{ReapiError, Result},
    reapi::Reapi,
};

/// The pages of a tree.
pub(crate) type Pages = BoxStream<'static, Result<GetTreeResponse, Status>>;

/// Bytes of directories in one page: its message stays well below what clients take.
const PAGE: usize = 1 << 20;

/// The directories below one, breadth first, each once.
pub(crate) struct Walk {
    reapi: Reapi,
    function: Option<Algorithm>,
    ahead: VecDeque<Named>,
    seen: HashSet<Digest>,
}

impl Walk {
    pub(crate) fn new(reapi: Reapi, function: Option<Algorithm>, root: Named) -> Self {
        // Their children need not name the function again.
        let function = function.or(Some(root.digest.algorithm()));
        Self {
            reapi,
            function,
            ahead: VecDeque::from([root]),
            seen: HashSet::from([root.digest]),
        }
    }

    /// The next directory, and the name that it was found by.
    ///
    /// # Errors
    /// [`ReapiError::BlobUnknown`] if it is not here.
    pub(crate) async fn next(&mut self) -> Result<Option<(Named, Directory)>> {
        let Some(blob) = self.ahead.pop_front() else {
            return Ok(None);
        };
        let bytes = self.reapi.document(&blob).await?;
        let directory = Directory::decode(bytes);
        let directory = directory.map_err(|_| ReapiError::Result("a blob is no Directory"))?;
        for child in &directory.directories {
            let child = Named::required(child.digest.as_ref(), self.function)?;
            if self.seen.insert(child.digest) {
                self.ahead.push_back(child);
            }
        }
        let (actual, limit) = (self.seen.len(), self.reapi.config().tree_directories);
        if actual > limit {
            return Err(ReapiError::TooLarge {
                what: "a tree of directories instead",
                actual: actual as u64,
                limit: limit as u64,
            });
        }
        Ok(Some((blob, directory)))
    }

    fn has_more(&self) -> bool {
        !self.ahead.is_empty()
    }
}

impl Reapi {
    /// A tree, page by page. It is complete, or its stream ends in an error: what is left
    /// of a tree is of use to nobody.
    pub(crate) async fn pages(&self, asked: GetTreeRequest) -> Result<Pages> {
        let function = function(asked.digest_function)?;
        let root = Named::required(asked.root_digest.as_ref(), function)?;
        let most = match usize::try_from(asked.page_size) {
            Ok(0) => usize::MAX,
            Ok(most) => most,
            Err(_) => return Err(ReapiError::Page("page_size is negative")),
        };
        let mut pager = Pager {
            walk: Walk::new(self.clone(), function, root),
            most,
            given: 0,
        };
        pager.skip(&asked.page_token).await?;
        // Before the answer: a root that is not here is an answer of its own.
        let first = pager.page().await?;
        let rest = stream::unfold(Some(pager), |pager| async move {
            let mut pager = pager?;
            if !pager.walk.has_more() {
                return None;
            }
            match pager.page().await {
                Ok(page) => Some((Ok(page), Some(pager))),
                Err(error) => Some((Err(error.into()), None)),
            }
        });
        Ok(stream::iter([Ok(first)]).chain(rest).boxed())
    }

    /// A document that is parsed.
    pub(crate) async fn document(&self, blob: &Named) -> Result<bytes::Bytes> {
        let limit = self.config().document.0;
        if blob.size > limit {
            return Err(ReapiError::TooLarge {
                what: "a document",
                actual: blob.size,
                limit,
            });
        }
        self.bytes(blob, limit).await
    }
}

struct Pager {
    walk: Walk,
    most: usize,
    /// Directories that were in pages before.
    given: u64,
}

impl Pager {
    /// Goes on behind a page. Its token is the number of directories until there: a tree
    /// never changes.
    async fn skip(&mut self, token: &str) -> Result<()> {
        if token.is_empty() {
            return Ok(());
        }
        const WRONG: ReapiError = ReapiError::Page("page_token is none of ours");
        let given = token.parse().map_err(|_| WRONG)?;
        while self.given < given {
            self.walk.next().await?.ok_or(WRONG)?;
            self.given += 1;
        }
        Ok(())
    }

    async fn page(&mut self) -> Result<GetTreeResponse> {
        let mut directories = Vec::new();
        let mut bytes = 0;
        while directories.len() < self.most && bytes < PAGE {
            let Some((blob, directory)) = self.walk.next().await? else {
                break;
            };
            bytes += blob.size as usize;
            directories.push(directory);
        }
        self.given += directories.len() as u64;
        let next_page_token = match self.walk.has_more() {
            true => self.given.to_string(),
            false => String::new(),
        };
        Ok(GetTreeResponse {
            directories,
            next_page_token,
        })
    }
}
