//! Origins that want a token, and those that give them.

use cache_core::Secret;

use super::*;
use crate::{Forward, Source, testing::Fault};

const SCOPE: &str = "repository:a/b:pull";

/// An origin at `/a` that wants the token `t1`, and the one that gives tokens at `/token`.
struct Guarded {
    rig: Rig,
    tokens: FakeOrigin,
    config: OriginConfig,
}

impl Guarded {
    async fn new() -> Self {
        let rig = Rig::with(impatient()).await;
        let tokens = FakeOrigin::start().await;
        let config = rig.origin.config();
        let guarded = Self {
            rig,
            tokens,
            config,
        };
        guarded.wants("t1");
        guarded.gives(r#"{"token": "t1", "expires_in": 300}"#);
        guarded
    }

    fn wants(&self, token: &str) {
        let challenge = self.challenge(self.tokens.url().join("token").unwrap().as_str());
        let refused = Page::status(401).with("www-authenticate", &challenge);
        let page = Page::new("secret").only_with("authorization", &bearer(token), refused);
        self.rig.origin.serve("/a", page);
    }

    fn challenge(&self, realm: &str) -> String {
        format!("Bearer realm=\"{realm}\",service=\"reg\",scope=\"{SCOPE}\"")
    }

    fn gives(&self, answer: &str) {
        self.tokens.serve("/token", Page::bare(answer.to_owned()));
    }

    fn sends_to(&self, realm: &str) {
        let refused = Page::status(401).with("www-authenticate", &self.challenge(realm));
        self.rig.origin.serve("/a", refused);
    }

    /// Trusts the giver of tokens with a password.
    fn login(mut self, trusted: bool) -> Self {
        self.config.username = Some("ci".to_owned());
        self.config.password = Some(Secret::new("whale".to_owned()));
        if trusted {
            let port = self.tokens.url().port().unwrap();
            self.config.token_hosts = vec![format!("127.0.0.1:{port}")];
        }
        self
    }

    fn resource(&self, path: &str, class: Class) -> Resource {
        let mut resource = resource(std::slice::from_ref(&self.config), path, class);
        resource.sources = vec![resource.sources.remove(0).scoped(SCOPE)];
        resource
    }

    /// One that shares the origin, and its tokens, with another.
    fn beside(&self, other: &Resource, path: &str) -> Resource {
        let mut resource = self.resource(path, INDEX);
        resource.sources = vec![Source {
            url: resource.sources[0].url.clone(),
            ..other.sources[0].clone()
        }];
        resource
    }

    async fn fails(&self) -> String {
        let failed = answer(&self.rig.fetcher, &self.resource("/a", INDEX), Demand::Any).await;
        let told = failed.unwrap_err().to_string();
        let kept = self.rig.fetcher.kept(&self.resource("/a", INDEX)).await;
        assert!(kept.unwrap().is_none(), "{told}");
        told
    }
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

fn authorizations(origin: &FakeOrigin) -> Vec<Option<String>> {
    let asked = origin.asked();
    let said = asked.iter().map(|it| it.headers.get("authorization"));
    said.map(|it| it.map(|it| it.to_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_and_used_for_all_of_its_scope() {
    let guarded = Guarded::new().await;
    let first = guarded.resource("/a", INDEX);
    let (_, bytes) = whole(found(&guarded.rig.fetcher, &first).await).await;
    assert_eq!(bytes, "secret");
    let page = Page::new("b").only_with("authorization", "Bearer t1", Page::status(403));
    guarded.rig.origin.serve("/b", page);
    let second = guarded.beside(&first, "/b");
    let (_, bytes) = whole(found(&guarded.rig.fetcher, &second).await).await;
    assert_eq!(bytes, "b");

    let asked = guarded.tokens.asked();
    assert_eq!(asked.len(), 1);
    let scope = "service=reg&scope=repository%3Aa%2Fb%3Apull";
    assert_eq!(asked[0].path, format!("/token?{scope}"));
    let token = Some(bearer("t1"));
    let said = authorizations(&guarded.rig.origin);
    assert_eq!(said, [None, token.clone(), token]);
}

#[tokio::test]
async fn requests_at_once_share_the_fetch_of_a_token() {
    let guarded = Guarded::new().await;
    let first = guarded.resource("/a", INDEX);
    let slow = Page::bare(r#"{"access_token": "t1"}"#);
    let slow = slow.but(Fault::Slow(8, Duration::from_millis(20)));
    guarded.tokens.serve("/token", slow);
    let others = ["/b", "/c", "/d"].map(|path| {
        let challenge = guarded.challenge(guarded.tokens.url().join("token").unwrap().as_str());
        let refused = Page::status(401).with("www-authenticate", &challenge);
        let page = Page::new(path).only_with("authorization", "Bearer t1", refused);
        guarded.rig.origin.serve(path, page);
        guarded.beside(&first, path)
    });
    let asking = others.iter().map(|it| found(&guarded.rig.fetcher, it));
    for found in futures::future::join_all(asking).await {
        read(&found.unwrap()).await.unwrap();
    }
    assert_eq!(guarded.tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let guarded = Guarded::new().await;
    let resource = guarded.resource("/a", INDEX);
    whole(found(&guarded.rig.fetcher, &resource).await).await;
    settled(&guarded.rig).await;
    // It was taken back; the next one holds.
    guarded.wants("t2");
    guarded.gives(r#"{"token": "t2"}"#);
    guarded.rig.clock.advance(Duration::from_secs(3600));
    let confirmed = found(&guarded.rig.fetcher, &resource).await.unwrap();
    assert_eq!(confirmed.outcome, Outcome::Revalidated);
    let said = authorizations(&guarded.rig.origin);
    let said: Vec<_> = said.iter().map(Option::as_deref).collect();
    let (old, new) = (Some("Bearer t1"), Some("Bearer t2"));
    assert_eq!(said, [None, old, old, new]);
}

#[tokio::test]
async fn an_origin_that_refuses_every_token_is_asked_twice_and_no_more() {
    let guarded = Guarded::new().await;
    guarded.wants("never");
    let resource = guarded.resource("/a", INDEX);
    let refused = refused(&guarded.rig.fetcher, &resource).await;
    assert_eq!(refused.status, 401);
    assert_eq!(guarded.rig.origin.count("/a"), 2);
    assert_eq!(guarded.tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_used() {
    let guarded = Guarded::new().await;
    guarded.gives(r#"{"token": "t1", "expires_in": 0}"#);
    let first = guarded.resource("/a", INDEX);
    whole(found(&guarded.rig.fetcher, &first).await).await;
    guarded.rig.origin.serve("/b", Page::new("b"));
    let second = guarded.beside(&first, "/b");
    whole(found(&guarded.rig.fetcher, &second).await).await;
    assert_eq!(authorizations(&guarded.rig.origin)[2], None);
}

#[tokio::test]
async fn a_login_goes_to_the_giver_of_tokens_only_if_it_is_trusted() {
    for trusted in [true, false] {
        let guarded = Guarded::new().await.login(trusted);
        let resource = guarded.resource("/a", INDEX);
        whole(found(&guarded.rig.fetcher, &resource).await).await;
        let expected = trusted.then(|| "Basic Y2k6d2hhbGU=".to_owned());
        assert_eq!(authorizations(&guarded.tokens), [expected]);
        let said = authorizations(&guarded.rig.origin);
        assert_eq!(said, [None, Some(bearer("t1"))], "never the password");
    }
}

#[tokio::test]
async fn the_origin_itself_may_give_the_tokens_and_gets_the_login() {
    let guarded = Guarded::new().await.login(false);
    let own = guarded.rig.origin.url().join("own").unwrap();
    let refused = Page::status(401).with("www-authenticate", &guarded.challenge(own.as_str()));
    let page = Page::new("secret").only_with("authorization", "Bearer own", refused);
    guarded.rig.origin.serve("/a", page);
    let given = Page::bare(r#"{"token": "own"}"#);
    let given = given.only_with("authorization", "Basic Y2k6d2hhbGU=", Page::status(401));
    guarded.rig.origin.serve("/own", given);
    let resource = guarded.resource("/a", INDEX);
    let (_, bytes) = whole(found(&guarded.rig.fetcher, &resource).await).await;
    assert_eq!(bytes, "secret");
}

#[tokio::test]
async fn a_basic_challenge_is_met_with_the_login() {
    let guarded = Guarded::new().await.login(false);
    let refused = Page::status(401).with("www-authenticate", "Basic realm=\"x\"");
    let page = Page::new("secret");
    let page = page.only_with("authorization", "Basic Y2k6d2hhbGU=", refused.clone());
    guarded.rig.origin.serve("/a", page);
    let first = guarded.resource("/a", INDEX);
    whole(found(&guarded.rig.fetcher, &first).await).await;
    // What it wants is known now.
    guarded.rig.origin.serve("/b", Page::new("b"));
    whole(found(&guarded.rig.fetcher, &guarded.beside(&first, "/b")).await).await;
    let said = authorizations(&guarded.rig.origin);
    assert_eq!(said[0], None);
    assert!(said[1].is_some() && said[2] == said[1], "{said:?}");

    // Who has no login does not try again.
    let nobody = Guarded::new().await;
    nobody.rig.origin.serve("/a", refused);
    let resource = nobody.resource("/a", INDEX);
    assert_eq!(
        super::refused(&nobody.rig.fetcher, &resource).await.status,
        401
    );
    assert_eq!(nobody.rig.origin.count("/a"), 1);
}

#[tokio::test]
async fn a_token_is_told_to_no_host_that_it_redirects_to() {
    let guarded = Guarded::new().await;
    let store = FakeOrigin::start().await;
    store.serve("/signed", Page::new("file"));
    let challenge = guarded.challenge(guarded.tokens.url().join("token").unwrap().as_str());
    let refused = Page::status(401).with("www-authenticate", &challenge);
    let page = Page::redirect(store.url().join("signed").unwrap().as_str());
    let page = page.only_with("authorization", "Bearer t1", refused);
    guarded.rig.origin.serve("/a", page);
    let resource = guarded.resource("/a", INDEX);
    let (_, bytes) = whole(found(&guarded.rig.fetcher, &resource).await).await;
    assert_eq!(bytes, "file");
    assert_eq!(authorizations(&store), [None]);
}

#[tokio::test]
async fn a_giver_of_tokens_that_lies_stalls_or_never_ends_fails_the_request() {
    for (answer, told) in [
        (Page::bare("<html>log in</html>"), "no JSON"),
        (Page::bare("{}"), "no token"),
        (Page::bare(r#"{"token": ""}"#), "no token"),
        (Page::bare(r#"{"token": "a\r\nx: y"}"#), "no token"),
        (Page::bare(r#"{"token": 7}"#), "no JSON"),
        (Page::bare("x").but(Fault::Endless), "too long"),
        (Page::bare(" ".repeat(1 << 20)), "too long"),
        (Page::bare("x").but(Fault::Silent), "no answer"),
        (Page::bare("{}").but(Fault::StallAfter(1)), "no answer"),
        (Page::bare("x").but(Fault::NoAnswer), "127.0.0.1"),
        (Page::status(500), "500"),
        (Page::status(429), "429"),
        (Page::status(401), "401"),
        (Page::redirect("http://169.254.169.254/"), "302"),
    ] {
        let guarded = Guarded::new().await;
        guarded.tokens.serve("/token", answer);
        let said = guarded.fails().await;
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test]
async fn no_token_is_asked_for_at_an_unsafe_or_private_place() {
    let guarded = Guarded::new().await;
    let port = guarded.tokens.url().port().unwrap();
    for (realm, told) in [
        (
            format!("http://localhost:{port}/token"),
            "no public address",
        ),
        (format!("http://127.0.0.2:{port}/token"), "private"),
        ("http://169.254.169.254/token".to_owned(), "private"),
        (format!("http://user:pw@127.0.0.1:{port}/token"), "unsafe"),
        ("ftp://127.0.0.1/token".to_owned(), "unsafe"),
        ("file:///etc/passwd".to_owned(), "unsafe"),
        ("/token".to_owned(), "no URL"),
    ] {
        guarded.sends_to(&realm);
        let said = guarded.fails().await;
        assert!(said.contains(told), "{realm}: {said}");
    }
    assert!(guarded.tokens.asked().is_empty());
}

#[tokio::test]
async fn an_encrypted_origin_gets_no_token_over_plain_http() {
    let config = OriginConfig::from(url::Url::parse("https://packages.example/").unwrap());
    let origin = crate::Origin::new(config).unwrap();
    let trusted = |realm: &str| crate::bearer::trusted(&origin, realm).is_ok();
    assert!(trusted("https://auth.packages.example/token"));
    assert!(!trusted("http://packages.example/token"));
}

#[tokio::test]
async fn what_is_passed_on_has_the_token_too() {
    let guarded = Guarded::new().await;
    let resource = guarded.resource("/a", INDEX);
    let head = Forward {
        method: http::Method::HEAD,
        headers: http::HeaderMap::new(),
        body: Bytes::new(),
    };
    let source = &resource.sources[0];
    let forwarded = guarded.rig.fetcher.forward("test", source, head).await;
    let forwarded = forwarded.unwrap();
    assert_eq!((forwarded.status.as_u16(), forwarded.size), (200, Some(6)));
}

#[tokio::test]
async fn without_a_scope_there_is_no_token_flow() {
    let guarded = Guarded::new().await;
    let plain = resource(std::slice::from_ref(&guarded.config), "/a", INDEX);
    assert_eq!(refused(&guarded.rig.fetcher, &plain).await.status, 401);
    assert!(guarded.tokens.asked().is_empty());
}
