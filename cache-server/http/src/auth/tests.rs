use std::{convert::Infallible, fs, path::Path, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use cache_core::{Action, ManualClock, Principal};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use tempfile::TempDir;
use tower::{Layer, ServiceExt, service_fn};

use super::*;
use crate::Identity;

const TOKEN: &str = "cachalot-0123456789abcdef";

/// The lowest cost that bcrypt has: the tests check many passwords.
fn line(user: &str, password: &str) -> String {
    format!("{user}:{}\n", bcrypt::hash(password, 4).unwrap())
}

fn rights(read: &[&str], write: &[&str]) -> Rights {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Rights {
        read: owned(read),
        write: owned(write),
    }
}

struct Bench {
    files: TempDir,
    clock: Arc<ManualClock>,
    authenticator: Authenticator,
}

impl Bench {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let config = config(files.path());
        let clock = Arc::new(ManualClock::default());
        let authenticator = Authenticator::load(config, Arc::clone(&clock) as _).unwrap();
        Self {
            files,
            clock,
            authenticator,
        }
    }

    async fn basic(&self, user: &str, password: &str) -> Identity {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        self.with(&format!("Basic {encoded}")).await
    }

    async fn with(&self, authorization: &str) -> Identity {
        let value = HeaderValue::from_str(authorization).unwrap();
        let request = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        self.authenticator.identify(&request).await
    }

    async fn without(&self) -> Identity {
        self.authenticator.identify(&HeaderMap::new()).await
    }
}

fn config(files: &Path) -> AuthConfig {
    let (htpasswd, token) = (files.join("htpasswd"), files.join("token"));
    fs::write(&htpasswd, line("ci", "secret") + &line("me", "hunter2")).unwrap();
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    let token = Token {
        name: "runner".to_owned(),
        token_file: Some(token),
        sha256: None,
        grants: rights(&[], &["team"]),
    };
    let hashed = Token {
        name: "hashed".to_owned(),
        token_file: None,
        sha256: Some(TokenHash::of(b"another-token-of-some-length")),
        grants: rights(&["*"], &[]),
    };
    AuthConfig {
        htpasswd: Some(htpasswd),
        users: [
            ("ci".to_owned(), rights(&["*"], &["team/app"])),
            ("*".to_owned(), rights(&["team"], &[])),
        ]
        .into(),
        tokens: vec![token, hashed],
        anonymous: config::Anonymous {
            read: vec!["public".to_owned()],
        },
    }
}

#[track_caller]
fn known(identity: &Identity, name: &str) -> Arc<Principal> {
    let principal = identity.known().expect("known");
    assert_eq!(principal.name, name);
    Arc::clone(principal)
}

#[tokio::test]
async fn a_right_password_gives_the_rights_of_its_user() {
    let bench = Bench::new();
    let ci = known(&bench.basic("ci", "secret").await, "ci");
    assert!(ci.authenticated);
    assert!(ci.may(Action::Read, "any/name") && ci.may(Action::Write, "team/app/cache"));
    assert!(!ci.may(Action::Write, "team/application"));
    let me = known(&bench.basic("me", "hunter2").await, "me");
    assert!(me.may(Action::Read, "team/x") && !me.may(Action::Read, "other"));
}

#[tokio::test]
async fn wrong_credentials_are_rejected_never_anonymous() {
    let bench = Bench::new();
    for (user, password) in [
        ("ci", "Secret"),
        ("ci", ""),
        ("ci", "hunter2"),
        ("nobody", "secret"),
        ("*", "secret"),
    ] {
        let identity = bench.basic(user, password).await;
        assert_eq!(identity, Identity::Rejected, "{user}:{password}");
    }
    for header in ["Bearer wrong", "Digest x", "Basic ???", "Bearer secret"] {
        assert_eq!(bench.with(header).await, Identity::Rejected, "{header}");
    }
}

#[tokio::test]
async fn a_token_is_a_bearer_or_anyones_password() {
    let bench = Bench::new();
    let runner = known(&bench.with(&format!("Bearer {TOKEN}")).await, "runner");
    assert!(runner.may(Action::Write, "team/x") && !runner.may(Action::Read, "other"));
    for user in ["", "runner", "ci", "whoever"] {
        known(&bench.basic(user, TOKEN).await, "runner");
    }
    known(
        &bench.with("Bearer another-token-of-some-length").await,
        "hashed",
    );
}

#[tokio::test]
async fn without_credentials_one_is_anonymous() {
    let bench = Bench::new();
    let anonymous = known(&bench.without().await, "anonymous");
    assert!(!anonymous.authenticated);
    assert!(anonymous.may(Action::Read, "public/x") && !anonymous.may(Action::Read, "team"));
    assert!(!anonymous.may(Action::Write, "public/x"));
}

#[tokio::test]
async fn an_open_server_takes_everyone_whatever_they_send() {
    let clock = Arc::new(ManualClock::default());
    let authenticator = Authenticator::load(AuthConfig::default(), clock).unwrap();
    assert!(authenticator.is_open());
    let stale = HeaderMap::from_iter([(header::AUTHORIZATION, "Bearer stale".parse().unwrap())]);
    for request in [HeaderMap::new(), stale] {
        let identity = authenticator.identify(&request).await;
        assert_eq!(**identity.known().unwrap(), Principal::anyone());
    }
}

