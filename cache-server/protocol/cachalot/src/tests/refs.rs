//! Refs: resolved complete or not at all, bound under preconditions, listed, deleted.

use cache_proto::cachalot::v1::{
    BindRequest, DeleteRefRequest, ListRefsRequest, Ref, bind_request::Precondition,
};

use super::*;

fn bind(namespace: &str, key: &str, target: &Blob) -> BindRequest {
    BindRequest {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
        target: Some(target.clone()),
        ..BindRequest::default()
    }
}

async fn resolved(sea: &Sea, wanted: impl IntoIterator<Item = Candidate>) -> Option<(Ref, u32)> {
    let answer = sea.refs().resolve(candidates(wanted)).await.unwrap();
    let answer = answer.into_inner();
    Some((answer.r#ref?, answer.candidate))
}

fn list(namespace: &str, page_size: u32, page: &str) -> ListRefsRequest {
    ListRefsRequest {
        namespace: namespace.to_owned(),
        page_size,
        page: page.to_owned(),
        ..ListRefsRequest::default()
    }
}

#[tokio::test]
async fn what_is_bound_is_resolved_as_it_was_bound() {
    let sea = Sea::new();
    let (target, other) = (sea.blob("whale").await, sea.blob("krill").await);
    let request = BindRequest {
        closure: vec![other.clone(), other, target.clone()],
        meta: Bytes::from_static(b"\0meta"),
        ..bind("team/app", "k", &target)
    };
    let bound = sea.refs().bind(request).await.unwrap().into_inner();
    assert_eq!(sea.last(), (Op::Put, Outcome::Stored));
    let bound = bound.r#ref.unwrap();
    assert_eq!((&*bound.namespace, &*bound.key), ("team/app", "k"));
    assert_eq!(bound.target.as_ref(), Some(&target));
    assert_eq!((bound.closure, &*bound.meta), (1, &b"\0meta"[..]));
    assert_eq!(bound.writer, "anonymous");
    assert_eq!(bound.written.as_ref().unwrap().seconds, 1_700_000_000);
    let found = resolved(&sea, [exact("team/app", "k")]).await;
    assert_eq!(found, Some((bound, 0)));
    assert_eq!(sea.last(), (Op::Get, Outcome::Hit));
}

#[tokio::test]
async fn the_first_candidate_that_is_whole_wins() {
    let sea = Sea::new();
    let (gone, there) = (sea.blob("gone").await, sea.blob("there").await);
    sea.refs().bind(bind("a", "1", &gone)).await.unwrap();
    sea.refs().bind(bind("b", "2", &there)).await.unwrap();
    sea.lose(&gone).await;
    let wanted = [exact("a", "0"), exact("a", "1"), exact("b", "2")];
    let (found, candidate) = resolved(&sea, wanted).await.unwrap();
    assert_eq!((&*found.key, candidate), ("2", 2));
    assert_eq!(resolved(&sea, [exact("a", "1")]).await, None);
    assert_eq!(sea.last(), (Op::Get, Outcome::Miss));
    assert_eq!(resolved(&sea, []).await, None, "none is none");
}

#[tokio::test]
async fn a_ref_without_a_blob_of_its_closure_is_a_miss() {
    // Kept in the ref, and apart.
    for count in [2, 1000] {
        let sea = Sea::new();
        let target = sea.blob("target").await;
        let mut closure = Vec::new();
        for number in 0..count {
            closure.push(sea.blob(format!("needed {number}")).await);
        }
        let lost = closure[count / 2].clone();
        let request = BindRequest {
            closure,
            ..bind("", "k", &target)
        };
        let bound = sea.refs().bind(request).await.unwrap().into_inner();
        assert_eq!(bound.r#ref.unwrap().closure, count as u64);
        assert!(resolved(&sea, [exact("", "k")]).await.is_some());
        sea.lose(&lost).await;
        assert_eq!(resolved(&sea, [exact("", "k")]).await, None, "{count}");
    }
}

#[tokio::test]
async fn of_a_prefix_the_newest_whole_one_wins() {
    let sea = Sea::new();
    for key in ["deps-c", "deps-a", "deps-b", "other"] {
        let target = sea.blob(key).await;
        sea.tick();
        sea.refs().bind(bind("", key, &target)).await.unwrap();
    }
    let found = async |prefix| Some(resolved(&sea, [beginning("", prefix)]).await?.0.key);
    assert_eq!(found("deps-").await.as_deref(), Some("deps-b"));
    assert_eq!(found("").await.as_deref(), Some("other"));
    assert_eq!(found("none").await, None);
    sea.lose(&absent("deps-b")).await;
    assert_eq!(found("deps-").await.as_deref(), Some("deps-a"));
}

#[tokio::test]
async fn of_too_many_keys_the_first_in_byte_order_are_looked_at() {
    let config = CachalotConfig {
        prefix_scan: 3,
        ..CachalotConfig::default()
    };
    let sea = Sea::with(config, Principal::anyone());
    let target = sea.blob("whale").await;
    for key in ["k1", "k2", "k3", "k4"] {
        sea.tick();
        sea.refs().bind(bind("", key, &target)).await.unwrap();
    }
    let (found, _) = resolved(&sea, [beginning("", "k")]).await.unwrap();
    assert_eq!(found.key, "k3");
}

#[tokio::test]
async fn a_binding_is_refused_while_a_blob_is_missing() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    let closure = (0..12).map(|number| absent(&number.to_string())).collect();
    let request = BindRequest {
        closure,
        ..bind("", "k", &target)
    };
    let answer = sea.refs().bind(request).await;
    refused(
        answer,
        Code::FailedPrecondition,
        "12 blobs are missing: sha256:",
    );
    assert_eq!(sea.last(), (Op::Put, Outcome::Error));
    let answer = sea.refs().bind(bind("", "k", &absent("no"))).await;
    refused(
        answer,
        Code::FailedPrecondition,
        &digest(&absent("no")).to_string(),
    );
    assert_eq!(resolved(&sea, [exact("", "k")]).await, None);
}

#[tokio::test]
async fn a_size_that_is_not_the_stored_one_is_refused() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    let wrong = Blob {
        size: 6,
        ..target.clone()
    };
    let answer = sea.refs().bind(bind("", "k", &wrong)).await;
    refused(answer, Code::InvalidArgument, "has 5 bytes, not 6");
    let closure = vec![Blob {
        size: 4,
        ..sea.blob("krill").await
    }];
    let request = BindRequest {
        closure,
        ..bind("", "k", &target)
    };
    let answer = sea.refs().bind(request).await;
    refused(answer, Code::InvalidArgument, "closure: ");
}

#[tokio::test]
async fn a_precondition_holds_or_nothing_is_changed() {
    let sea = Sea::new();
    let (one, two) = (sea.blob("one").await, sea.blob("two").await);
    let with = |target, precondition| BindRequest {
        precondition: Some(precondition),
        ..bind("", "k", target)
    };
    let leads_to = |blob: &Blob| Precondition::LeadsTo(blob.sha256.clone());
    let answer = sea.refs().bind(with(&one, leads_to(&one))).await;
    refused(answer, Code::Aborted, "");
    sea.refs()
        .bind(with(&one, Precondition::Unbound(true)))
        .await
        .unwrap();
    let answer = sea
        .refs()
        .bind(with(&two, Precondition::Unbound(true)))
        .await;
    refused(answer, Code::Aborted, "bound to something else");
    let answer = sea.refs().bind(with(&two, leads_to(&two))).await;
    refused(answer, Code::Aborted, "");
    let (found, _) = resolved(&sea, [exact("", "k")]).await.unwrap();
    assert_eq!(found.target, Some(one.clone()));
    sea.refs().bind(with(&two, leads_to(&one))).await.unwrap();
    // What nobody can use does not hold its key.
    sea.lose(&two).await;
    sea.refs()
        .bind(with(&one, Precondition::Unbound(true)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_list_goes_on_where_its_page_ended() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    for number in 0..7 {
        sea.refs()
            .bind(bind("a", &format!("k{number}"), &target))
            .await
            .unwrap();
    }
    sea.refs()
        .bind(bind("ab", "elsewhere", &target))
        .await
        .unwrap();
    let (mut keys, mut page) = (Vec::new(), String::new());
    loop {
        let answer = sea
            .refs()
            .list(list("a", 3, &page))
            .await
            .unwrap()
            .into_inner();
        assert!(answer.refs.len() <= 3);
        keys.extend(answer.refs.into_iter().map(|it| it.key));
        page = answer.next_page;
        if page.is_empty() {
            break;
        }
    }
    assert_eq!(keys, ["k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    assert_eq!(sea.last(), (Op::List, Outcome::Bypass));
    let request = ListRefsRequest {
        prefix: "k6".to_owned(),
        ..list("a", 0, "")
    };
    let answer = sea.refs().list(request).await.unwrap().into_inner();
    assert_eq!((answer.refs.len(), &*answer.next_page), (1, ""));
    for page in ["!", "AAAA", "c25hcHNob3QvazE"] {
        let answer = sea.refs().list(list("a", 3, page)).await;
        refused(answer, Code::InvalidArgument, "page: ");
    }
}

#[tokio::test]
async fn a_page_stays_below_what_clients_take() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    for number in 0..60 {
        let meta = Bytes::from(vec![b'm'; 64 << 10]);
        let request = BindRequest {
            meta,
            ..bind("", &format!("{number:02}"), &target)
        };
        sea.refs().bind(request).await.unwrap();
    }
    let first = sea.refs().list(list("", 0, "")).await.unwrap().into_inner();
    assert!((40..50).contains(&first.refs.len()), "{}", first.refs.len());
    let rest = sea
        .refs()
        .list(list("", 0, &first.next_page))
        .await
        .unwrap();
    assert_eq!(first.refs.len() + rest.into_inner().refs.len(), 60);
}

#[tokio::test]
async fn what_is_deleted_is_unbound() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    sea.refs().bind(bind("", "k", &target)).await.unwrap();
    let delete = async || {
        let (namespace, key) = (String::new(), "k".to_owned());
        let answer = sea.refs().delete(DeleteRefRequest { namespace, key }).await;
        answer.unwrap().into_inner().existed
    };
    assert!(delete().await);
    assert_eq!(sea.last(), (Op::Delete, Outcome::Bypass));
    assert!(!delete().await);
    assert_eq!(resolved(&sea, [exact("", "k")]).await, None);
}

#[tokio::test]
async fn a_namespace_takes_its_right() {
    let reader = Sea::with(CachalotConfig::default(), someone(Action::Read, "team"));
    let target = reader.blob("whale").await;
    let answer = reader.refs().bind(bind("team", "k", &target)).await;
    refused(answer, Code::PermissionDenied, "the right of writing team");
    assert_eq!(reader.last(), (Op::Put, Outcome::Denied));
    let wanted = candidates([exact("team/app", "k"), exact("teamwork", "k")]);
    refused(
        reader.refs().resolve(wanted).await,
        Code::PermissionDenied,
        "teamwork",
    );
    refused(
        reader.refs().list(list("", 0, "")).await,
        Code::PermissionDenied,
        "everything",
    );
    assert_eq!(resolved(&reader, [exact("team/app", "k")]).await, None);

    let nobody = Sea::with(CachalotConfig::default(), Principal::anonymous(Vec::new()));
    let answer = nobody
        .refs()
        .resolve(candidates([exact("team", "k")]))
        .await;
    refused(answer, Code::Unauthenticated, "");

    let writer = Sea::with(CachalotConfig::default(), someone(Action::Write, "team"));
    let target = writer.blob("whale").await;
    let bound = writer
        .refs()
        .bind(bind("team", "k", &target))
        .await
        .unwrap();
    assert_eq!(bound.into_inner().r#ref.unwrap().writer, "ahab");
}

#[tokio::test]
async fn bad_requests_name_the_field() {
    let sea = Sea::new();
    let target = sea.blob("whale").await;
    let good = || bind("team", "k", &target);
    let short = Bytes::from_static(&[0; 31]);
    let long = Blob {
        sha256: Bytes::from_static(&[0; 33]),
        size: 1,
    };
    for (request, field) in [
        (bind("../etc", "k", &target), "namespace: "),
        (bind("team/blobs", "k", &target), "namespace: "),
        (bind("team", "", &target), "key: "),
        (bind("team", "a\u{0}b", &target), "key: "),
        (bind("team", &"k".repeat(481), &target), "key: "),
        (
            BindRequest {
                target: None,
                ..good()
            },
            "target: ",
        ),
        (
            bind(
                "team",
                "k",
                &Blob {
                    sha256: short.clone(),
                    size: 1,
                },
            ),
            "target: ",
        ),
        (
            BindRequest {
                closure: vec![long],
                ..good()
            },
            "closure: ",
        ),
        (
            BindRequest {
                meta: vec![0; (64 << 10) + 1].into(),
                ..good()
            },
            "meta: ",
        ),
        (
            BindRequest {
                precondition: Some(Precondition::LeadsTo(short)),
                ..good()
            },
            "leads_to: ",
        ),
    ] {
        refused(sea.refs().bind(request).await, Code::InvalidArgument, field);
    }
    let many = candidates((0..65).map(|_| exact("", "k")));
    refused(
        sea.refs().resolve(many).await,
        Code::InvalidArgument,
        "candidates: ",
    );
    let empty = candidates([exact("", "")]);
    refused(
        sea.refs().resolve(empty).await,
        Code::InvalidArgument,
        "candidates.key: ",
    );
    let long = beginning("", &"k".repeat(481));
    refused(
        sea.refs().resolve(candidates([long])).await,
        Code::InvalidArgument,
        "candidates.key",
    );
}

#[tokio::test]
async fn a_message_beyond_the_limit_is_refused() {
    let message_bytes = cache_core::Size(1000);
    let config = CachalotConfig {
        message_bytes,
        ..CachalotConfig::default()
    };
    let sea = Sea::with(config, Principal::anyone());
    let target = sea.blob("whale").await;
    let closure = vec![target.clone(); 100];
    let answer = sea
        .refs()
        .bind(BindRequest {
            closure,
            ..bind("", "k", &target)
        })
        .await;
    refused(answer, Code::OutOfRange, "too large");
    assert_eq!(sea.last(), (Op::Put, Outcome::Error));
}
