//! Who may read what, and which registry is asked.

use cache_core::{Action, Grant};
use cache_upstream::OriginConfig;

use super::*;

fn who(authenticated: bool, prefix: &str) -> Option<Identity> {
    let grants = vec![Grant {
        prefix: prefix.to_owned(),
        action: Action::Read,
    }];
    let principal = Principal {
        authenticated,
        ..Principal::anonymous(grants)
    };
    Some(Identity::Known(Arc::new(principal)))
}

/// Two registries: one for a scope, with a token, and the default.
async fn two() -> (Rig, FakeOrigin) {
    let (main, acme) = (FakeOrigin::start().await, FakeOrigin::start().await);
    let private = RegistryConfig {
        origin: OriginConfig {
            token: serde_json::from_value(json!("s3cret")).unwrap(),
            ..acme.config()
        },
        ..registry("acme", &acme, &["@acme"])
    };
    let config = config(vec![private, registry("main", &main, &[])]);
    let rig = Rig::over(main, Memory::default(), UpstreamConfig::default(), config);
    (rig, acme)
}

#[tokio::test]
async fn a_scope_is_asked_of_its_registry_only_even_if_it_has_nothing() {
    let (rig, acme) = two().await;
    rig.publish("@acme/six", "1.0.0", b"evil");
    for path in [
        "/npm/@acme/six",
        "/npm/@acme%2fsix/-/six-1.0.0.tgz",
        "/npm/@acme%2Fsix/latest",
        "/npm/-/package/@acme%2fsix/dist-tags",
        "/npm/-/npm/v1/attestations/@acme%2fsix@1.0.0",
    ] {
        let reply = rig.npm(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    acme.set_down(true);
    assert_eq!(
        rig.npm("/npm/@acme/seven").await.status,
        StatusCode::BAD_GATEWAY
    );
    assert!(rig.origin.asked().is_empty(), "{:?}", rig.origin.asked());
}

#[tokio::test]
async fn credentials_go_to_their_registry_only() {
    let (rig, acme) = two().await;
    rig.publish("six", "1.0.0", b"tar");
    rig.npm("/npm/six").await;
    rig.npm("/npm/@acme/six").await;
    let sent = |origin: &FakeOrigin| origin.asked()[0].headers.get("authorization").cloned();
    assert_eq!(sent(&acme).unwrap(), "Bearer s3cret");
    assert_eq!(sent(&rig.origin), None);
}

#[tokio::test]
async fn the_same_name_in_two_registries_is_two_documents() {
    let (rig, acme) = two().await;
    rig.publish("@acmes/six", "1.0.0", b"tar");
    acme.serve("/@acme%2fsix", json_page(&rig.packument("@acme/six", &[])));
    assert_eq!(rig.npm("/npm/@acme/six").await.json()["name"], "@acme/six");
    assert_eq!(
        rig.npm("/npm/@acmes/six").await.json()["name"],
        "@acmes/six"
    );
    assert_eq!(rig.origin.asked().len(), 1);
}

#[tokio::test]
async fn each_registry_is_a_right_of_its_own() {
    let (rig, acme) = two().await;
    acme.serve("/@acme%2fsix", json_page(&rig.packument("@acme/six", &[])));
    rig.publish("six", "1.0.0", b"tar");
    rig.npm("/npm/@acme/six").await;
    for (identity, path, status) in [
        (who(false, "npm/main"), "/npm/six", 200),
        (who(false, "npm/main"), "/npm/@acme/six", 401),
        (who(true, "npm/main"), "/npm/@acme/six", 403),
        (who(true, "npm/acme"), "/npm/@acme%2Fsix", 200),
        (who(true, "npm/acme"), "/npm/six/-/six-1.0.0.tgz", 403),
        (who(true, "npm/acme"), "/npm/-/v1/search", 403),
        (Some(Identity::Rejected), "/npm/six", 401),
        (None, "/npm/six", 401),
    ] {
        let reply = rig.send_as(identity, Request::get(path), "").await;
        assert_eq!(reply.status.as_u16(), status, "{path}");
        if status == 401 {
            assert_eq!(reply.header("www-authenticate"), "Basic realm=\"Cachalot\"");
        }
        let denied = status != 200;
        assert_eq!(reply.outcome() == Outcome::Denied, denied, "{path}");
    }
}

#[tokio::test]
async fn without_a_default_a_scope_of_nobody_is_not_found() {
    let rig = Rig::with(UpstreamConfig::default(), |config| {
        config.registries[0].scopes.push("@acme".to_owned());
    })
    .await;
    for path in ["/npm/six", "/npm/@other/six", "/npm/-/ping"] {
        assert_eq!(rig.npm(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(rig.origin.asked().is_empty());
}

#[tokio::test]
async fn a_configuration_that_is_none_is_refused() {
    let origin = FakeOrigin::start().await;
    let named = |name: &str, scopes: &[&str]| registry(name, &origin, scopes);
    let refused = |registries| {
        let cache = Cache::new(Arc::new(Memory::default()), Arc::new(Memory::default()));
        let clock = Arc::new(ManualClock::default());
        let fetcher = Fetcher::new(cache, impatient(), clock, &Registry::new());
        Npm::new(fetcher.unwrap(), config(registries)).unwrap_err()
    };
    assert_eq!(refused(vec![]), ConfigError::Empty);
    assert_eq!(
        refused(vec![named("a/b", &[])]),
        ConfigError::Name("a/b".into())
    );
    assert_eq!(
        refused(vec![named("a", &["acme"])]),
        ConfigError::Scope("acme".into())
    );
    let twice = vec![named("a", &["@s"]), named("a", &[])];
    assert_eq!(refused(twice), ConfigError::SameName("a".into()));
    let both = vec![named("a", &["@s"]), named("b", &["@s"])];
    assert_eq!(refused(both), ConfigError::SameScope("@s".into()));
    let defaults = vec![named("a", &[]), named("b", &[])];
    assert_eq!(
        refused(defaults),
        ConfigError::TwoDefaults("a".into(), "b".into())
    );
    let unknown = json!({"registries": [], "registrys": 1});
    assert!(serde_json::from_value::<NpmConfig>(unknown).is_err());
}
