//! The client: one handle for each thing that a server keeps.

use crate::{
    Administration, Blobs, Builder, Builds, Packages, Refs, Result, Statistics,
    connection::Connection, snapshot::Snapshots,
};

/// A connection to a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
}

impl Client {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// Connects to `server`, as `http://127.0.0.1:3142`, with the defaults of
    /// [`Client::builder`].
    ///
    /// # Errors
    /// [`Configuration`](crate::Error::Configuration) for a bad address,
    /// [`Unreachable`](crate::Error::Unreachable).
    pub async fn connect(server: impl Into<String>) -> Result<Self> {
        Self::builder(server).connect().await
    }

    /// A client of `server` that is yet to be set up.
    pub fn builder(server: impl Into<String>) -> Builder {
        Builder::new(server)
    }

    /// The blobs of an instance of the server, as the Remote Execution API calls them;
    /// for a Cachalot server a namespace. Any server of that API will do.
    pub fn blobs(&self, instance: impl Into<String>) -> Blobs {
        Blobs::new(self.connection.clone(), instance.into())
    }

    /// The refs of `namespace`.
    pub fn refs(&self, namespace: impl Into<String>) -> Refs {
        Refs::new(self.connection.clone(), namespace.into())
    }

    /// The directory snapshots of `namespace`.
    pub fn snapshots(&self, namespace: impl Into<String>) -> Snapshots {
        Snapshots::new(self.connection.clone(), namespace.into())
    }

    /// The package routes.
    #[must_use]
    pub fn packages(&self) -> Packages {
        Packages::new(&self.connection)
    }

    /// What wrapped builds tell of themselves.
    #[must_use]
    pub fn builds(&self) -> Builds {
        Builds::new(self.connection.clone())
    }

    /// What the server did.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        Statistics::new(self.connection.clone())
    }

    /// For those who keep the server; only on its admin listener.
    #[must_use]
    pub fn administration(&self) -> Administration {
        Administration::new(self.connection.clone())
    }
}
