//! One bucket, by the few things that are done with it.

use std::{borrow::Cow, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Error, Result};
use object_store::{
    GetOptions, GetRange, GetResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, UpdateVersion,
    list::{PaginatedListOptions, PaginatedListResult},
    path::Path,
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// What every provider does its own way.
#[async_trait]
pub(super) trait Service: fmt::Debug + Send + Sync + 'static {
    /// Objects whose keys begin with `prefix`, in the order of their keys.
    async fn list(
        &self,
        prefix: &str,
        options: PaginatedListOptions,
    ) -> object_store::Result<PaginatedListResult>;

    /// Makes an object as young as if it had just been written.
    async fn touch(&self, key: &Path) -> object_store::Result<()>;
}

/// A bucket. No more than so many requests are under way at once.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    service: Box<dyn Service>,
    permits: Semaphore,
}

/// When an object is to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum When<'a> {
    Always,
    /// There is none.
    Absent,
    /// It is the one with this entity tag.
    Is(&'a str),
}

/// What a conditional read brought.
#[derive(Debug)]
pub(super) enum Got {
    Found(GetResult),
    Absent,
    /// It is the one that was known.
    Same,
}

/// Some of the objects below a prefix.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) objects: Vec<ObjectMeta>,
    /// What stands before the delimiter, with it.
    pub(super) groups: Vec<String>,
    /// Whether there are more behind them.
    pub(super) is_last: bool,
}

impl Objects {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        service: Box<dyn Service>,
        requests: usize,
    ) -> Self {
        let permits = Semaphore::new(requests.max(1));
        Self {
            store,
            service,
            permits,
        }
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await;
        permit.map_err(|closed| Error::backend("request to the bucket")(closed.into()))
    }

    /// What is said of an object without its bytes.
    pub(super) async fn head(&self, key: &Path) -> Result<Option<ObjectMeta>> {
        let _permit = self.permit().await?;
        match self.store.head(key).await {
            Ok(meta) => Ok(Some(meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at the bucket")(error)),
        }
    }

    /// An object, unless it is still the one with the entity tag `known`.
    pub(super) async fn get(&self, key: &Path, known: Option<&str>) -> Result<Got> {
        let _permit = self.permit().await?;
        let options = GetOptions {
            if_none_match: known.map(ToOwned::to_owned),
            ..GetOptions::default()
        };
        match self.store.get_opts(key, options).await {
            Ok(found) => Ok(Got::Found(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(Got::Absent),
            Err(object_store::Error::NotModified { .. }) => Ok(Got::Same),
            Err(error) => Err(failed("read from the bucket")(error)),
        }
    }

    /// An object from `offset` on; its size is told as the whole's.
    pub(super) async fn get_from(&self, key: &Path, offset: u64) -> Result<Option<GetResult>> {
        let _permit = self.permit().await?;
        let options = GetOptions {
            range: (offset > 0).then_some(GetRange::Offset(offset)),
            ..GetOptions::default()
        };
        match self.store.get_opts(key, options).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read from the bucket")(error)),
        }
    }

    /// Writes an object; its entity tag, or `None` if the condition does not hold.
    pub(super) async fn put(
        &self,
        key: &Path,
        bytes: impl Into<PutPayload>,
        when: When<'_>,
    ) -> Result<Option<Option<String>>> {
        use object_store::Error as Said;
        let _permit = self.permit().await?;
        let mode = match when {
            When::Always => PutMode::Overwrite,
            When::Absent => PutMode::Create,
            When::Is(tag) => PutMode::Update(UpdateVersion {
                e_tag: Some(tag.to_owned()),
                version: None,
            }),
        };
        let options = PutOptions::from(mode);
        match self.store.put_opts(key, bytes.into(), options).await {
            Ok(put) => Ok(Some(put.e_tag)),
            Err(Said::AlreadyExists { .. } | Said::Precondition { .. }) => Ok(None),
            Err(error) => Err(failed("write to the bucket")(error)),
        }
    }

    /// Begins an object that is written in parts.
    pub(super) async fn begin(&self, key: &Path) -> Result<Box<dyn MultipartUpload>> {
        let _permit = self.permit().await?;
        let begun = self.store.put_multipart(key).await;
        begun.map_err(failed("begin of an upload to the bucket"))
    }

    /// Deletes an object; it may be absent.
    pub(super) async fn delete(&self, key: &Path) -> Result<()> {
        let _permit = self.permit().await?;
        match self.store.delete(key).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete in the bucket")(error)),
        }
    }

    /// Makes an object as young as if it had just been written; false if it is absent.
    pub(super) async fn touch(&self, key: &Path) -> Result<bool> {
        let _permit = self.permit().await?;
        match self.service.touch(key).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed("touch in the bucket")(error)),
        }
    }

    /// Up to `limit` objects whose keys begin with `prefix` and come behind `after`, in
    /// the order of their keys' bytes; with `groups`, those with a slash behind the prefix
    /// are told by what stands before it.
    pub(super) async fn page(
        &self,
        prefix: &str,
        after: Option<&str>,
        groups: bool,
        limit: usize,
    ) -> Result<Page> {
        let _permit = self.permit().await?;
        let options = PaginatedListOptions {
            offset: after.map(ToOwned::to_owned),
            delimiter: groups.then_some(Cow::Borrowed("/")),
            max_keys: Some(limit),
            ..PaginatedListOptions::default()
        };
        let listed = self.service.list(prefix, options).await;
        let listed = listed.map_err(failed("list of the bucket"))?;
        let groups = listed.result.common_prefixes;
        Ok(Page {
            objects: listed.result.objects,
            groups: groups.into_iter().map(String::from).collect(),
            is_last: listed.page_token.is_none(),
        })
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

/// Wraps what the bucket said.
pub(super) fn failed(operation: &'static str) -> impl Fn(object_store::Error) -> Error {
    move |error| Error::backend(operation)(error.into())
}

/// The whole of an object that is small. At most `limit` bytes are taken.
pub(super) async fn whole(found: GetResult, limit: u64) -> Result<Bytes> {
    let size = found.meta.size;
    if size > limit {
        return Err(Error::TooLarge { limit });
    }
    let bytes = found.bytes().await;
    let bytes = bytes.map_err(failed("read from the bucket"))?;
    // A server that breaks off cleanly is not told apart by its transport.
    match bytes.len() as u64 {
        actual if actual == size => Ok(bytes),
        actual => Err(Error::backend("read from the bucket")(
            format!("{actual} bytes of {size} came").into(),
        )),
    }
}
