//! Names of resources, as the Remote Execution API spells them
//! (`ContentAddressableStorage`, "Reading" and "Uploads").

use uuid::Uuid;

use crate::Blob;

/// What a blob is read by.
pub(crate) fn read(instance: &str, blob: &Blob, zstd: bool) -> String {
    format!("{}{}", folder(instance), blob_path(blob, zstd))
}

/// What a new upload is written to; another each time.
pub(crate) fn write(instance: &str, blob: &Blob, zstd: bool) -> String {
    let upload = Uuid::new_v4();
    format!(
        "{}uploads/{upload}/{}",
        folder(instance),
        blob_path(blob, zstd)
    )
}

/// An empty instance name is left out with its slash.
fn folder(instance: &str) -> String {
    match instance {
        "" => String::new(),
        name => format!("{name}/"),
    }
}

fn blob_path(blob: &Blob, zstd: bool) -> String {
    let kind = if zstd {
        "compressed-blobs/zstd"
    } else {
        "blobs"
    };
    // The functions of the first hour are told by their length; the others are named.
    let function = match blob.digest.algorithm() {
        cache_core::Algorithm::Blake3 => "blake3/",
        cache_core::Algorithm::Sha256 | cache_core::Algorithm::Sha512 => "",
    };
    format!("{kind}/{function}{}/{}", blob.digest.hex(), blob.size)
}

#[cfg(test)]
mod tests {
    use cache_core::{Algorithm, Digest};

    use super::*;

    #[test]
    fn names_are_spelled_as_the_specification_says() {
        let blob = Blob::of(b"whale");
        let hex = blob.digest.hex();
        assert_eq!(read("", &blob, false), format!("blobs/{hex}/5"));
        let compressed = format!("team/app/compressed-blobs/zstd/{hex}/5");
        assert_eq!(read("team/app", &blob, true), compressed);
        let blake3 = Blob {
            digest: Digest::of(Algorithm::Blake3, b"whale"),
            size: 5,
        };
        let named = format!("blobs/blake3/{}/5", blake3.digest.hex());
        assert_eq!(read("", &blake3, false), named);
    }

    #[test]
    fn each_upload_has_a_name_of_its_own() {
        let blob = Blob::of(b"whale");
        let name = write("team", &blob, false);
        assert!(name.starts_with("team/uploads/"), "{name}");
        assert!(name.ends_with(&read("", &blob, false)), "{name}");
        assert_ne!(name, write("team", &blob, false));
    }
}
