//! Instances, and who may do what to them.

use cache_core::{Action, Grant};
use cache_proto::{
    google::bytestream::{QueryWriteStatusRequest, ReadRequest, WriteRequest},
    reapi::{
        ActionResult, BatchReadBlobsRequest, BatchUpdateBlobsRequest, FindMissingBlobsRequest,
        GetActionResultRequest, GetCapabilitiesRequest, GetTreeRequest, UpdateActionResultRequest,
    },
};
use futures::stream;

use super::*;

fn someone(grants: &[(&str, Action)], authenticated: bool) -> Identity {
    let grants = grants.iter().map(|(prefix, action)| Grant {
        prefix: (*prefix).to_owned(),
        action: *action,
    });
    Identity::Known(Arc::new(Principal {
        name: "someone".to_owned(),
        grants: grants.collect(),
        authenticated,
    }))
}

fn server(identity: Identity) -> Server {
    Server::known(ReapiConfig::default(), identity)
}

/// What each call says of an instance: the reading ones, then the writing ones.
async fn codes(server: &Server, instance: &str) -> (Vec<Code>, Vec<Code>) {
    let blob = sample("whale");
    let name = || instance.to_owned();
    let prefix = match instance {
        "" => String::new(),
        name => format!("{name}/"),
    };
    fn of<T>(result: Result<T, Status>) -> Code {
        result.map_or_else(|status| status.code(), |_| Code::Ok)
    }
    let find = FindMissingBlobsRequest {
        instance_name: name(),
        ..FindMissingBlobsRequest::default()
    };
    let read = BatchReadBlobsRequest {
        instance_name: name(),
        ..BatchReadBlobsRequest::default()
    };
    let tree = GetTreeRequest {
        instance_name: name(),
        root_digest: Some(sample("").digest),
        ..GetTreeRequest::default()
    };
    let action = GetActionResultRequest {
        instance_name: name(),
        action_digest: Some(blob.digest.clone()),
        ..GetActionResultRequest::default()
    };
    let stream_read = ReadRequest {
        resource_name: format!("{prefix}blobs/{}", sample("").path()),
        ..ReadRequest::default()
    };
    let capabilities = GetCapabilitiesRequest {
        instance_name: name(),
    };
    let reading = vec![
        of(server.cas().find_missing_blobs(find).await),
        of(server.cas().batch_read_blobs(read).await),
        of(server.cas().get_tree(tree).await),
        of(server.bytes().read(stream_read).await),
        of(server.capabilities().get_capabilities(capabilities).await),
        of(server.actions().get_action_result(action).await),
    ];
    let update = BatchUpdateBlobsRequest {
        instance_name: name(),
        ..BatchUpdateBlobsRequest::default()
    };
    let keep = UpdateActionResultRequest {
        instance_name: name(),
        action_digest: Some(blob.digest.clone()),
        action_result: Some(ActionResult::default()),
        ..UpdateActionResultRequest::default()
    };
    let upload = format!(
        "{prefix}uploads/{}/blobs/{}",
        uuid::Uuid::nil(),
        blob.path()
    );
    let write = WriteRequest {
        resource_name: upload.clone(),
        finish_write: true,
        data: blob.bytes.clone(),
        ..WriteRequest::default()
    };
    let query = QueryWriteStatusRequest {
        resource_name: upload,
    };
    let writing = vec![
        of(server.cas().batch_update_blobs(update).await),
        of(server.bytes().write(stream::iter([write])).await),
        of(server.bytes().query_write_status(query).await),
        of(server.actions().update_action_result(keep).await),
    ];
    (reading, writing)
}

#[tokio::test]
async fn who_is_unknown_may_do_nothing_that_is_not_granted_to_all() {
    for server in [
        server(Identity::Rejected),
        server(someone(&[], false)),
        server(someone(&[("other", Action::Write)], false)),
    ] {
        let (reading, writing) = codes(&server, "team").await;
        assert_eq!(reading, [Code::Unauthenticated; 6]);
        assert_eq!(writing, [Code::Unauthenticated; 4]);
        assert_eq!(server.last(), Outcome::Denied);
    }
}

#[tokio::test]
async fn who_is_known_is_told_what_is_not_theirs() {
    let server = server(someone(&[("team", Action::Read)], true));
    let (reading, writing) = codes(&server, "team/app").await;
    assert_eq!(reading[..5], [Code::Ok; 5]);
    assert_eq!(reading[5], Code::NotFound);
    assert_eq!(writing, [Code::PermissionDenied; 4]);
    let (reading, writing) = codes(&server, "teamwork").await;
    assert_eq!(reading, [Code::PermissionDenied; 6]);
    assert_eq!(writing, [Code::PermissionDenied; 4]);
    assert_eq!(server.last(), Outcome::Denied);
}

#[tokio::test]
async fn the_empty_instance_needs_a_grant_on_everything() {
    let all = server(someone(&[("", Action::Write)], true));
    let (reading, writing) = codes(&all, "").await;
    assert_eq!(reading[..5], [Code::Ok; 5]);
    assert_eq!(writing, [Code::Ok; 4]);
    let some = server(someone(&[("team", Action::Write)], true));
    let (reading, _) = codes(&some, "").await;
    assert_eq!(reading, [Code::PermissionDenied; 6]);
}

#[tokio::test]
async fn whoever_may_not_write_is_told_so_beforehand() {
    for (action, expected) in [(Action::Read, false), (Action::Write, true)] {
        let server = server(someone(&[("team", action)], true));
        let request = GetCapabilitiesRequest {
            instance_name: "team".to_owned(),
        };
        let told = server.capabilities().get_capabilities(request).await;
        let cache = told.unwrap().into_inner().cache_capabilities.unwrap();
        let update = cache.action_cache_update_capabilities.unwrap();
        assert_eq!(update.update_enabled, expected);
    }
}

#[tokio::test]
async fn hostile_instance_names_are_refused_whoever_asks() {
    let server = Server::new();
    let long = "a".repeat(401);
    for name in [
        "/",
        "/team",
        "team/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "../etc",
        "a/./b",
        "a\0b",
        "a\nb",
        "a\\b",
        "%2e%2e",
        "a%2fb",
        "blobs",
        "a/uploads/b",
        "actions",
        "actionResults",
        "operations",
        "capabilities",
        "compressed-blobs",
        "a/blobs",
        &long,
    ] {
        let request = FindMissingBlobsRequest {
            instance_name: name.to_owned(),
            ..FindMissingBlobsRequest::default()
        };
        let told = server.cas().find_missing_blobs(request).await;
        assert_eq!(code(told), Code::InvalidArgument, "{name:?}");
    }
    for name in [
        "",
        "main",
        "a/b/c",
        "projects/x/instances/default",
        "Ünï-cödé_1.2",
        "blobs2",
    ] {
        let request = FindMissingBlobsRequest {
            instance_name: name.to_owned(),
            ..FindMissingBlobsRequest::default()
        };
        assert!(
            server.cas().find_missing_blobs(request).await.is_ok(),
            "{name:?}"
        );
    }
}
