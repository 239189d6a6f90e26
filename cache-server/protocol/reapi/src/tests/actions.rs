//! `ActionCache`.

use cache_core::{Namespace, RefKey, RefStore, Size};
use cache_proto::reapi::{
    ActionResult, Directory, DirectoryNode, FileNode, GetActionResultRequest, OutputDirectory,
    OutputFile, OutputSymlink, Tree, UpdateActionResultRequest, digest_function::Value as Function,
};
use prost::Message;

use super::*;

fn file(path: &str, of: &Sample) -> OutputFile {
    OutputFile {
        path: path.to_owned(),
        digest: Some(of.digest.clone()),
        ..OutputFile::default()
    }
}

fn node(name: &str, of: &Sample) -> FileNode {
    FileNode {
        name: name.to_owned(),
        digest: Some(of.digest.clone()),
        ..FileNode::default()
    }
}

async fn update(
    server: &Server,
    action: &Sample,
    result: &ActionResult,
) -> Result<ActionResult, Status> {
    let function = match action.algorithm {
        Algorithm::Blake3 => Function::Blake3,
        Algorithm::Sha256 | Algorithm::Sha512 => Function::Unknown,
    };
    let request = UpdateActionResultRequest {
        instance_name: "team/app".to_owned(),
        action_digest: Some(action.digest.clone()),
        action_result: Some(result.clone()),
        digest_function: function.into(),
        ..UpdateActionResultRequest::default()
    };
    let answer = server.actions().update_action_result(request).await?;
    Ok(answer.into_inner())
}

fn asking(action: &Sample) -> GetActionResultRequest {
    let function = match action.algorithm {
        Algorithm::Blake3 => Function::Blake3,
        Algorithm::Sha256 | Algorithm::Sha512 => Function::Unknown,
    };
    GetActionResultRequest {
        instance_name: "team/app".to_owned(),
        action_digest: Some(action.digest.clone()),
        digest_function: function.into(),
        ..GetActionResultRequest::default()
    }
}

async fn ask(server: &Server, request: GetActionResultRequest) -> Result<ActionResult, Status> {
    let answer = server.actions().get_action_result(request).await?;
    Ok(answer.into_inner())
}

/// A result with every kind of output, and all blobs that it needs.
fn everything(algorithm: Algorithm) -> (ActionResult, Vec<Sample>) {
    let blob = |text: &str| hashed(text.to_owned(), algorithm);
    let (out, stdout, stderr) = (blob("out"), blob("stdout"), blob("stderr"));
    let (top, below, rooted) = (blob("top"), blob("below"), blob("rooted"));
    let child = Directory {
        files: vec![node("below", &below), node("empty", &blob(""))],
        ..Directory::default()
    };
    let tree = Tree {
        root: Some(Directory {
            files: vec![node("top", &top)],
            ..Directory::default()
        }),
        children: vec![child],
    };
    let tree = hashed(tree.encode_to_vec(), algorithm);
    let inner = Directory {
        files: vec![node("rooted", &rooted)],
        ..Directory::default()
    };
    let inner = hashed(inner.encode_to_vec(), algorithm);
    let root = Directory {
        directories: vec![DirectoryNode {
            name: "inner".to_owned(),
            digest: Some(inner.digest.clone()),
        }],
        ..Directory::default()
    };
    let root = hashed(root.encode_to_vec(), algorithm);
    let result = ActionResult {
        output_files: vec![file("a/out", &out), file("a/empty", &blob(""))],
        output_directories: vec![
            OutputDirectory {
                path: "tree".to_owned(),
                tree_digest: Some(tree.digest.clone()),
                ..OutputDirectory::default()
            },
            OutputDirectory {
                path: String::new(),
                root_directory_digest: Some(root.digest.clone()),
                ..OutputDirectory::default()
            },
        ],
        output_symlinks: vec![OutputSymlink {
            path: "link".to_owned(),
            target: "/anywhere".to_owned(),
            ..OutputSymlink::default()
        }],
        stdout_digest: Some(stdout.digest.clone()),
        stderr_digest: Some(stderr.digest.clone()),
        exit_code: 3,
        ..ActionResult::default()
    };
    let needed = vec![out, stdout, stderr, tree, top, below, root, inner, rooted];
    (result, needed)
}

