//! Who may read what.

use super::*;

impl World {
    fn asked_by(&mut self, authenticated: bool, prefixes: &[&str]) {
        let grants = prefixes.iter().map(|prefix| Grant {
            prefix: (*prefix).to_owned(),
            action: Action::Read,
        });
        let principal = Principal {
            authenticated,
            ..Principal::anonymous(grants.collect())
        };
        self.who = Some(Identity::Known(Arc::new(principal)));
    }
}

#[tokio::test]
async fn whoever_may_not_read_a_registry_reaches_nothing_of_it() {
    let mut world = World::start().await;
    world.publish("whale");
    let paths = [
        "/cargo/config.json",
        "/cargo/ab/cd/abcd",
        "/cargo/dl/abcd/1.0.0/download",
        "/cargo/r/main/config.json",
    ];
    for path in paths {
        for who in [None, Some(Identity::Rejected)] {
            world.who = who;
            let reply = world.get(path).await;
            reply.is(401, Outcome::Denied);
            assert_eq!(reply.header("www-authenticate"), "Basic realm=\"Cachalot\"");
        }
        world.asked_by(false, &["cargo/other", "pypi"]);
        world.get(path).await.is(401, Outcome::Denied);
        world.asked_by(true, &["cargo/other", "pypi"]);
        world.get(path).await.is(403, Outcome::Denied);
    }
    assert_eq!(world.asked(), 0);
    for prefix in ["cargo/main", "cargo", ""] {
        world.asked_by(false, &[prefix]);
        assert_eq!(world.get(paths[1]).await.status, 200, "{prefix:?}");
    }
}

#[tokio::test]
async fn nothing_is_written() {
    let world = World::start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri("/cargo/config.json");
        let reply = world.send(request).await;
        assert_eq!(reply.status, 405);
        assert_eq!(reply.header("allow"), "GET, HEAD");
        assert_eq!(reply.served.outcome, Outcome::Error);
    }
    assert_eq!(world.asked(), 0);
}
