//! Every way in which an origin may go wrong, for an index and a file of every protocol:
//! nothing wrong completes, nothing wrong is kept, and the next request recovers.

use bytes::Bytes;
use cache_upstream::testing::{FakeOrigin, Fault, Page};
use futures::future::join_all;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::*;

const FILE: &[u8] = b"a file of which the digest is known to someone";
const VERSION: &str = "1.0.0";

/// One protocol: an index, and a file that it promises.
struct Protocol {
    name: &'static str,
    configure: fn(&mut Config, &Value),
    /// Served besides, and never wrong.
    beside: Vec<(&'static str, Page)>,
    index: Thing,
    file: Thing,
}

/// Something that an origin has.
#[derive(Clone)]
struct Thing {
    /// Where its origin has it.
    there: String,
    /// Where clients ask for it.
    here: String,
    page: Page,
    content: Bytes,
}

impl Thing {
    fn new(there: &str, here: String, kind: &str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        Self {
            there: there.to_owned(),
            here,
            page: Page::new(content.clone()).with("content-type", kind),
            content,
        }
    }
}

fn set<T: serde::de::DeserializeOwned>(field: &mut T, value: Value) {
    *field = serde_json::from_value(value).unwrap();
}

fn protocols(origin: &FakeOrigin) -> Vec<Protocol> {
    let url = origin.url();
    let at = |path: &str| format!("{url}{path}");
    let sha256 = Digest::sha256(FILE).hex();
    let octets = "application/octet-stream";
    let authority = url.authority();
    vec![
        apt(authority, &sha256),
        Protocol {
            name: "pypi",
            configure: |config, origin| {
                let simple = below(origin, "simple/");
                let index = json!([{"name": "main", "simple": simple, "files": [origin]}]);
                set(&mut config.pypi.indexes, index);
            },
            beside: Vec::new(),
            index: Thing::new(
                "/simple/six/",
                format!("/t/http/{authority}/simple/six/"),
                "text/html",
                format!(
                    "<!DOCTYPE html><html><body><a href=\"{}#sha256={sha256}\">x</a></body></html>",
                    at("f/six-1.0.0.tar.gz")
                ),
            ),
            file: Thing::new(
                "/f/six-1.0.0.tar.gz",
                format!("/pypi/packages/main/six/http/{authority}/f/six-1.0.0.tar.gz"),
                octets,
                FILE,
            ),
        },
        Protocol {
            name: "npm",
            configure: |config, origin| {
                let registry = json!([{"name": "main", "origin": origin}]);
                set(&mut config.npm.registries, registry);
            },
            beside: Vec::new(),
            index: Thing::new(
                "/six",
                format!("/t/http/{authority}/six"),
                "application/json",
                json!({"name": "six", "dist-tags": {"latest": VERSION}, "versions": {VERSION: {
                    "name": "six", "version": VERSION,
                    "dist": {"tarball": at("six/-/six-1.0.0.tgz"), "integrity": integrity()},
                }}})
                .to_string(),
            ),
            file: Thing::new(
                "/six/-/six-1.0.0.tgz",
                "/npm/six/-/six-1.0.0.tgz".to_owned(),
                octets,
                FILE,
            ),
        },
        Protocol {
            name: "cargo",
            configure: |config, origin| {
                let registry = json!([{"name": "main", "index": origin, "downloads": [origin]}]);
                set(&mut config.cargo.registries, registry);
            },
            beside: vec![(
                "/config.json",
                Page::new(json!({"dl": at("dl")}).to_string()),
            )],
            index: Thing::new(
                "/3/s/six",
                "/cargo/3/s/six".to_owned(),
                "text/plain",
                json!({
                    "name": "six", "vers": VERSION, "deps": [], "cksum": sha256,
                    "features": {}, "yanked": false,
                })
                .to_string()
                    + "\n",
            ),
            file: Thing::new(
                "/dl/six/1.0.0/download",
                "/cargo/dl/six/1.0.0/download".to_owned(),
                octets,
                FILE,
            ),
        },
        oci(authority),
        Protocol {
            name: "file",
            configure: |config, origin| set(&mut config.file.origins, json!([origin])),
            beside: Vec::new(),
            // Nobody promises anything of it, so that it is as its origin has it.
            index: Thing::new("/b", format!("/t/http/{authority}/b"), octets, "b"),
            file: Thing::new(
                "/a",
                format!("/t/http/{authority}/a?cachalot-sha256={sha256}"),
                octets,
                FILE,
            ),
        },
    ]
}

fn apt(authority: &str, sha256: &str) -> Protocol {
    let packages = format!(
        "Package: six\nVersion: 1\nFilename: pool/six_1_all.deb\nSize: {}\nSHA256: {sha256}\n\n",
        FILE.len()
    );
    let release = format!(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nOrigin: Test\nSuite: stable\n\
         Date: Fri, 15 Jan 2027 08:00:00 UTC\nSHA256:\n {} {} main/binary-all/Packages\n\
         -----BEGIN PGP SIGNATURE-----\n\nx\n-----END PGP SIGNATURE-----\n",
        Digest::sha256(packages.as_bytes()).hex(),
        packages.len()
    );
    Protocol {
        name: "apt",
        configure: |config, origin| {
            set(&mut config.apt.archives, json!([{"origin": origin}]));
        },
        beside: vec![(
            "/dists/stable/main/binary-all/Packages",
            Page::new(packages),
        )],
        index: Thing::new(
            "/dists/stable/InRelease",
            format!("/apt/{authority}/dists/stable/InRelease"),
            "application/octet-stream",
            release,
        ),
        file: Thing::new(
            "/pool/six_1_all.deb",
            format!("/apt/{authority}/pool/six_1_all.deb"),
            "application/octet-stream",
            FILE,
        ),
    }
}

fn oci(authority: &str) -> Protocol {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": Digest::sha256(b"{}").to_string()},
        "layers": [],
    });
    let blob = Digest::sha256(FILE);
    let proxied = |path: &str| format!("/v2/proxy/{authority}/app/six/{path}");
    Protocol {
        name: "oci",
        configure: |config, origin| {
            let url: url::Url = origin["url"].as_str().unwrap().parse().unwrap();
            let mirror = json!({"origins": [origin]});
            set(&mut config.oci.mirrors, json!({url.authority(): mirror}));
        },
        beside: Vec::new(),
        index: Thing::new(
            "/v2/app/six/manifests/1",
            proxied("manifests/1"),
            "application/vnd.oci.image.manifest.v1+json",
            manifest.to_string(),
        ),
        file: Thing::new(
            &format!("/v2/app/six/blobs/{blob}"),
            proxied(&format!("blobs/{blob}")),
            "application/octet-stream",
            FILE,
        ),
    }
}