#[tokio::test]
async fn a_result_comes_back_as_it_was_kept() {
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3, Algorithm::Sha512] {
        let server = Server::new();
        let (result, needed) = everything(algorithm);
        for blob in &needed {
            server.put(blob).await;
        }
        let action = hashed("action", algorithm);
        assert_eq!(code(ask(&server, asking(&action)).await), Code::NotFound);
        assert_eq!(server.last(), Outcome::Miss);
        assert_eq!(update(&server, &action, &result).await.unwrap(), result);
        assert_eq!(server.last(), Outcome::Stored);
        assert_eq!(ask(&server, asking(&action)).await.unwrap(), result);
        assert_eq!(server.last(), Outcome::Hit);
        let elsewhere = GetActionResultRequest {
            instance_name: "team".to_owned(),
            ..asking(&action)
        };
        assert_eq!(code(ask(&server, elsewhere).await), Code::NotFound);
    }
}

#[tokio::test]
async fn a_result_is_not_kept_without_all_of_its_outputs() {
    let (result, needed) = everything(Algorithm::Sha256);
    for absent in 0..needed.len() {
        let server = Server::new();
        for (index, blob) in needed.iter().enumerate() {
            if index != absent {
                server.put(blob).await;
            }
        }
        let action = sample("action");
        let told = update(&server, &action, &result).await.unwrap_err();
        assert_eq!(told.code(), Code::FailedPrecondition, "{absent}");
        assert!(
            told.message().contains(&needed[absent].digest.hash),
            "{told}"
        );
        assert_eq!(code(ask(&server, asking(&action)).await), Code::NotFound);
    }
}

#[tokio::test]
async fn a_result_that_lost_an_output_is_a_miss() {
    for algorithm in [Algorithm::Sha256, Algorithm::Blake3] {
        let (result, needed) = everything(algorithm);
        for lost in 0..needed.len() {
            let server = Server::new();
            for blob in &needed {
                server.put(blob).await;
            }
            let action = hashed("action", algorithm);
            update(&server, &action, &result).await.unwrap();
            server.forget(&needed[lost]).await;
            assert_eq!(
                code(ask(&server, asking(&action)).await),
                Code::NotFound,
                "{lost}"
            );
            assert_eq!(server.last(), Outcome::Miss);
            server.put(&needed[lost]).await;
            assert_eq!(ask(&server, asking(&action)).await.unwrap(), result);
        }
    }
}

#[tokio::test]
async fn the_closure_holds_stored_names_each_once() {
    let server = Server::new();
    let (result, needed) = everything(Algorithm::Blake3);
    for blob in &needed {
        server.put(blob).await;
    }
    let action = hashed("action", Algorithm::Blake3);
    update(&server, &action, &result).await.unwrap();
    let namespace: Namespace = "reapi/team/app".parse().unwrap();
    let key = RefKey::new(namespace, format!("ac/blake3/{}", action.digest.hash)).unwrap();
    let to = server.memory.resolve(&key).await.unwrap().unwrap();
    let mut closure: Vec<_> = to.closure.clone();
    closure.sort();
    let mut expected: Vec<_> = needed.iter().map(|it| Digest::sha256(&it.bytes)).collect();
    expected.sort();
    assert_eq!(closure, expected);
    assert_eq!(to.target, Digest::sha256(&result.encode_to_vec()));
    assert_eq!(to.writer, "anonymous");
}

#[tokio::test]
async fn a_size_that_is_not_the_outputs_is_a_missing_output() {
    let server = Server::new();
    let mut output = sample("out");
    server.put(&output).await;
    output.digest.size_bytes = 4;
    let result = ActionResult {
        output_files: vec![file("out", &output)],
        ..ActionResult::default()
    };
    let told = update(&server, &sample("action"), &result).await;
    assert_eq!(code(told), Code::FailedPrecondition);
}

#[tokio::test]
async fn what_is_inline_or_empty_needs_no_blob() {
    let server = Server::new();
    let unset = reapi::Digest::default();
    let result = ActionResult {
        output_files: vec![
            OutputFile {
                path: "inline".to_owned(),
                contents: Bytes::from("contents"),
                ..OutputFile::default()
            },
            file("empty", &sample("")),
            OutputFile {
                path: "unset".to_owned(),
                digest: Some(unset.clone()),
                ..OutputFile::default()
            },
        ],
        stdout_raw: Bytes::from("out"),
        stdout_digest: Some(unset),
        stderr_digest: Some(sample("").digest),
        ..ActionResult::default()
    };
    let action = sample("action");
    update(&server, &action, &result).await.unwrap();
    assert_eq!(ask(&server, asking(&action)).await.unwrap(), result);
    let nothing = ActionResult::default();
    update(&server, &sample("nothing"), &nothing).await.unwrap();
    assert_eq!(
        ask(&server, asking(&sample("nothing"))).await.unwrap(),
        nothing
    );
}

