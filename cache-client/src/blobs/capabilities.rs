//! What a server says it can, once an instance.

use cache_proto::reapi::{
    CacheCapabilities, GetCapabilitiesRequest, capabilities_client::CapabilitiesClient,
    compressor::Value as Compressor, digest_function::Value as Function,
};

use crate::{Blob, Blobs, Error, Result, connection::Connection, retry::Repeat};

/// gRPC servers take messages of 4 MiB by default, whatever their storage would; 64 KiB
/// are left for what is around the blobs.
const MESSAGE: u64 = (4 << 20) - (64 << 10);
/// What a blob's name and the fields around it take in a message, at most: a SHA-512 in
/// hex is 128 bytes.
const AROUND: u64 = 256;

/// What a server says it can.
#[derive(Debug)]
pub(crate) struct Capabilities {
    functions: Vec<i32>,
    batch: u64,
    zstd: bool,
    batch_zstd: bool,
    largest: Option<u64>,
}

impl Capabilities {
    pub(crate) async fn ask(connection: &Connection, instance: &str) -> Result<Self> {
        let request = GetCapabilitiesRequest {
            instance_name: instance.to_owned(),
        };
        let call = "Capabilities.GetCapabilities";
        let answer = connection.call(call, Repeat::Safe, request, |channel, request| async move {
            let mut client = CapabilitiesClient::new(channel);
            client.get_capabilities(request).await
        });
        let cache = answer.await?.cache_capabilities;
        let cache = cache.ok_or(Error::Unsupported {
            call: "a cache, by its capabilities",
        })?;
        Ok(Self::of(&cache))
    }

    fn of(cache: &CacheCapabilities) -> Self {
        let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let zstd = i32::from(Compressor::Zstd);
        Self {
            functions: cache.digest_functions.clone(),
            batch: positive(cache.max_batch_total_size_bytes).map_or(MESSAGE, |b| b.min(MESSAGE)),
            zstd: cache.supported_compressors.contains(&zstd),
            batch_zstd: cache.supported_batch_update_compressors.contains(&zstd),
            largest: positive(cache.max_cas_blob_size_bytes),
        }
    }

    /// Refuses a blob whose hash function the server has not.
    pub(crate) fn knows(&self, blob: &Blob) -> Result<()> {
        let function = blob.function();
        if self.functions.contains(&function.into()) {
            return Ok(());
        }
        Err(Error::Unsupported {
            call: match function {
                Function::Blake3 => "BLAKE3 as a hash function",
                Function::Sha512 => "SHA-512 as a hash function",
                _ => "SHA-256 as a hash function",
            },
        })
    }

    /// Refuses a blob that the server would not take.
    pub(crate) fn takes(&self, blob: &Blob) -> Result<()> {
        match self.largest {
            Some(limit) if blob.size > limit => Err(Error::TooLarge { limit }),
            _ => self.knows(blob),
        }
    }

    /// What the blobs of one message may weigh together.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    /// What a blob weighs in a message.
    pub(crate) fn weight(blob: &Blob) -> u64 {
        blob.size.saturating_add(AROUND)
    }

    /// Whether a blob may be in a message with others.
    pub(crate) fn is_small(&self, blob: &Blob) -> bool {
        Self::weight(blob) <= self.batch
    }

    /// Whether the server takes and gives streams that are compressed.
    pub(crate) fn zstd(&self) -> bool {
        self.zstd
    }

    /// Whether it takes compressed blobs in messages.
    pub(crate) fn batch_zstd(&self) -> bool {
        self.batch_zstd
    }

    /// Whether a stream of this blob is to come compressed.
    pub(crate) fn reads_zstd(&self, blobs: &Blobs, blob: &Blob) -> bool {
        self.zstd && blobs.compression.pays(blobs.connection(), blob.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_limit_a_batch_is_what_grpc_takes() {
        let capabilities = Capabilities::of(&CacheCapabilities::default());
        assert_eq!(capabilities.batch(), MESSAGE);
        let small = CacheCapabilities {
            max_batch_total_size_bytes: 1_000,
            ..Default::default()
        };
        let capabilities = Capabilities::of(&small);
        assert!(capabilities.is_small(&Blob::of(&[0; 744])));
        assert!(!capabilities.is_small(&Blob::of(&[0; 745])));
    }

    #[test]
    fn what_the_server_does_not_list_is_refused() {
        let cache = CacheCapabilities {
            max_cas_blob_size_bytes: 4,
            digest_functions: vec![Function::Sha256.into()],
            ..Default::default()
        };
        let capabilities = Capabilities::of(&cache);
        assert!(capabilities.takes(&Blob::of(b"four")).is_ok());
        let larger = capabilities.takes(&Blob::of(b"larger"));
        assert!(matches!(larger, Err(Error::TooLarge { limit: 4 })));
        let nothing = Capabilities::of(&CacheCapabilities::default());
        let unknown = nothing.knows(&Blob::of(b"four"));
        assert!(matches!(unknown, Err(Error::Unsupported { .. })));
    }
}