#[tokio::test]
async fn a_verdict_is_remembered_for_a_minute() {
    let bench = Bench::new();
    let keyring = Passwords::new(&bench);
    assert_eq!(keyring.remembered("ci", "secret"), None);
    bench.basic("ci", "secret").await;
    bench.basic("ci", "wrong").await;
    assert_eq!(keyring.remembered("ci", "secret"), Some(true));
    assert_eq!(keyring.remembered("ci", "wrong"), Some(false));
    bench.clock.advance(Duration::from_secs(61));
    assert_eq!(keyring.remembered("ci", "secret"), None);
    known(&bench.basic("ci", "secret").await, "ci");
    assert_eq!(keyring.remembered("ci", "secret"), Some(true));
}

/// Whether a request is judged without work, seen from outside.
struct Passwords<'a>(&'a Bench);

impl<'a> Passwords<'a> {
    const fn new(bench: &'a Bench) -> Self {
        Self(bench)
    }

    fn remembered(&self, user: &str, password: &str) -> Option<bool> {
        let encoded = STANDARD.encode(format!("{user}:{password}"));
        let value = HeaderValue::try_from(format!("Basic {encoded}")).unwrap();
        let request = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
        match self.0.authenticator.judge(&request) {
            authenticator::Judgement::Clear(identity) => Some(identity.known().is_some()),
            authenticator::Judgement::Open(_) => None,
        }
    }
}

#[tokio::test]
async fn parallel_requests_of_one_client_are_all_judged() {
    let bench = Bench::new();
    let asked = (0..20).map(|_| bench.basic("ci", "secret"));
    for identity in futures::future::join_all(asked).await {
        known(&identity, "ci");
    }
}

#[tokio::test]
async fn changed_files_are_read_again_and_verdicts_forgotten() {
    let bench = Bench::new();
    known(&bench.basic("ci", "secret").await, "ci");
    assert!(!bench.authenticator.refresh().unwrap());

    fs::write(
        bench.files.path().join("htpasswd"),
        line("ci", "a-new-one") + "\n\n",
    )
    .unwrap();
    fs::write(bench.files.path().join("token"), "a-new-token-of-length").unwrap();
    assert!(bench.authenticator.refresh().unwrap());
    assert_eq!(bench.basic("ci", "secret").await, Identity::Rejected);
    known(&bench.basic("ci", "a-new-one").await, "ci");
    assert_eq!(
        bench.with(&format!("Bearer {TOKEN}")).await,
        Identity::Rejected
    );
    known(&bench.with("Bearer a-new-token-of-length").await, "runner");
}

#[tokio::test]
async fn a_bad_file_leaves_the_old_one_in_force() {
    let bench = Bench::new();
    fs::write(bench.files.path().join("htpasswd"), "ci:plain").unwrap();
    bench.authenticator.refresh().unwrap_err();
    known(&bench.basic("ci", "secret").await, "ci");
}

#[test]
fn errors_name_the_field() {
    let files = tempfile::tempdir().unwrap();
    let good = config(files.path());
    let clock = Arc::new(ManualClock::default());
    let error = |change: &dyn Fn(&mut AuthConfig)| {
        let mut config = good.clone();
        change(&mut config);
        let refused = Authenticator::load(config, Arc::clone(&clock) as _);
        refused.unwrap_err().to_string()
    };
    for (told, expected) in [
        (
            error(&|c| c.htpasswd = Some("/none".into())),
            "auth.htpasswd: cannot read /none",
        ),
        (error(&|c| c.users.clear()), "auth.users: no rights for"),
        (
            error(&|c| c.tokens[0].token_file = None),
            "auth.tokens: \"runner\": expected either",
        ),
        (
            error(&|c| c.tokens[0].token_file = Some("/none".into())),
            "auth.tokens \"runner\" token_file: cannot read /none",
        ),
        (
            error(&|c| c.tokens[1].grants.write.push("te*".to_owned())),
            "auth.tokens \"hashed\".write: \"te*\" is not a prefix",
        ),
        (
            error(&|c| c.anonymous.read.push("/x".to_owned())),
            "auth.anonymous.read: \"/x\" is not a prefix",
        ),
    ] {
        assert!(told.contains(expected), "{told}");
    }
    fs::write(files.path().join("token"), "short").unwrap();
    assert!(error(&|_| {}).contains("at least 16 bytes"));
}

#[test]
fn nothing_prints_a_secret() {
    let bench = Bench::new();
    let shown = format!("{:?}", bench.authenticator);
    assert!(shown.contains("runner"), "{shown}");
    assert!(!shown.contains("$2b$") && !shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn the_layer_tells_the_handler_and_the_layers_around() {
    let Bench {
        authenticator,
        files: _files,
        ..
    } = Bench::new();
    let handler = service_fn(async |request: Request<()>| {
        let identity = Identity::of(request.extensions());
        Ok::<_, Infallible>(Response::new(identity))
    });
    let service = Authenticated::new(Arc::new(authenticator)).layer(handler);
    // The first password is checked, the second one remembered.
    for authorization in ["Basic Y2k6c2VjcmV0", "Basic Y2k6c2VjcmV0", "Bearer wrong"] {
        let request = Request::builder()
            .header(header::AUTHORIZATION, authorization)
            .body(())
            .unwrap();
        let response = service.clone().oneshot(request).await.unwrap();
        let seen_around = Identity::of(response.extensions());
        let seen_inside = response.into_body();
        assert_eq!(seen_inside, seen_around);
        assert_eq!(
            seen_inside.known().is_some(),
            authorization.starts_with("Basic")
        );
    }
}

#[test]
fn a_forgotten_layer_opens_nothing() {
    assert_eq!(Identity::of(&http::Extensions::new()), Identity::Rejected);
}