fn below(origin: &Value, path: &str) -> Value {
    let mut origin = origin.clone();
    let url = origin["url"].as_str().unwrap();
    origin["url"] = format!("{url}{path}").into();
    origin
}

fn integrity() -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let digest = Digest::of(cache_core::Algorithm::Sha512, FILE);
    let hex = digest.hex();
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    format!("sha512-{}", STANDARD.encode(bytes))
}

/// What an origin may make of a right answer.
fn faults(thing: &Thing) -> Vec<(&'static str, Page)> {
    let right = &thing.page;
    let whole = thing.content.len() as u64;
    let half = thing.content.len() / 2;
    let portal = "<html><body><form>Log in to this network</form></body></html>";
    let portal = Page::new(portal).with("content-type", "text/html");
    vec![
        ("truncates", right.clone().but(Fault::CloseAfter(half))),
        ("stalls", right.clone().but(Fault::StallAfter(half))),
        ("resets", right.clone().but(Fault::NoAnswer)),
        ("is silent", right.clone().but(Fault::Silent)),
        (
            "says it is longer",
            right.clone().but(Fault::ClaimLength(whole + 9)),
        ),
        (
            "says it is shorter",
            right.clone().but(Fault::ClaimLength(whole / 2)),
        ),
        ("is a portal", portal),
        ("redirects to itself", Page::redirect(&thing.there)),
        (
            "redirects to a private address",
            Page::redirect("http://127.0.0.9:1/"),
        ),
        (
            "redirects to a link-local one",
            Page::redirect("http://169.254.169.254/latest/"),
        ),
        ("unfolds to anything", bomb(right)),
        ("says 304 to nothing", Page::status(304)),
        ("says 429", Page::status(429).with("retry-after", "7")),
        ("says 500", Page::status(500)),
        ("says 503", Page::status(503)),
        ("never ends", right.clone().but(Fault::Endless)),
    ]
}

