use std::sync::Arc;

use bytes::Bytes;
use cache_core::{ByteStream, Content, Digest, Error, Tier};
use futures::{StreamExt, future, stream};
use http_body_util::BodyExt;

use super::*;

const ETAG: HeaderValue = HeaderValue::from_static("\"sha256:w\"");

/// Content that is on a disk: streamed in small parts.
#[derive(Debug)]
struct OnDisk {
    bytes: Bytes,
    damaged: bool,
}

impl Content for OnDisk {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let digest = Digest::sha256(&self.bytes);
        let end = self.damaged.then_some(Err(Error::Corrupt { digest }));
        let range = range.start as usize..range.end as usize - usize::from(self.damaged);
        let parts: Vec<_> = self.bytes[range]
            .chunks(7)
            .map(|part| Ok(Bytes::copy_from_slice(part)))
            .chain(end)
            .collect();
        stream::iter(parts).boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

fn bytes(size: usize) -> Bytes {
    (0..size).map(|at| b'a' + (at % 26) as u8).collect()
}

fn on_disk(size: usize) -> Blob {
    let (bytes, damaged) = (bytes(size), false);
    let digest = Digest::sha256(&bytes);
    Blob::new(
        digest,
        size as u64,
        Tier::Disk,
        Arc::new(OnDisk { bytes, damaged }),
    )
}

fn in_memory(size: usize) -> Blob {
    Blob::from_bytes(Digest::sha256(&bytes(size)), bytes(size))
}

fn request(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

fn reply(blob: &Blob, method: &Method, headers: &[(&'static str, &'static str)]) -> Response {
    let content_type = HeaderValue::from_static("application/octet-stream");
    let reply = BlobReply {
        blob,
        content_type,
        etag: ETAG,
    };
    reply.respond(method, &request(headers))
}

fn get(blob: &Blob, headers: &[(&'static str, &'static str)]) -> Response {
    reply(blob, &Method::GET, headers)
}

async fn body(response: Response) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

/// The body, after a check that its announced length is its length.
async fn exact_body(response: Response) -> Bytes {
    let announced = response.headers()["content-length"].clone();
    let body = body(response).await;
    assert_eq!(announced, body.len().to_string());
    body
}

#[tokio::test]
async fn the_whole_is_described_and_sent() {
    for blob in [in_memory(100), on_disk(100), in_memory(0), on_disk(0)] {
        let response = get(&blob, &[]);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["accept-ranges"], "bytes");
        assert_eq!(response.headers()["etag"], ETAG);
        assert_eq!(
            response.headers()["content-type"],
            "application/octet-stream"
        );
        assert_eq!(exact_body(response).await, bytes(blob.size() as usize));
    }
}

#[tokio::test]
async fn head_says_what_get_would_and_ignores_range() {
    for size in [0, 100] {
        let response = reply(&on_disk(size), &Method::HEAD, &[("range", "bytes=1-2")]);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-length"], size.to_string());
        assert_eq!(response.headers(), get(&on_disk(size), &[]).headers());
        assert!(body(response).await.is_empty());
    }
}

#[tokio::test]
async fn one_range_is_exact() {
    for (range, content_range, expected) in [
        ("bytes=0-0", "bytes 0-0/100", 0..1),
        ("bytes=10-19", "bytes 10-19/100", 10..20),
        ("bytes=90-", "bytes 90-99/100", 90..100),
        ("bytes=-3", "bytes 97-99/100", 97..100),
        ("bytes=50-5000", "bytes 50-99/100", 50..100),
        ("bytes=0-", "bytes 0-99/100", 0..100),
    ] {
        for blob in [in_memory(100), on_disk(100)] {
            let response = get(&blob, &[("range", range)]);
            assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
            assert_eq!(response.headers()["content-range"], content_range);
            assert_eq!(response.headers()["etag"], ETAG);
            assert_eq!(exact_body(response).await, bytes(100)[expected.clone()]);
        }
    }
}

#[tokio::test]
async fn several_ranges_are_parts_of_one_body() {
    for blob in [in_memory(100), on_disk(100)] {
        let response = get(&blob, &[("range", "bytes=50-59, 0-1, -2")]);
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert!(!response.headers().contains_key("content-range"));
        let content_type = response.headers()["content-type"].to_str().unwrap();
        let boundary = content_type
            .strip_prefix("multipart/byteranges; boundary=")
            .unwrap()
            .to_owned();
        let part = |range: Range<usize>| {
            let (first, last) = (range.start, range.end - 1);
            let text = String::from_utf8(bytes(100)[range].to_vec()).unwrap();
            format!(
                "--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {first}-{last}/100\r\n\r\n{text}\r\n"
            )
        };
        let expected = part(50..60) + &part(0..2) + &part(98..100) + &format!("--{boundary}--\r\n");
        assert_eq!(exact_body(response).await, expected);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_416() {
    for range in ["bytes=5000-10000", "bytes=500-0", "bytes=2048-", "bytes=-0"] {
        let response = get(&on_disk(2048), &[("range", range)]);
        assert_eq!(
            response.status(),
            StatusCode::RANGE_NOT_SATISFIABLE,
            "{range}"
        );
        assert_eq!(response.headers()["content-range"], "bytes */2048");
        assert!(exact_body(response).await.is_empty());
    }
}

#[tokio::test]
async fn a_known_etag_is_304() {
    for method in [Method::GET, Method::HEAD] {
        let headers = [("if-none-match", "W/\"sha256:w\""), ("range", "bytes=0-1")];
        let response = reply(&on_disk(100), &method, &headers);
        assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(response.headers()["etag"], ETAG);
        assert!(body(response).await.is_empty());
    }
    let changed = get(&on_disk(100), &[("if-none-match", "\"other\"")]);
    assert_eq!(changed.status(), StatusCode::OK);
}

#[test]
fn another_etag_in_if_match_is_412() {
    let response = get(&on_disk(100), &[("if-match", "\"other\"")]);
    assert_eq!(response.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn if_range_of_another_sends_the_whole() {
    let blob = on_disk(100);
    let same = get(
        &blob,
        &[("range", "bytes=0-1"), ("if-range", "\"sha256:w\"")],
    );
    assert_eq!(same.status(), StatusCode::PARTIAL_CONTENT);
    for other in [
        "\"other\"",
        "W/\"sha256:w\"",
        "Wed, 21 Oct 2015 07:28:00 GMT",
    ] {
        let response = get(&blob, &[("range", "bytes=0-1"), ("if-range", other)]);
        assert_eq!(response.status(), StatusCode::OK, "{other}");
        assert_eq!(exact_body(response).await.len(), 100);
    }
}

#[tokio::test]
async fn a_damaged_blob_never_ends_cleanly() {
    let content = OnDisk {
        bytes: bytes(100),
        damaged: true,
    };
    let digest = Digest::sha256(&content.bytes);
    let blob = Blob::new(digest, 100, Tier::Disk, Arc::new(content));
    for range in ["bytes=0-", "bytes=5-80", "bytes=0-9,20-29"] {
        let response = get(&blob, &[("range", range)]);
        assert!(response.into_body().collect().await.is_err(), "{range}");
    }
}

#[tokio::test]
async fn nothing_is_read_before_it_is_asked_for() {
    #[derive(Debug)]
    struct Untouched;
    impl Content for Untouched {
        fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
            stream::once(future::ready(()))
                .map(move |()| panic!("{range:?} was read"))
                .boxed()
        }
        fn resident(&self) -> Option<Bytes> {
            None
        }
    }
    let blob = Blob::new(
        Digest::sha256(b""),
        1 << 40,
        Tier::Disk,
        Arc::new(Untouched),
    );
    for range in ["bytes=0-", "bytes=0-9,20-29"] {
        drop(get(&blob, &[("range", range)]));
    }
}

/// What a mirror sends, with a date and a tag.
fn dated(size: Option<u64>) -> Reply {
    Reply {
        content: on_disk(100).content(),
        size,
        headers: request(&[
            ("content-type", "text/plain"),
            ("etag", "\"sha256:w\""),
            ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
            ("cache-control", "max-age=60"),
            ("x-serial", "7"),
        ]),
    }
}

#[tokio::test]
async fn what_arrives_with_an_unknown_length_is_sent_whole() {
    /// Gives what is there, wherever the end was thought to be.
    #[derive(Debug)]
    struct Arriving(Arc<dyn Content>);
    impl Content for Arriving {
        fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
            Arc::clone(&self.0).stream(range.start..range.end.min(100))
        }
        fn resident(&self) -> Option<Bytes> {
            None
        }
    }
    let arriving = || Reply {
        content: Arc::new(Arriving(on_disk(100).content())),
        ..dated(None)
    };
    let ranged = request(&[("range", "bytes=1-2")]);
    let response = arriving().respond(&Method::GET, &ranged);
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key("content-length"));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, bytes(100));
    let response = arriving().respond(&Method::HEAD, &HeaderMap::new());
    assert!(!response.headers().contains_key("content-length"));
}

#[tokio::test]
async fn a_date_confirms_and_resumes_as_a_tag_does() {
    let date = ("if-modified-since", "Wed, 21 Oct 2015 07:28:00 GMT");
    let response = dated(Some(100)).respond(&Method::GET, &request(&[date]));
    assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
    let headers = response.headers();
    assert_eq!(headers["last-modified"], "Wed, 21 Oct 2015 07:28:00 GMT");
    assert_eq!(headers["cache-control"], "max-age=60");
    assert!(!headers.contains_key("content-type") && !headers.contains_key("x-serial"));

    for (date, status) in [
        ("Wed, 21 Oct 2015 07:28:00 GMT", StatusCode::PARTIAL_CONTENT),
        ("Wed, 21 Oct 2015 07:28:01 GMT", StatusCode::OK),
    ] {
        let resumed = request(&[("range", "bytes=50-"), ("if-range", date)]);
        let response = dated(Some(100)).respond(&Method::GET, &resumed);
        assert_eq!(response.status(), status, "{date}");
        assert_eq!(response.headers()["x-serial"], "7");
    }
}
