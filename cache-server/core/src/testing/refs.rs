//! The contract of [`RefStore`].

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::future;

use crate::{
    Algorithm, Binding, Change, Digest, Durability, Error, Namespace, Precondition, Ref, RefKey,
    RefStore,
};

/// The contract of [`RefStore`]; `make` gives an empty store each time.
///
/// # Panics
/// At the first clause that does not hold.
pub async fn ref_store<S: RefStore>(make: impl AsyncFn() -> S) {
    an_unbound_key_is_none_not_an_error(&make().await).await;
    what_is_bound_comes_back_unchanged(&make().await).await;
    a_change_is_made_whole_or_not_at_all(&make().await).await;
    lists_are_ordered_and_paged(&make().await).await;
    namespaces_are_ordered_and_exact(&make().await).await;
    one_of_racing_creators_wins(&make().await).await;
    assert!(
        !make().await.to_string().is_empty(),
        "Display prints the stack"
    );
}

fn key(namespace: &str, name: &str) -> RefKey {
    RefKey::new(namespace.parse().unwrap(), name).unwrap()
}

fn leads_to(content: &[u8]) -> Ref {
    Ref {
        target: Digest::sha256(content),
        closure: Vec::new(),
        meta: Bytes::new(),
        writer: "tester".to_owned(),
        written: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
    }
}

fn barrier(bindings: Vec<Binding>) -> Change {
    Change {
        bindings,
        durability: Durability::Barrier,
    }
}

async fn an_unbound_key_is_none_not_an_error(store: &dyn RefStore) {
    assert_eq!(store.resolve(&key("a", "b")).await.unwrap(), None);
    assert_eq!(
        store
            .list(&"a".parse().unwrap(), "", None, 10)
            .await
            .unwrap(),
        []
    );
    assert_eq!(store.namespaces("", None, 10).await.unwrap(), []);
    store
        .bind(barrier(vec![Binding::unset(key("a", "b"))]))
        .await
        .unwrap();
}

async fn what_is_bound_comes_back_unchanged(store: &dyn RefStore) {
    let full = Ref {
        closure: vec![
            Digest::sha256(b"layer"),
            Digest::of(Algorithm::Sha512, b"config"),
        ],
        meta: Bytes::from_static(b"{\"mediaType\":\"x\"}"),
        ..leads_to(b"manifest")
    };
    for (at, durability) in [Durability::Barrier, Durability::Grouped]
        .into_iter()
        .enumerate()
    {
        let key = key("oci/app", &format!("tag/{at}"));
        let bindings = vec![Binding::set(key.clone(), full.clone())];
        store
            .bind(Change {
                bindings,
                durability,
            })
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), Some(full.clone()));
        store
            .bind(barrier(vec![Binding::set(key.clone(), leads_to(b"2"))]))
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), Some(leads_to(b"2")));
        store
            .bind(barrier(vec![Binding::unset(key.clone())]))
            .await
            .unwrap();
        assert_eq!(store.resolve(&key).await.unwrap(), None);
    }
}

async fn a_change_is_made_whole_or_not_at_all(store: &dyn RefStore) {
    let (first, second) = (key("n", "first"), key("n", "second"));
    let unbound = Precondition::Unbound;
    let one = Binding {
        precondition: unbound,
        ..Binding::set(first.clone(), leads_to(b"1"))
    };
    store.bind(barrier(vec![one.clone()])).await.unwrap();

    let both = vec![Binding::set(second.clone(), leads_to(b"2")), one];
    assert!(matches!(
        store.bind(barrier(both)).await,
        Err(Error::Conflict)
    ));
    assert_eq!(
        store.resolve(&second).await.unwrap(),
        None,
        "nothing of it was made"
    );

    let stale = Precondition::Target(Digest::sha256(b"another"));
    let moved = Binding {
        precondition: stale,
        ..Binding::set(first.clone(), leads_to(b"3"))
    };
    assert!(matches!(
        store.bind(barrier(vec![moved.clone()])).await,
        Err(Error::Conflict)
    ));
    let current = Precondition::Target(Digest::sha256(b"1"));
    store
        .bind(barrier(vec![Binding {
            precondition: current,
            ..moved
        }]))
        .await
        .unwrap();
    assert_eq!(store.resolve(&first).await.unwrap(), Some(leads_to(b"3")));
}

async fn lists_are_ordered_and_paged(store: &dyn RefStore) {
    let names = [
        "tag/a", "tag/a-1", "tag/a/b", "tag/b", "tag/ä", "tagged", "u/1",
    ];
    let bindings = names
        .iter()
        .rev()
        .map(|n| Binding::set(key("r", n), leads_to(n.as_bytes())));
    store.bind(barrier(bindings.collect())).await.unwrap();
    for (namespace, name) in [("r/x", "tag/a2"), ("r0", "tag/a3")] {
        let beside = Binding::set(key(namespace, name), leads_to(b"x"));
        store.bind(barrier(vec![beside])).await.unwrap();
    }

    let namespace: Namespace = "r".parse().unwrap();
    let all = store.list(&namespace, "", None, 100).await.unwrap();
    assert_eq!(
        all.iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        names
    );
    assert!(
        all.iter()
            .all(|(name, to)| *to == leads_to(name.as_bytes()))
    );

    let mut paged = Vec::new();
    loop {
        let after = paged.last().map(|(name, _): &(String, Ref)| name.clone());
        let page = store
            .list(&namespace, "tag/", after.as_deref(), 2)
            .await
            .unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(
        paged
            .iter()
            .map(|(name, _)| name.as_str())
            .collect::<Vec<_>>(),
        names[..5]
    );
}

async fn namespaces_are_ordered_and_exact(store: &dyn RefStore) {
    for namespace in ["oci/b", "oci/a/x", "oci/a", "oci/a-b", "other"] {
        for name in ["tag/1", "tag/2"] {
            let binding = Binding::set(key(namespace, name), leads_to(b"1"));
            store.bind(barrier(vec![binding])).await.unwrap();
        }
    }
    let names = async |prefix: &str, after: Option<&str>, limit: usize| {
        let found = store.namespaces(prefix, after, limit).await.unwrap();
        found.into_iter().map(|n| n.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        names("oci/", None, 10).await,
        ["oci/a", "oci/a-b", "oci/a/x", "oci/b"]
    );
    assert_eq!(names("oci/", None, 2).await, ["oci/a", "oci/a-b"]);
    assert_eq!(
        names("oci/", Some("oci/a-b"), 10).await,
        ["oci/a/x", "oci/b"]
    );
    let gone = ["tag/1", "tag/2"].map(|name| Binding::unset(key("oci/a", name)));
    store.bind(barrier(gone.to_vec())).await.unwrap();
    assert_eq!(names("oci/a", None, 10).await, ["oci/a-b", "oci/a/x"]);
}

async fn one_of_racing_creators_wins(store: &dyn RefStore) {
    let key = key("n", "once");
    let creations = (0..8_u8).map(|writer| {
        let to = leads_to(&[writer]);
        let precondition = Precondition::Unbound;
        store.bind(barrier(vec![Binding {
            key: key.clone(),
            to: Some(to),
            precondition,
        }]))
    });
    let won = future::join_all(creations)
        .await
        .into_iter()
        .filter(Result::is_ok)
        .count();
    assert_eq!(won, 1);
}
