//! Connections: how long they may do nothing, and how many there may be.

use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;

#[tokio::test]
async fn a_connection_that_says_nothing_is_cut() {
    let server = Harness::with(|config| config.limits.first_byte = milliseconds(100)).await;
    assert!(is_cut(&mut server.connect().await).await);
    server.until_metric("cachalot_connections", "0").await;
}

#[tokio::test]
async fn slow_headers_are_cut() {
    let server = Harness::with(|config| config.limits.headers = milliseconds(300)).await;
    let (mut reading, mut writing) = server.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in b"GET /v2/ HTTP/1.1\r\nX: "
            .iter()
            .chain([b'a'; 1000].iter())
        {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            time::sleep(Duration::from_millis(20)).await;
        }
        panic!("all of it was taken");
    });
    let mut sink = Vec::new();
    let _ = time::timeout(SOON, reading.read_to_end(&mut sink))
        .await
        .expect("cut");
    dripping.await.unwrap();
}

/// Docker tries TLS first with a registry on loopback, and goes on without it only if
/// it sees an answer in HTTP.
#[tokio::test]
async fn a_client_that_begins_with_tls_is_told_that_this_is_http() {
    let server = Harness::with(|_| ()).await;
    let mut stream = server.connect().await;
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 506]].concat();
    stream.write_all(&hello).await.unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/");
}

#[tokio::test]
async fn an_idle_connection_is_cut_after_its_request() {
    let server = Harness::with(|config| config.limits.idle = milliseconds(300)).await;
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream
            .write_all(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut some = [0; 4096];
        assert!(stream.read(&mut some).await.unwrap() > 0);
        time::sleep(Duration::from_millis(50)).await;
    }
    assert!(is_cut(&mut stream).await);
}

#[tokio::test]
async fn a_body_that_stops_is_cut_and_leaves_nothing() {
    let server = Harness::with(|config| config.limits.body_window = milliseconds(200)).await;
    let mut stream = server.connect().await;
    let digest = Digest::sha256(b"0123456789");
    let head = format!(
        "POST /v2/sea/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\n\
         Content-Length: 10\r\n\r\n01234"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(is_cut(&mut stream).await);
    let absent = server.ask(&format!("HEAD /v2/sea/blobs/{digest}")).await;
    assert_eq!(absent.status, 404);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut() {
    let server = Harness::with(|config| config.limits.write_stall = milliseconds(200)).await;
    // More than the sockets' buffers take.
    let digest = server.push(&"x".repeat(32 << 20)).await;
    server.until_metric("cachalot_connections", "0").await;
    let mut stream = server.connect().await;
    let request = format!("GET /v2/sea/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    server.until_metric("cachalot_connections", "1").await;
    server.until_metric("cachalot_connections", "0").await;
}

#[tokio::test]
async fn one_address_has_only_its_share_of_connections() {
    let server = Harness::with(|config| config.limits.connections_per_address = 2).await;
    let held = [server.connect().await, server.connect().await];
    server.until_metric("cachalot_connections", "2").await;
    assert!(is_cut(&mut server.connect().await).await);
    server
        .until_metric("cachalot_connections_refused_total", "1")
        .await;
    drop(held);
    server.until_metric("cachalot_connections", "0").await;
    assert_eq!(server.ask("GET /v2/").await.status, 200);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let server = Harness::with(|config| config.limits.connections = 1).await;
    let held = server.connect().await;
    server.until_metric("cachalot_connections", "1").await;
    let waiting = server.ask("GET /v2/");
    tokio::pin!(waiting);
    let early = time::timeout(Duration::from_millis(200), waiting.as_mut()).await;
    assert!(early.is_err(), "served before its turn");
    drop(held);
    assert_eq!(waiting.await.status, 200);
}

#[tokio::test]
async fn http2_is_spoken_without_being_asked() {
    let server = Harness::with(|config| config.limits.headers = milliseconds(200)).await;
    let stream = TokioIo::new(server.connect().await);
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let request = http::Request::get("http://cache/v2/")
            .body(Empty::<&[u8]>::new())
            .unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.unwrap();
        // Longer than headers may take: between requests there are none.
        time::sleep(Duration::from_millis(300)).await;
    }
}
