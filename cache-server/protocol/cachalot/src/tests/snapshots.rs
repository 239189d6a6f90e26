//! Snapshots: bound once every document was read and every blob is here.

use cache_proto::cachalot::v1::{
    CreateSnapshotRequest, Directory, Entry, File, ListRefsRequest, Ref, Segment, SegmentDocument,
    Snapshot, entry::Kind,
};
use prost::Message;

use super::*;

pub(super) fn entry(path: impl Into<Bytes>, kind: Kind) -> Entry {
    Entry {
        path: path.into(),
        mode: 0o644,
        kind: Some(kind),
        ..Entry::default()
    }
}

pub(super) fn directory(path: impl Into<Bytes>) -> Entry {
    entry(path, Kind::Directory(Directory {}))
}

pub(super) fn file(path: impl Into<Bytes>, chunks: Vec<Blob>) -> Entry {
    let size = chunks.iter().map(|chunk| chunk.size).sum();
    let inline = Bytes::new();
    entry(
        path,
        Kind::File(File {
            size,
            inline,
            chunks,
        }),
    )
}

impl Sea {
    /// Uploads the documents of a tree, a segment for each row, whose one root is the
    /// topmost directory: it is put before the others unless it is there.
    pub(super) async fn tree(&self, segments: &[Vec<Entry>]) -> Snapshot {
        let mut segments = segments.to_vec();
        let first = segments.first().and_then(|row| row.first());
        if first.is_none_or(|first| !first.path.is_empty()) {
            match segments.first_mut() {
                Some(row) => row.insert(0, directory("")),
                None => segments.push(vec![directory("")]),
            }
        }
        self.rooted(&[""], &segments).await
    }

