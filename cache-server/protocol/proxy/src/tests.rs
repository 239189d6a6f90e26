//! The proxy as clients see it, over real sockets and with a host on loopback.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::Request, middleware, middleware::Next};
use cache_core::{Action, Cache, Grant, Memory, Period, Principal, SystemClock};
use cache_http::Identity;
use cache_upstream::{Fetcher, UpstreamConfig, testing::echo};
use prometheus::Registry;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{ForwardProxy, ProxyConfig, Target};

/// Far more than anything here takes, and far less than a hang.
const SOON: Duration = Duration::from_secs(20);

/// A server behind a proxy.
struct Server {
    address: SocketAddr,
    registry: Registry,
}

fn may_read(prefix: &str) -> Principal {
    let grant = Grant {
        prefix: prefix.to_owned(),
        action: Action::Read,
    };
    Principal::anonymous(vec![grant])
}

async fn serve(config: ProxyConfig, who: Principal) -> Server {
    let memory = Arc::new(Memory::default());
    let cache = Cache::new(Arc::<Memory>::clone(&memory), memory);
    let (registry, clock) = (Registry::new(), Arc::new(SystemClock::default()));
    let fetcher = Fetcher::new(cache, UpstreamConfig::default(), clock, &registry).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let elsewhere = Router::new().fallback(|request: Request| async move {
        let host = request.uri().host().unwrap_or_default().to_owned();
        format!("{host} is elsewhere")
    });
    let own = [address.to_string()];
    let proxy = ForwardProxy::new(fetcher, config, own, elsewhere, &registry).unwrap();
    let here = Router::new().fallback(|| async { "here" });
    let who = Identity::Known(Arc::new(who));
    let identified = middleware::from_fn(move |mut request: Request, next: Next| {
        request.extensions_mut().insert(who.clone());
        next.run(request)
    });
    let app = proxy.before(here).layer(identified);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Server { address, registry }
}

impl Server {
    /// Sends a head and gives the connection and the head of the answer.
    async fn send(&self, head: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("{head}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let byte = timeout(SOON, stream.read_u8()).await.unwrap();
            answer.push(char::from(byte.unwrap()));
        }
        (stream, answer)
    }

    async fn connect(&self, to: &str) -> (TcpStream, String) {
        let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}");
        self.send(&head).await
    }

    async fn get(&self, url: &str) -> String {
        let head = format!("GET {url} HTTP/1.1\r\nHost: x\r\nConnection: close");
        let (mut stream, _) = self.send(&head).await;
        let mut body = String::new();
        stream.read_to_string(&mut body).await.unwrap();
        body
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|it| it.name() == name).unwrap();
        let metric = &family.get_metric()[0];
        metric.get_gauge().get_value() + metric.get_counter().get_value()
    }

    async fn until(&self, name: &str, value: f64) {
        let reached = async {
            while (self.metric(name) - value).abs() > 0.5 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(SOON, reached).await.expect(name);
    }
}

fn leads_to(to: SocketAddr, private: bool) -> ProxyConfig {
    let to = to.to_string();
    ProxyConfig {
        connect: vec![Target { to, private }],
        ..ProxyConfig::default()
    }
}

async fn say(stream: &mut TcpStream, word: &str) {
    stream.write_all(word.as_bytes()).await.unwrap();
    let mut twice = vec![0; 2 * word.len()];
    let read = timeout(SOON, stream.read_exact(&mut twice)).await;
    read.unwrap().unwrap();
    assert_eq!(twice, format!("{word}{word}").into_bytes());
}

#[tokio::test]
async fn a_tunnel_carries_bytes_both_ways_and_counts_them_as_they_pass() {
    let to = echo().await;
    let server = serve(leads_to(to, true), Principal::anyone()).await;
    let (mut stream, head) = server.connect(&to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    say(&mut stream, "whale").await;
    say(&mut stream, "GET / HTTP/1.1").await;
    server.until("cachalot_tunnels", 1.0).await;
    server.until("cachalot_tunnel_bytes_total", 57.0).await;
    drop(stream);
    server.until("cachalot_tunnels", 0.0).await;
}

#[tokio::test]
async fn no_tunnel_leads_to_what_is_not_listed() {
    let to = echo().await;
    let server = serve(leads_to(to, true), Principal::anyone()).await;
    let other_port = format!("127.0.0.1:{}", to.port() ^ 1);
    for other in [
        "127.0.0.1:22",
        &other_port,
        &format!("localhost:{}", to.port()),
        &format!("user@{to}"),
        &server.address.to_string(),
    ] {
        let (_, head) = server.connect(other).await;
        assert!(head.starts_with("HTTP/1.1 40"), "{other}: {head}");
    }
    server.until("cachalot_tunnels", 0.0).await;
}

#[tokio::test]
async fn a_listed_host_with_a_private_address_is_not_reached_unless_it_may_be() {
    let to = echo().await;
    let server = serve(leads_to(to, false), Principal::anyone()).await;
    let (_, head) = server.connect(&to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
}

#[tokio::test]
async fn who_may_not_read_proxy_gets_no_tunnel() {
    let to = echo().await;
    let server = serve(leads_to(to, true), may_read("apt")).await;
    let (_, head) = server.connect(&to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert!(head.to_lowercase().contains("www-authenticate"), "{head}");
    let server = serve(leads_to(to, true), may_read("proxy")).await;
    let (_, head) = server.connect(&to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
}

#[tokio::test]
async fn a_tunnel_too_many_is_refused_until_another_ends() {
    let to = echo().await;
    let config = ProxyConfig {
        tunnels: 1,
        ..leads_to(to, true)
    };
    let server = serve(config, Principal::anyone()).await;
    let (mut first, _) = server.connect(&to.to_string()).await;
    say(&mut first, "whale").await;
    let (_, head) = server.connect(&to.to_string()).await;
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    drop(first);
    let again = async {
        while !server.connect(&to.to_string()).await.1.contains(" 200 ") {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.expect("a place");
}

#[tokio::test]
async fn a_tunnel_that_nobody_uses_ends() {
    let to = echo().await;
    let config = ProxyConfig {
        idle: Period(Duration::from_millis(50)),
        ..leads_to(to, true)
    };
    let server = serve(config, Principal::anyone()).await;
    let (mut stream, _) = server.connect(&to.to_string()).await;
    say(&mut stream, "whale").await;
    let mut rest = Vec::new();
    let ended = timeout(SOON, stream.read_to_end(&mut rest)).await;
    ended.expect("it ends").expect("cleanly");
    server.until("cachalot_tunnels", 0.0).await;
}

#[tokio::test]
async fn other_hosts_are_answered_elsewhere_and_our_own_names_here() {
    let server = serve(ProxyConfig::default(), Principal::anyone()).await;
    let elsewhere = server.get("http://packages.example/debian/a").await;
    assert_eq!(elsewhere, "packages.example is elsewhere");
    assert_eq!(server.get("/v2/").await, "here");
    let own = format!("http://{}/v2/", server.address);
    assert_eq!(server.get(&own).await, "here");
}

#[test]
fn the_host_of_an_https_origin_is_a_target() {
    let target = |url: &str| Target::of_https(&url.parse().unwrap(), false).map(|it| it.to);
    let listed = Some("packages.example:443".to_owned());
    assert_eq!(target("https://packages.example/debian"), listed);
    let odd = Some("packages.example:8443".to_owned());
    assert_eq!(target("https://packages.example:8443/"), odd);
    assert_eq!(target("http://packages.example/debian"), None);
}
