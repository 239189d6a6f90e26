//! Blobs that come from the bucket, each once for everyone who asks.

use std::{collections::HashMap, sync::Arc};

use cache_core::{BlobStore, BlobWriter, Digest, Error, Grower, Growing, Result, Upload};
use futures::TryStreamExt;
use parking_lot::Mutex;

use super::is_no_room;
use crate::{Bucket, bucket::Arrival, coalesced::Coalesced};

/// Why a blob did not come, for everyone who reads along.
pub(super) type Failure = Arc<Error>;

/// A blob that breaks off is taken up again so often, if each time brought something.
const MOST_RESUMES: usize = 10;

/// What became of the wish for a blob.
#[derive(Clone, Debug)]
pub(super) enum Filled {
    /// It is coming.
    Coming(Arc<Growing<Failure>>),
    /// There is no place for it near.
    NoRoom,
    /// The bucket has none.
    Absent,
}

type Coming = HashMap<[u8; 32], Arc<Growing<Failure>>>;

/// The blobs that are coming.
#[derive(Clone, Debug, Default)]
pub(super) struct Fills {
    begun: Coalesced<[u8; 32], Filled>,
    coming: Arc<Mutex<Coming>>,
}

impl Fills {
    /// A blob on its way from the bucket into `near`.
    pub(super) async fn fill<N: BlobStore + Clone>(
        &self,
        near: &N,
        bucket: &Bucket,
        name: [u8; 32],
    ) -> Result<Filled> {
        if let Some(coming) = self.coming(&name) {
            return Ok(coming);
        }
        let (fills, near, bucket) = (self.clone(), near.clone(), bucket.clone());
        let begin = move || async move { fills.begin(near, bucket, name).await };
        self.begun.ask(&name, begin).await
    }

    fn coming(&self, name: &[u8; 32]) -> Option<Filled> {
        let coming = self.coming.lock();
        coming.get(name).map(Arc::clone).map(Filled::Coming)
    }

    async fn begin<N: BlobStore>(self, near: N, bucket: Bucket, name: [u8; 32]) -> Result<Filled> {
        if let Some(coming) = self.coming(&name) {
            return Ok(coming);
        }
        let Some(arrival) = bucket.arrive(&name, 0).await? else {
            return Ok(Filled::Absent);
        };
        let size = Some(arrival.size);
        let upload = Upload {
            size,
            algorithm: None,
        };
        let mut writer = match near.create(upload).await {
            Err(error) if is_no_room(&error) => return Ok(Filled::NoRoom),
            writer => writer?,
        };
        let given_up = Error::backend("read from the bucket")("the server stops".into());
        let (grower, growing) = Grower::new(size, writer.taken(), Arc::new(given_up));
        let growing = Arc::new(growing);
        self.coming.lock().insert(name, Arc::clone(&growing));
        tokio::spawn(async move {
            let filling = Filling {
                bucket,
                name,
                size: arrival.size,
            };
            let filled = filling.run(arrival, writer, &grower).await;
            let opened = match filled {
                Ok(()) => near.open(&Digest::from_sha256(name)).await,
                Err(error) => Err(error),
            };
            self.coming.lock().remove(&name);
            match opened {
                Ok(Some(blob)) => grower.stored(blob),
                Ok(None) => grower.failed(Arc::new(Error::Full {
                    reason: "it was evicted as it came",
                })),
                Err(error) => {
                    let digest = Digest::from_sha256(name);
                    tracing::warn!(%digest, %error, "a blob did not come from the bucket");
                    grower.failed(Arc::new(error));
                }
            }
        });
        Ok(Filled::Coming(growing))
    }
}

/// One blob that is coming.
struct Filling {
    bucket: Bucket,
    name: [u8; 32],
    size: u64,
}

impl Filling {
    async fn run(
        &self,
        mut arrival: Arrival,
        mut writer: Box<dyn BlobWriter>,
        grower: &Grower<Failure>,
    ) -> Result<()> {
        for _ in 0..=MOST_RESUMES {
            let before = writer.written();
            let broken = self.receive(arrival, &mut *writer, grower).await?;
            let at = writer.written();
            if at == self.size {
                return self.commit(writer).await;
            }
            if at == before {
                return Err(broken.unwrap_or_else(|| short(at, self.size)));
            }
            arrival = match self.bucket.arrive(&self.name, at).await? {
                Some(rest) if rest.size == self.size => rest,
                _ => return Err(short(at, self.size)),
            };
        }
        Err(short(writer.written(), self.size))
    }

    /// Takes what comes; what it broke off with, if it did.
    async fn receive(
        &self,
        mut arrival: Arrival,
        writer: &mut dyn BlobWriter,
        grower: &Grower<Failure>,
    ) -> Result<Option<Error>> {
        loop {
            match arrival.bytes.try_next().await {
                Ok(Some(part)) => {
                    writer.write(part).await?;
                    grower.grown(writer.written());
                }
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(error)),
            }
        }
    }

    async fn commit(&self, writer: Box<dyn BlobWriter>) -> Result<()> {
        let digest = Digest::from_sha256(self.name);
        let stored = writer.commit(Some(&digest)).await;
        if let Err(Error::DigestMismatch { .. }) = &stored {
            self.bucket.distrust(&self.name);
        }
        stored.map(drop)
    }
}

fn short(at: u64, size: u64) -> Error {
    let said = format!("{at} bytes of {size} came");
    Error::backend("read from the bucket")(said.into())
}
