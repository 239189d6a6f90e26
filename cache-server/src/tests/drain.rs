//! How a server stops.

use super::*;

struct Uploading {
    stream: TcpStream,
}

impl Uploading {
    /// Half of an upload.
    async fn begin(server: &Harness) -> Self {
        let mut stream = server.connect().await;
        let digest = Digest::sha256(b"0123456789");
        let head = format!(
            "POST /v2/sea/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\n\
             Content-Length: 10\r\n\r\n01234"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        server
            .until_metric("cachalot_requests_in_flight", "1")
            .await;
        Self { stream }
    }

    async fn finish(mut self) -> Answer {
        self.stream.write_all(b"56789").await.unwrap();
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).await.unwrap();
        parse(&bytes)
    }
}

#[tokio::test]
async fn what_is_in_progress_finishes_and_nothing_else_begins() {
    let server = Harness::new().await;
    let idle = server.connect().await;
    let upload = Uploading::begin(&server).await;
    let (data, admin) = (server.running.data, server.running.admin);
    let stopping = tokio::spawn(server.running.shutdown());

    let begun = Instant::now();
    while TcpStream::connect(data).await.is_ok() {
        assert!(begun.elapsed() < SOON, "still accepting");
        time::sleep(Duration::from_millis(10)).await;
    }
    let readyz = ask(admin, "GET /readyz", "").await;
    assert_eq!(readyz.status, 503);
    assert!(readyz.body.contains("[-] draining: failed"), "{readyz:?}");
    assert!(!stopping.is_finished());

    assert_eq!(upload.finish().await.status, 201);
    time::timeout(SOON, stopping)
        .await
        .expect("stopped")
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(admin).await.is_err());
    drop(idle);
}

#[tokio::test]
async fn what_takes_too_long_is_broken_off() {
    let server = Harness::with(|config| config.server.drain_timeout = milliseconds(200)).await;
    let mut upload = Uploading::begin(&server).await;
    time::timeout(SOON, server.running.shutdown())
        .await
        .expect("stopped")
        .unwrap();
    assert!(is_cut(&mut upload.stream).await);
}

#[tokio::test]
async fn a_stopped_server_leaves_its_folder_to_the_next() {
    let server = Harness::new().await;
    server.running.shutdown().await.unwrap();
    let next = start(&server.folder, |_| {}).await.unwrap();
    next.shutdown().await.unwrap();
}
