//! Clients that take the server for their forward proxy.

use cache_proxy::Target;
use cache_upstream::testing::echo;

use super::*;

fn leads_to(to: SocketAddr, private: bool) -> impl FnOnce(&mut Config) {
    move |config| {
        let to = to.to_string();
        config.proxy.connect = vec![Target { to, private }];
        // Far less than a tunnel lasts.
        config.limits.headers = milliseconds(150);
        config.limits.idle = milliseconds(150);
    }
}

async fn connect(server: &Harness, to: &str) -> (TcpStream, String) {
    let mut stream = server.connect().await;
    let request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let byte = time::timeout(SOON, stream.read_u8()).await.unwrap();
        head.push(char::from(byte.unwrap()));
    }
    (stream, head)
}

#[tokio::test]
async fn a_tunnel_to_a_listed_host_lasts_as_long_as_its_ends() {
    let to = echo().await;
    let server = Harness::with(leads_to(to, true)).await;
    let (mut stream, head) = connect(&server, &to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for word in ["whale", "GET / "] {
        // Longer than a client may take for headers, or between requests.
        time::sleep(Duration::from_millis(500)).await;
        stream.write_all(word.as_bytes()).await.unwrap();
        let mut twice = vec![0; 2 * word.len()];
        let read = time::timeout(SOON, stream.read_exact(&mut twice)).await;
        read.unwrap().unwrap();
        assert_eq!(twice, format!("{word}{word}").into_bytes());
    }
    server.until_metric("cachalot_tunnels", "1").await;
    drop(stream);
    server.until_metric("cachalot_tunnels", "0").await;
    server
        .until_metric("cachalot_tunnel_bytes_total", "33")
        .await;
}

#[tokio::test]
async fn no_tunnel_leads_anywhere_else() {
    let to = echo().await;
    let server = Harness::with(leads_to(to, false)).await;
    let (_, head) = connect(&server, "127.0.0.1:22").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    // Listed, but its address is private, and that is not.
    let (_, head) = connect(&server, &to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
}

#[tokio::test]
async fn hosts_of_no_archive_are_refused_and_our_own_is_served() {
    let server = Harness::new().await;
    let elsewhere = server.ask("GET http://elsewhere.example/v2/a").await;
    assert_eq!(elsewhere.status, 403, "{elsewhere:?}");
    let port = server.running.data.port();
    for own in ["127.0.0.1", "localhost"] {
        let here = server.ask(&format!("GET http://{own}:{port}/v2/")).await;
        assert_eq!(here.status, 200, "{here:?}");
    }
}

#[tokio::test]
async fn apts_detection_finds_a_cache_and_nobody_else_a_page() {
    let server = Harness::new().await;
    let apt = server
        .ask("GET /\nUser-Agent: Debian APT-HTTP/1.3 (2.6.1)")
        .await;
    assert!(
        apt.head.starts_with("HTTP/1.1 406 Usage Information"),
        "{apt:?}"
    );
    assert_eq!(server.ask("GET /").await.status, 404);
}
