//! Resource names: what is one, what is none, and what is read is what was printed.

use cache_proto::google::bytestream::{QueryWriteStatusRequest, ReadRequest};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    digest::Named,
    instance::Instance,
    resource_name::{Form, ResourceName, UploadName},
};

const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const ID: &str = "4b9f4f0e-6f4e-4c37-8b6e-2d4a7c1a9e11";

#[tokio::test]
async fn hostile_names_of_reads_are_invalid_and_touch_nothing() {
    let server = Server::new();
    let upper = HASH.to_uppercase();
    let long = format!("{}/blobs/{HASH}/4", "a".repeat(401));
    let longer = "a/".repeat(3000);
    let nameless = format!("blobs/{HASH}/");
    for name in [
        "",
        "/",
        "blobs",
        "blobs/",
        "blobs//4",
        &nameless,
        &format!("blobs/{HASH}"),
        &format!("/blobs/{HASH}/4"),
        &format!("//blobs/{HASH}/4"),
        &format!("blobs//{HASH}/4"),
        &format!("blobs/{HASH}//4"),
        &format!("blobs/{HASH}/4/"),
        &format!("blobs/{HASH}/4/name.txt"),
        &format!("blobs/{HASH}/-1"),
        &format!("blobs/{HASH}/+4"),
        &format!("blobs/{HASH}/04"),
        &format!("blobs/{HASH}/4.0"),
        &format!("blobs/{HASH}/0x4"),
        &format!("blobs/{HASH}/ 4"),
        &format!("blobs/{HASH}/4 "),
        &format!("blobs/{HASH}/٤"),
        &format!("blobs/{HASH}/9223372036854775808"),
        &format!("blobs/{HASH}/18446744073709551616"),
        &format!("blobs/{HASH}/four"),
        &format!("blobs/{HASH}\0/4"),
        &format!("blobs/{upper}/4"),
        &format!("blobs/{}/4", &HASH[1..]),
        &format!("blobs/{HASH}0/4"),
        &format!("blobs/{}g/4", &HASH[1..]),
        &format!("blobs/{}é/4", &HASH[2..]),
        &format!("blobs/sha256:{HASH}/4"),
        &format!("blobs/sha256/{HASH}/4"),
        &format!("blobs/BLAKE3/{HASH}/4"),
        &format!("blobs/blake3/{HASH}{HASH}/4"),
        &format!("blobs/blake3/{HASH}"),
        &format!("blobs/sha1/{}/4", &HASH[..40]),
        &format!("blobs/../{HASH}/4"),
        &format!("../blobs/{HASH}/4"),
        &format!("a/../blobs/{HASH}/4"),
        &format!("./blobs/{HASH}/4"),
        &format!("a\0b/blobs/{HASH}/4"),
        &format!("a%2fb/blobs/{HASH}/4"),
        &format!("a\\b/blobs/{HASH}/4"),
        &format!("operations/blobs/{HASH}/4"),
        &format!("blobs/blobs/{HASH}/4"),
        &format!("uploads/{ID}/blobs/{HASH}/4"),
        &format!("compressed-blobs/{HASH}/4"),
        &format!("compressed-blobs/identity/{HASH}/4"),
        &format!("compressed-blobs/deflate/{HASH}/4"),
        &format!("compressed-blobs/ZSTD/{HASH}/4"),
        &format!("compressed-blobs/zstd/{HASH}"),
        &format!("Blobs/{HASH}/4"),
        &long,
        &longer,
    ] {
        let request = ReadRequest {
            resource_name: name.to_owned(),
            ..ReadRequest::default()
        };
        let told = server.bytes().read(request).await.map(|_| ());
        assert_eq!(code(told), Code::InvalidArgument, "{name:?}");
        assert_eq!(server.last(), Outcome::Error);
    }
}

