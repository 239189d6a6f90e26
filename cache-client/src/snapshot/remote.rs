//! The snapshots of a namespace of a server.

use bytes::Bytes;
use cache_proto::cachalot::v1::{self, snapshots_client::SnapshotsClient};
use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};

use super::{
    Restore, Restored, Save, Saved,
    document::DOCUMENT_LIMIT,
    error::Result as Outcome,
    restore, save,
    store::{Created, Found, Store, Uploaded},
};
use crate::{
    Blob, Blobs, Compression, Error, Ref, Result, Upload, connection::Connection, paged::paged,
    retry::Repeat,
};

/// The snapshots of one namespace.
#[derive(Clone, Debug)]
pub struct Snapshots {
    connection: Connection,
    blobs: Blobs,
    namespace: String,
    server: String,
}

impl Snapshots {
    pub(crate) fn new(connection: Connection, namespace: String) -> Self {
        let server = connection.server().to_owned();
        Self {
            blobs: Blobs::new(connection.clone(), namespace.clone()),
            connection,
            namespace,
            server,
        }
    }

    /// The same, with bytes compressed on the way as said.
    #[must_use]
    pub fn compression(self, compression: Compression) -> Self {
        Self {
            blobs: self.blobs.compression(compression),
            ..self
        }
    }

    /// Saves trees, and lets `key` lead to them. Only what changed since the last time
    /// is read, and only what the server has not is uploaded.
    ///
    /// # Errors
    /// [`super::Error`]; the key leads where it led then.
    pub async fn save(&self, key: &str, request: &Save) -> Outcome<Saved> {
        save::save(self, key, request).await
    }

    /// Restores what `key` leads to, or else the newest snapshot whose key begins with
    /// the first of `fallbacks` that has any; `None` if there is none.
    ///
    /// Everything the snapshot says is checked before anything is touched. The tree is
    /// built beside its place, with the files that are there already, and put in place by
    /// a few renames at the end.
    ///
    /// # Errors
    /// [`super::Error`]; the target is as it was then. If this future is dropped, or the
    /// process killed, the target is as it was or, if that happened between the renames,
    /// is completed by the next save or restore there.
    pub async fn restore(
        &self,
        key: &str,
        fallbacks: &[String],
        request: &Restore,
    ) -> Outcome<Option<Restored>> {
        restore::restore(self, key, fallbacks, request).await
    }

    /// The snapshots whose keys begin with `prefix`, in the byte order of their keys.
    ///
    /// # Errors
    /// An item is an error of any call; the stream ends there.
    pub fn list(&self, prefix: impl Into<String>) -> BoxStream<'static, Result<Ref>> {
        let connection = self.connection.clone();
        paged(self.namespace.clone(), prefix.into(), move |request| {
            let connection = connection.clone();
            async move {
                let list = |channel, request| async move {
                    SnapshotsClient::new(channel).list(request).await
                };
                let call = "cachalot.v1.Snapshots.List";
                connection.call(call, Repeat::Safe, request, list).await
            }
        })
    }

    /// Unbinds a key; false if it was unbound already. Its blobs stay until nobody needs
    /// them.
    ///
    /// # Errors
    /// Any but [`Error::Conflict`].
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let request = v1::DeleteRefRequest {
            namespace: self.namespace.clone(),
            key: key.to_owned(),
        };
        let call = "cachalot.v1.Snapshots.Delete";
        let delete =
            |channel, request| async move { SnapshotsClient::new(channel).delete(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, delete);
        Ok(answer.await?.existed)
    }
}

impl Store for Snapshots {
    fn identity(&self) -> String {
        format!("{} {}", self.server, self.namespace)
    }

    async fn put_many(&self, blobs: Vec<(Blob, Bytes)>) -> Result<Uploaded> {
        let uploads = blobs
            .into_iter()
            .map(|(blob, bytes)| Upload::known(blob, bytes));
        let sent = self.blobs.put_many(stream::iter(uploads)).await?;
        Ok(Uploaded {
            blobs: sent.sent_blobs,
            bytes: sent.sent_bytes,
        })
    }

    async fn read_many(&self, blobs: Vec<Blob>) -> Result<Vec<Bytes>> {
        let found = self.blobs.clone().unverified();
        let found = found.read_many(blobs, DOCUMENT_LIMIT);
        let bytes = found.map(|item| {
            let (blob, bytes) = item?;
            bytes.ok_or_else(|| Error::Missing(blob.digest.to_string()))
        });
        bytes.try_collect().await
    }

    async fn create(&self, key: &str, root: Blob, only_if_unbound: bool) -> Result<Created> {
        let request = v1::CreateSnapshotRequest {
            namespace: self.namespace.clone(),
            key: key.to_owned(),
            root: Some(super::entry::wire_blob(&root)),
            only_if_unbound,
        };
        let call = "cachalot.v1.Snapshots.Create";
        let create =
            |channel, request| async move { SnapshotsClient::new(channel).create(request).await };
        // To the same root it may be bound twice.
        let created = self.connection.call(call, Repeat::Safe, request, create);
        match created.await {
            Ok(_) => Ok(Created::Bound),
            Err(Error::Missing(what)) => Ok(Created::Incomplete(what)),
            Err(Error::Conflict) => Ok(Created::Conflict),
            Err(error) => Err(error),
        }
    }

    async fn resolve(&self, key: &str, fallbacks: &[String]) -> Result<Option<Found>> {
        let candidate = |key: &str, prefix| v1::Candidate {
            namespace: self.namespace.clone(),
            key: key.to_owned(),
            prefix,
        };
        let prefixes = fallbacks.iter().map(|prefix| candidate(prefix, true));
        let request = v1::ResolveRequest {
            candidates: std::iter::once(candidate(key, false))
                .chain(prefixes)
                .collect(),
        };
        let call = "cachalot.v1.Snapshots.Resolve";
        let resolve =
            |channel, request| async move { SnapshotsClient::new(channel).resolve(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, resolve);
        let found = answer.await?.r#ref.map(Ref::parse).transpose()?;
        Ok(found.map(|found| Found {
            key: found.key,
            root: found.target,
        }))
    }
}