/// A document that claims to be folded; what it holds does not matter, since what is
/// asked for unfolded must come so.
fn bomb(right: &Page) -> Page {
    right.clone().with("content-encoding", "gzip")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_wrong_of_an_index_completes_or_stays() {
    let names = ["apt", "pypi", "npm", "cargo", "oci"];
    for name in names {
        let rows = faults_of(name, |protocol| &protocol.index).await;
        join_all((0..rows).map(|row| try_row(name, |protocol| &protocol.index, row))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_wrong_of_a_file_completes_or_stays() {
    for name in ["apt", "pypi", "npm", "cargo", "oci", "file"] {
        let rows = faults_of(name, |protocol| &protocol.file).await;
        // And one more: other bytes of the same length.
        join_all((0..=rows).map(|row| try_row(name, |protocol| &protocol.file, row))).await;
    }
}

type Part = fn(&Protocol) -> &Thing;

async fn faults_of(name: &str, part: Part) -> usize {
    let origin = FakeOrigin::start().await;
    faults(part(&protocol(&origin, name))).len()
}

fn protocol(origin: &FakeOrigin, name: &str) -> Protocol {
    let mut all = protocols(origin).into_iter();
    all.find(|protocol| protocol.name == name).unwrap()
}

async fn try_row(name: &'static str, part: Part, row: usize) {
    let origin = FakeOrigin::start().await;
    let protocol = protocol(&origin, name);
    let thing = part(&protocol).clone();
    let others = Page::new(thing.content.to_ascii_uppercase());
    let (fault, wrong) = faults(&thing)
        .into_iter()
        .nth(row)
        .unwrap_or(("changed its bytes", others));
    let what = format!("{name}: {} {fault}", thing.there);

    let place = serde_json::to_value(origin.config()).unwrap();
    let harness = Harness::with(|config| {
        (protocol.configure)(config, &place);
        let patience = milliseconds(700);
        config.upstream.answer_timeout = patience;
        config.upstream.stall_timeout = patience;
        config.upstream.max_document = cache_core::Size::kib(64);
        config.upstream.max_file = cache_core::Size::kib(64);
        config.upstream.failures = 1000;
        config.upstream.negative = Period::seconds(0);
    })
    .await;
    for (path, page) in &protocol.beside {
        origin.serve(path, page.clone());
    }
    origin.serve(&protocol.index.there, protocol.index.page.clone());
    origin.serve(&protocol.file.there, protocol.file.page.clone());
    if thing.there != protocol.index.there {
        // Someone has resolved before.
        assert_eq!(harness.get(&protocol.index.here).await.0, 200, "{what}");
        for (path, _) in &protocol.beside {
            let there = format!("/apt/{}{path}", origin.url().authority());
            harness.get(&there).await;
        }
    }

    origin.serve(&thing.there, wrong);
    let (status, body) = time::timeout(SOON, harness.get(&thing.here))
        .await
        .expect(&what);
    if status == 200 {
        // What completes is right.
        assert!(
            body.is_none() || body == Some(thing.content.clone()),
            "{what}: {body:?}"
        );
    } else {
        assert!((400..600).contains(&status), "{what}: {status}");
    }

    origin.serve(&thing.there, thing.page.clone());
    let begun = Instant::now();
    loop {
        let (status, body) = harness.get(&thing.here).await;
        if status == 200 && body.as_ref() == Some(&thing.content) {
            break;
        }
        assert!(
            begun.elapsed() < SOON,
            "{what}: does not recover, {status} {body:?}"
        );
        time::sleep(Duration::from_millis(50)).await;
    }
}

impl Harness {
    /// Status and body; no body if it breaks off.
    async fn get(&self, path: &str) -> (u16, Option<Bytes>) {
        let stream = self.connect().await;
        let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", "cache")
            .header("user-agent", "npm/11.0.0")
            .body(Empty::<Bytes>::new())
            .unwrap();
        let Ok(response) = client.send_request(request).await else {
            return (502, None);
        };
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        connection.abort();
        (status, body.ok().map(|body| body.to_bytes()))
    }
}
