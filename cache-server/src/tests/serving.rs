//! What a server answers, seen from outside.

use super::*;

#[tokio::test]
async fn a_server_needs_nothing_but_a_folder() {
    let server = Harness::new().await;
    assert_eq!(server.ask("GET /v2/").await.status, 200);
    assert_eq!(server.ask("GET /nothing/here").await.status, 404);
    let told = server.running.greeting.to_string();
    let line = format!("ref={}/myproject/cache:main", server.running.data);
    assert!(told.contains(&line), "{told}");
}

#[tokio::test]
async fn the_admin_listener_tells_health_and_metrics() {
    let server = Harness::new().await;
    assert_eq!(server.admin("/livez").await.body, "ok\n");
    assert_eq!(server.admin("/readyz").await.body, "ok\n");
    let verbose = server.admin("/readyz?verbose").await.body;
    assert!(verbose.contains("[+] draining: ok\n"), "{verbose}");
    let metrics = server.admin("/metrics").await;
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert!(
        metrics.body.contains("cachalot_build_info{version=\""),
        "{metrics:?}"
    );
    assert_eq!(
        server.admin("/v2/").await.status,
        404,
        "no protocol is served here"
    );
    assert_eq!(
        server.ask("GET /metrics").await.status,
        404,
        "no metrics are served there"
    );
}

#[tokio::test]
async fn every_answer_tells_its_outcome_and_its_id() {
    let server = Harness::new().await;
    let digest = server.push("whale").await;
    let hit = server.ask(&format!("GET /v2/sea/blobs/{digest}")).await;
    assert_eq!((hit.status, hit.body.as_str()), (200, "whale"));
    assert_eq!(hit.header("cache-status"), Some("Cachalot; hit"));
    assert!(hit.header("x-request-id").is_some());

    let absent = Digest::sha256(b"absent");
    let miss = server
        .ask(&format!("GET /v2/sea/blobs/{absent}\nX-Request-Id: mine"))
        .await;
    assert_eq!(miss.status, 404);
    assert_eq!(miss.header("cache-status"), Some("Cachalot; fwd=miss"));
    assert_eq!(miss.header("x-request-id"), Some("mine"));
}

#[tokio::test]
async fn requests_and_bytes_are_counted() {
    let server = Harness::new().await;
    let digest = server.push("whale").await;
    for _ in 0..3 {
        server.ask(&format!("GET /v2/sea/blobs/{digest}")).await;
    }
    let metrics = server.admin("/metrics").await.body;
    // The first one comes from the disk, the others perhaps from memory.
    let sum = |family: &str, labels: &str| -> u64 {
        let series = metrics
            .lines()
            .filter(|l| l.starts_with(family) && l.contains(labels));
        series
            .map(|l| l.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
            .sum()
    };
    let hit = "class=\"immutable\",client=\"other\",op=\"get\",outcome=\"hit\",protocol=\"oci\"";
    assert_eq!(sum("cachalot_requests_total", hit), 3, "{metrics}");
    assert_eq!(
        sum("cachalot_response_bytes_total", "protocol=\"oci\""),
        15,
        "{metrics}"
    );
    server
        .until_metric("cachalot_request_bytes_total{protocol=\"oci\"}", "5")
        .await;
    server
        .until_metric("cachalot_requests_in_flight", "0")
        .await;
    server.until_metric("cachalot_connections", "0").await;
}

#[tokio::test]
async fn ranges_and_conditions_hold_on_the_wire() {
    let server = Harness::new().await;
    let digest = server.push("0123456789").await;
    let get = async |headers: &str| {
        server
            .ask(&format!("GET /v2/sea/blobs/{digest}\n{headers}"))
            .await
    };
    let part = get("Range: bytes=2-4").await;
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.header("content-range"), Some("bytes 2-4/10"));

    let parts = get("Range: bytes=0-1,8-9").await;
    assert_eq!(parts.status, 206);
    assert_eq!(
        parts.header("content-length"),
        Some(parts.body.len().to_string().as_str())
    );
    assert!(parts.body.contains("\r\n\r\n01\r\n--") && parts.body.contains("\r\n\r\n89\r\n--"));

    let beyond = get("Range: bytes=50-").await;
    assert_eq!((beyond.status, beyond.body.as_str()), (416, ""));
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    assert_eq!(beyond.header("content-length"), Some("0"));

    let etag = get("").await.header("etag").unwrap().to_owned();
    let known = get(&format!("If-None-Match: {etag}")).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
    assert_ne!(known.header("content-length"), Some("0"));
    let changed = get("Range: bytes=0-1\nIf-Range: \"other\"").await;
    assert_eq!((changed.status, changed.body.as_str()), (200, "0123456789"));

    let head = server.ask(&format!("HEAD /v2/sea/blobs/{digest}")).await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-length"), Some("10"));
}

#[tokio::test]
async fn a_port_in_use_is_told_by_its_field() {
    let server = Harness::new().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = server.running.data;
    let refused = start(&folder, |config| config.server.listen.0 = taken).await;
    let told = refused.unwrap_err().to_string();
    assert!(
        told.starts_with(&format!("server.listen: {taken}: ")),
        "{told}"
    );
}