#[tokio::test]
async fn hostile_names_of_writes_are_invalid() {
    let server = Server::new();
    for name in [
        "",
        "uploads",
        "uploads/",
        &format!("uploads/{ID}"),
        &format!("uploads/{ID}/"),
        &format!("blobs/{HASH}/4"),
        &format!("/uploads/{ID}/blobs/{HASH}/4"),
        &format!("uploads//blobs/{HASH}/4"),
        &format!("uploads/blobs/{HASH}/4"),
        &format!("uploads/{}/blobs/{HASH}/4", &ID[1..]),
        &format!("uploads/{ID}0/blobs/{HASH}/4"),
        &format!("uploads/{}/blobs/{HASH}/4", ID.replace('-', "")),
        &format!("uploads/{{{ID}}}/blobs/{HASH}/4"),
        &format!("uploads/{}/blobs/{HASH}/4", ID.replace('4', "g")),
        &format!("uploads/{}/blobs/{HASH}/4", "../".repeat(12)),
        &format!("uploads/{ID}/uploads/{ID}/blobs/{HASH}/4"),
        &format!("uploads/{ID}/compressed-blobs/{HASH}/4"),
        &format!("uploads/{ID}/compressed-blobs/brotli/{HASH}/4"),
        &format!("uploads/{ID}/blobs/{HASH}"),
        &format!("uploads/{ID}/blobs/{HASH}/-4"),
        &format!("uploads/{ID}/blobs/{HASH}/9223372036854775808"),
        &format!("uploads/{ID}/blobs/blake3/4"),
        &format!("a/actions/uploads/{ID}/blobs/{HASH}/4"),
        &format!("../uploads/{ID}/blobs/{HASH}/4"),
    ] {
        let request = QueryWriteStatusRequest {
            resource_name: name.to_owned(),
        };
        let told = server.bytes().query_write_status(request).await;
        assert_eq!(code(told), Code::InvalidArgument, "{name:?}");
    }
}

#[test]
fn what_is_behind_the_size_of_an_upload_is_the_clients_own() {
    for tail in [
        "",
        "/",
        "/main.o",
        "/../../etc/passwd",
        "/blobs/uploads",
        "/a\0b",
    ] {
        let name = format!("team/uploads/{ID}/blobs/{HASH}/4{tail}");
        let parsed = UploadName::parse(&name).unwrap();
        assert_eq!(
            parsed.to_string(),
            format!("team/uploads/{ID}/blobs/{HASH}/4")
        );
    }
}

#[test]
fn sha512_and_blake3_are_told_by_length_and_by_name() {
    let parsed = ResourceName::parse(&format!("blobs/{HASH}{HASH}/4")).unwrap();
    assert_eq!(parsed.blob.digest.algorithm(), Algorithm::Sha512);
    let parsed = ResourceName::parse(&format!("a/b/blobs/blake3/{HASH}/4")).unwrap();
    assert_eq!(parsed.blob.digest.algorithm(), Algorithm::Blake3);
    assert_eq!(parsed.instance.as_str(), "a/b");
    let parsed = ResourceName::parse(&format!("blobs/{HASH}/{}", i64::MAX)).unwrap();
    assert_eq!(parsed.blob.size, i64::MAX as u64);
}

fn names() -> impl Strategy<Value = UploadName> {
    let algorithms = [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3];
    let algorithm = proptest::sample::select(algorithms.to_vec());
    let forms = proptest::sample::select(vec![Form::Identity, Form::Zstd]);
    let instance = "([a-z0-9._-]{1,8}(/[a-zé0-9_-]{1,8}){0,3})?";
    let bytes = any::<[u8; 8]>();
    let size = 0..=i64::MAX as u64;
    (instance, algorithm, forms, bytes, size, any::<u128>()).prop_filter_map(
        "a word that is reserved",
        |(instance, algorithm, form, bytes, size, id)| {
            let digest = Digest::of(algorithm, &bytes);
            let resource = ResourceName {
                instance: Instance::parse(&instance).ok()?,
                form,
                blob: Named { digest, size },
            };
            let id = Uuid::from_u128(id);
            Some(UploadName { id, resource })
        },
    )
}

proptest! {
    #[test]
    fn what_is_printed_is_read_again(name in names()) {
        prop_assert_eq!(UploadName::parse(&name.to_string()).unwrap(), name.clone());
        let read = name.resource.to_string();
        prop_assert_eq!(ResourceName::parse(&read).unwrap(), name.resource);
    }

    #[test]
    fn no_text_makes_reading_panic_and_what_is_read_is_canonical(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("blobs".to_owned()), Just("uploads".to_owned()), Just("zstd".to_owned()),
                Just("compressed-blobs".to_owned()), Just("blake3".to_owned()),
                Just(HASH.to_owned()), Just(ID.to_owned()), "[0-9]{0,20}", ".{0,10}",
            ],
            0..8,
        ),
    ) {
        let text = parts.join("/");
        if let Ok(name) = ResourceName::parse(&text) {
            prop_assert_eq!(name.to_string(), text.clone());
        }
        if let Ok(name) = UploadName::parse(&text) {
            prop_assert!(text.to_lowercase().starts_with(&name.to_string().to_lowercase()));
        }
    }

    #[test]
    fn any_text_at_all_is_read_or_refused(text in any::<String>()) {
        let _ = ResourceName::parse(&text);
        let _ = UploadName::parse(&text);
        let _ = Instance::parse(&text);
        let _ = crate::digest::of_hex(&text, None);
    }
}