    /// The same with these roots.
    pub(super) async fn rooted(&self, roots: &[&'static str], segments: &[Vec<Entry>]) -> Snapshot {
        let root = |root: &&'static str| Bytes::from_static(root.as_bytes());
        let mut snapshot = Snapshot {
            format: 1,
            roots: roots.iter().map(root).collect(),
            ..Snapshot::default()
        };
        for entries in segments {
            let document = SegmentDocument {
                entries: entries.clone(),
            };
            let blob = Some(self.blob(document.encode_to_vec()).await);
            let count = entries.len() as u64;
            snapshot.entries += count;
            snapshot.segments.push(Segment {
                blob,
                entries: count,
            });
            for entry in entries {
                if let Some(Kind::File(file)) = &entry.kind {
                    snapshot.bytes = snapshot.bytes.saturating_add(file.size);
                }
            }
        }
        snapshot
    }

    pub(super) async fn create(&self, key: &str, snapshot: &Snapshot) -> Result<Ref, Status> {
        let root = self.blob(snapshot.encode_to_vec()).await;
        self.create_at(key, root, false).await
    }

    pub(super) async fn create_at(&self, key: &str, root: Blob, only: bool) -> Result<Ref, Status> {
        let request = CreateSnapshotRequest {
            namespace: "team".to_owned(),
            key: key.to_owned(),
            root: Some(root),
            only_if_unbound: only,
        };
        let answer = self.snapshots().create(request).await?;
        Ok(answer.into_inner().r#ref.unwrap())
    }

    async fn snapshot(&self, key: &str) -> Option<Ref> {
        let wanted = candidates([exact("team", key)]);
        let answer = self.snapshots().resolve(wanted).await.unwrap();
        answer.into_inner().r#ref
    }
}

#[tokio::test]
async fn a_tree_is_shown_with_all_that_it_needs() {
    let sea = Sea::new();
    let (one, two) = (sea.blob("one").await, sea.blob("two").await);
    let dangling = entry("src/again", Kind::Hardlink(Bytes::from_static(b"src/file")));
    let top = vec![directory(""), directory("src")];
    let snapshot = sea.tree(&[top, vec![dangling]]).await;
    let answer = sea.create("k", &snapshot).await;
    let says = "segment 1, entry 0, `src/again`: ";
    refused(answer, Code::InvalidArgument, says);

    let linked = vec![
        directory("src"),
        file("src/a", vec![one.clone(), two.clone(), one.clone()]),
        entry("src/b", Kind::Hardlink(Bytes::from_static(b"src/a"))),
        file(&b"src/\xff"[..], vec![one.clone()]),
        entry("src-link", Kind::Symlink(Bytes::from_static(b"/anywhere"))),
    ];
    let snapshot = sea.tree(&[vec![directory("")], linked]).await;
    let bound = sea.create("k", &snapshot).await.unwrap();
    assert_eq!(sea.last(), (Op::Put, Outcome::Stored));
    assert_eq!(bound.closure, 4, "two segments, two chunks");
    assert_eq!(sea.snapshot("k").await, Some(bound));
    assert_eq!(sea.last(), (Op::Get, Outcome::Hit));
    let refs = sea.refs().resolve(candidates([exact("team", "k")])).await;
    assert_eq!(refs.unwrap().into_inner().r#ref, None, "a shelf of its own");

    sea.lose(&two).await;
    assert_eq!(sea.snapshot("k").await, None);
    assert_eq!(sea.last(), (Op::Get, Outcome::Miss));
    sea.blob("two").await;
    assert!(sea.snapshot("k").await.is_some(), "whole again");
}

#[tokio::test]
async fn an_empty_tree_and_an_empty_file_are_trees() {
    let sea = Sea::new();
    let nothing = sea.tree(&[]).await;
    assert_eq!(sea.create("nothing", &nothing).await.unwrap().closure, 1);
    let empty = sea.tree(&[vec![file("empty", Vec::new())]]).await;
    assert_eq!(sea.create("empty", &empty).await.unwrap().closure, 1);
    let inline = File {
        size: 5,
        inline: Bytes::from_static(b"whale"),
        chunks: Vec::new(),
    };
    let inline = sea.tree(&[vec![entry("inline", Kind::File(inline))]]).await;
    assert_eq!(sea.create("inline", &inline).await.unwrap().closure, 1);
}

#[tokio::test]
async fn what_is_missing_is_counted_and_named() {
    let sea = Sea::new();
    let chunks = (0..30).map(|number| absent(&number.to_string())).collect();
    let snapshot = sea.tree(&[vec![file("a", chunks)]]).await;
    let answer = sea.create("k", &snapshot).await;
    refused(
        answer,
        Code::FailedPrecondition,
        "30 blobs are missing: sha256:",
    );
    let mut lost = sea
        .tree(&[vec![directory("a")], vec![directory("b")]])
        .await;
    for segment in &mut lost.segments {
        sea.lose(segment.blob.as_ref().unwrap()).await;
    }
    refused(
        sea.create("k", &lost).await,
        Code::FailedPrecondition,
        "2 blobs are missing",
    );
    let answer = sea.create_at("k", absent("root"), false).await;
    refused(answer, Code::FailedPrecondition, "1 blobs are missing");
    assert_eq!(sea.snapshot("k").await, None);
}

#[tokio::test]
async fn a_key_that_names_its_content_is_not_moved() {
    let sea = Sea::new();
    let (one, two) = (sea.tree(&[]).await, sea.tree(&[vec![directory("a")]]).await);
    let one = sea.blob(one.encode_to_vec()).await;
    let two_root = sea.blob(two.encode_to_vec()).await;
    sea.create_at("k", one.clone(), true).await.unwrap();
    sea.create_at("k", one.clone(), true).await.unwrap();
    let answer = sea.create_at("k", two_root.clone(), true).await;
    refused(answer, Code::Aborted, "bound to something else");
    sea.create_at("k", two_root.clone(), false).await.unwrap();
    sea.lose(two.segments[0].blob.as_ref().unwrap()).await;
    sea.create_at("k", one.clone(), true).await.unwrap();
    assert_eq!(sea.snapshot("k").await.unwrap().target, Some(one));
}

#[tokio::test]
async fn a_large_tree_is_listed_without_its_closure() {
    let sea = Sea::new();
    let mut entries = vec![directory("d")];
    for number in 0..3000 {
        let chunk = sea.blob(format!("{number}")).await;
        entries.push(file(format!("d/{number:05}"), vec![chunk]));
    }
    let parts: Vec<Vec<Entry>> = entries.chunks(700).map(<[Entry]>::to_vec).collect();
    let snapshot = sea.tree(&parts).await;
    let bound = sea.create("k", &snapshot).await.unwrap();
    assert_eq!(bound.closure, 3000 + 5);
    let request = ListRefsRequest {
        namespace: "team".to_owned(),
        ..ListRefsRequest::default()
    };
    let listed = sea.snapshots().list(request).await.unwrap().into_inner();
    assert_eq!(listed.refs, std::slice::from_ref(&bound));
    assert_eq!(sea.snapshot("k").await, Some(bound));
    sea.lose(&absent("1234")).await;
    assert_eq!(sea.snapshot("k").await, None);
}

#[tokio::test]
async fn a_tree_is_below_its_roots() {
    let sea = Sea::new();
    let row = vec![
        directory("a"),
        directory("a/b"),
        file("a/b/c", Vec::new()),
        directory("d"),
    ];
    let rows = [row];
    let good = sea.rooted(&["a/b", "d"], &rows).await;
    sea.create("k", &good).await.unwrap();
    for (roots, says) in [
        (&[][..], "the roots are none"),
        (&["d", "a"], "the roots are none, or not in order"),
        (&["a", "a/b", "d"], "the roots are none, or not in order"),
        (&["a", "../d"], "the path has a part"),
        (&["a"], "`d`: it is outside of what was saved"),
        (&["a", "d", "e"], "a root is not among the entries"),
    ] {
        let snapshot = sea.rooted(roots, &rows).await;
        refused(
            sea.create("k", &snapshot).await,
            Code::InvalidArgument,
            says,
        );
    }
}
