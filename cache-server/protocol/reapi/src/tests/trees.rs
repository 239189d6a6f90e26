//! `GetTree`.

use cache_core::Size;
use cache_proto::reapi::{Directory, DirectoryNode, FileNode, GetTreeRequest, GetTreeResponse};
use prost::Message;

use super::*;

fn directory(files: &[(&str, &Sample)], directories: &[(&str, &Sample)]) -> Sample {
    let message = Directory {
        files: files
            .iter()
            .map(|(name, file)| FileNode {
                name: (*name).to_owned(),
                digest: Some(file.digest.clone()),
                ..FileNode::default()
            })
            .collect(),
        directories: directories
            .iter()
            .map(|(name, directory)| DirectoryNode {
                name: (*name).to_owned(),
                digest: Some(directory.digest.clone()),
            })
            .collect(),
        ..Directory::default()
    };
    sample(message.encode_to_vec())
}

async fn tree(
    server: &Server,
    root: &Sample,
    page_size: i32,
    page_token: &str,
) -> Result<Vec<GetTreeResponse>, Status> {
    let request = GetTreeRequest {
        root_digest: Some(root.digest.clone()),
        page_size,
        page_token: page_token.to_owned(),
        ..GetTreeRequest::default()
    };
    let mut pages = server.cas().get_tree(request).await?.into_inner();
    let mut all = Vec::new();
    while let Some(page) = pages.message().await? {
        all.push(page);
    }
    Ok(all)
}

/// A root with two directories, which both have the same third.
async fn shared(server: &Server) -> [Sample; 4] {
    let leaf = directory(&[("file", &sample("whale"))], &[]);
    let left = directory(&[("left", &sample("l"))], &[("leaf", &leaf)]);
    let right = directory(&[("right", &sample("r"))], &[("leaf", &leaf)]);
    let root = directory(&[], &[("left", &left), ("right", &right)]);
    let all = [root, left, right, leaf];
    for one in &all {
        server.put(one).await;
    }
    all
}

fn encoded(pages: &[GetTreeResponse]) -> Vec<Bytes> {
    let directories = pages.iter().flat_map(|page| &page.directories);
    directories.map(|it| it.encode_to_vec().into()).collect()
}

#[tokio::test]
async fn every_directory_comes_once_and_from_the_top() {
    let server = Server::new();
    let all = shared(&server).await;
    let pages = tree(&server, &all[0], 0, "").await.unwrap();
    assert_eq!((pages.len(), &*pages[0].next_page_token), (1, ""));
    let expected: Vec<_> = all.iter().map(|it| it.bytes.clone()).collect();
    assert_eq!(encoded(&pages), expected);
    assert_eq!(server.last(), Outcome::Hit);
}

#[tokio::test]
async fn pages_are_as_long_as_asked_and_their_tokens_lead_on() {
    let server = Server::new();
    let all = shared(&server).await;
    let expected: Vec<_> = all.iter().map(|it| it.bytes.clone()).collect();
    let pages = tree(&server, &all[0], 3, "").await.unwrap();
    assert_eq!(
        pages
            .iter()
            .map(|it| it.directories.len())
            .collect::<Vec<_>>(),
        [3, 1]
    );
    assert_eq!(encoded(&pages), expected);
    let behind = tree(&server, &all[0], 3, &pages[0].next_page_token)
        .await
        .unwrap();
    assert_eq!(encoded(&behind), expected[3..]);
    for token in ["x", "-1", "5", "99999999999999999999"] {
        let told = tree(&server, &all[0], 3, token).await;
        assert_eq!(code(told), Code::InvalidArgument, "{token}");
    }
    assert_eq!(
        code(tree(&server, &all[0], -1, "").await),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn a_tree_of_many_directories_comes_in_many_messages() {
    let server = Server::new();
    let name = "n".repeat(100_000);
    let mut below: Option<Sample> = None;
    for _ in 0..30 {
        let leaf = sample("leaf");
        let here: Vec<_> = below.iter().map(|it| ("d", it)).collect();
        let next = directory(&[(&name, &leaf)], &here);
        server.put(&next).await;
        below = Some(next);
    }
    let pages = tree(&server, &below.unwrap(), 0, "").await.unwrap();
    assert!(pages.len() >= 3);
    assert_eq!(encoded(&pages).len(), 30);
}

#[tokio::test]
async fn a_tree_is_complete_or_not_found() {
    let server = Server::new();
    let all = shared(&server).await;
    server.forget(&all[3]).await;
    assert_eq!(code(tree(&server, &all[0], 0, "").await), Code::NotFound);
    assert_eq!(server.last(), Outcome::Miss);
    assert_eq!(code(tree(&server, &all[0], 1, "").await), Code::NotFound);
    server.forget(&all[0]).await;
    assert_eq!(code(tree(&server, &all[0], 0, "").await), Code::NotFound);
}

#[tokio::test]
async fn an_empty_directory_is_the_empty_blob() {
    let server = Server::new();
    let pages = tree(&server, &sample(""), 0, "").await.unwrap();
    assert_eq!(pages[0].directories, [Directory::default()]);
}

#[tokio::test]
async fn what_is_no_directory_or_too_many_is_refused() {
    let server = Server::with(ReapiConfig {
        tree_directories: 3,
        document: Size(1000),
        ..ReapiConfig::default()
    });
    let all = shared(&server).await;
    assert_eq!(
        code(tree(&server, &all[0], 0, "").await),
        Code::InvalidArgument
    );
    assert!(tree(&server, &all[1], 0, "").await.is_ok());
    for blob in [sample("\u{7}\u{7}\u{7}"), noise(1001)] {
        server.put(&blob).await;
        assert_eq!(
            code(tree(&server, &blob, 0, "").await),
            Code::InvalidArgument
        );
    }
}