#[tokio::test]
async fn malformed_results_are_refused() {
    let server = Server::new();
    let (out, junk) = (sample("out"), sample("\u{7}\u{7}\u{7}\u{7}"));
    server.put(&out).await;
    server.put(&junk).await;
    let mut bad = out.clone();
    bad.digest.hash = out.digest.hash.to_uppercase();
    let files = |file: OutputFile| ActionResult {
        output_files: vec![file],
        ..ActionResult::default()
    };
    let directory = |tree, root| ActionResult {
        output_directories: vec![OutputDirectory {
            path: "d".to_owned(),
            tree_digest: tree,
            root_directory_digest: root,
            ..OutputDirectory::default()
        }],
        ..ActionResult::default()
    };
    let nameless = Directory {
        files: vec![FileNode::default()],
        ..Directory::default()
    };
    let tree = Tree {
        root: Some(nameless),
        ..Tree::default()
    };
    let tree = sample(tree.encode_to_vec());
    server.put(&tree).await;
    for wrong in [
        files(file("", &out)),
        files(file("/etc/passwd", &out)),
        files(file("a\0b", &out)),
        files(file("out", &bad)),
        directory(None, None),
        directory(Some(junk.digest.clone()), None),
        directory(None, Some(junk.digest.clone())),
        directory(Some(tree.digest.clone()), None),
        ActionResult {
            stdout_digest: Some(bad.digest.clone()),
            ..ActionResult::default()
        },
        ActionResult {
            output_symlinks: vec![OutputSymlink::default()],
            ..ActionResult::default()
        },
    ] {
        let told = update(&server, &sample("action"), &wrong).await;
        assert_eq!(code(told), Code::InvalidArgument, "{wrong:?}");
    }
    let without = UpdateActionResultRequest {
        action_digest: Some(out.digest.clone()),
        ..UpdateActionResultRequest::default()
    };
    let told = server.actions().update_action_result(without).await;
    assert_eq!(code(told), Code::InvalidArgument);
    let told = ask(&server, GetActionResultRequest::default()).await;
    assert_eq!(code(told), Code::InvalidArgument);
}

#[tokio::test]
async fn what_is_asked_for_comes_inline_while_there_is_room() {
    let server = Server::with(ReapiConfig {
        inline: Size(15),
        ..ReapiConfig::default()
    });
    let (out, err) = (sample("standard"), sample("error"));
    let (one, two) = (sample("1"), sample("too much"));
    for blob in [&out, &err, &one, &two] {
        server.put(blob).await;
    }
    let result = ActionResult {
        output_files: vec![file("two", &two), file("one", &one), file("unasked", &one)],
        stdout_digest: Some(out.digest.clone()),
        stderr_digest: Some(err.digest.clone()),
        ..ActionResult::default()
    };
    let action = sample("action");
    update(&server, &action, &result).await.unwrap();
    let asked = GetActionResultRequest {
        inline_stdout: true,
        inline_stderr: true,
        inline_output_files: vec!["one".to_owned(), "two".to_owned(), "none".to_owned()],
        ..asking(&action)
    };
    let told = ask(&server, asked).await.unwrap();
    assert_eq!(
        (&*told.stdout_raw, &*told.stderr_raw),
        (&b"standard"[..], &b"error"[..])
    );
    let contents: Vec<_> = told.output_files.iter().map(|it| &*it.contents).collect();
    assert_eq!(contents, [&b""[..], b"1", b""]);
    assert_eq!(told.stdout_digest, Some(out.digest));
    // What is kept has nothing of it.
    assert_eq!(ask(&server, asking(&action)).await.unwrap(), result);
}

#[tokio::test]
async fn the_last_result_of_an_action_is_the_one_that_counts() {
    let server = Server::new();
    let action = sample("action");
    for exit_code in [1, 2, 0] {
        let result = ActionResult {
            exit_code,
            ..ActionResult::default()
        };
        update(&server, &action, &result).await.unwrap();
        assert_eq!(ask(&server, asking(&action)).await.unwrap(), result);
    }
}

#[tokio::test]
async fn an_action_of_blake3_is_not_the_one_of_sha256_with_its_hash() {
    let server = Server::new();
    let action = hashed("action", Algorithm::Blake3);
    update(&server, &action, &ActionResult::default())
        .await
        .unwrap();
    let unnamed = GetActionResultRequest {
        digest_function: 0,
        ..asking(&action)
    };
    assert_eq!(code(ask(&server, unnamed).await), Code::NotFound);
}
