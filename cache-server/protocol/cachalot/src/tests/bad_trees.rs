//! Documents that break a rule of the format, each with what is said of it.

use cache_proto::cachalot::v1::{Entry, File, Segment, Snapshot, entry::Kind};
use prost::Message;

use super::{
    snapshots::{directory, entry, file},
    *,
};

fn symlink(path: &'static str) -> Entry {
    entry(path, Kind::Symlink(Bytes::from_static(b"/etc")))
}

fn hardlink(path: &'static str, to: &'static str) -> Entry {
    entry(path, Kind::Hardlink(to.into()))
}

fn sized(size: u64, inline: &'static [u8], chunks: Vec<Blob>) -> Entry {
    let inline = Bytes::from_static(inline);
    entry(
        "f",
        Kind::File(File {
            size,
            inline,
            chunks,
        }),
    )
}

#[tokio::test]
async fn a_tree_with_a_bad_entry_is_refused_and_the_entry_named() {
    let sea = Sea::new();
    let (five, long) = (sea.blob("whale").await, "l".repeat(256));
    let short = Blob {
        sha256: Bytes::from_static(&[0; 20]),
        size: 5,
    };
    let rows: Vec<(Vec<Entry>, &str)> = vec![
        (
            vec![directory("/etc")],
            "entry 1, `/etc`: the path is absolute",
        ),
        (vec![directory("..")], "`..`: the path has a part"),
        (
            vec![directory("a"), directory("a/../b")],
            "entry 2, `a/../b`: the path has a part",
        ),
        (
            vec![directory("a"), directory("a/.")],
            "the path has a part",
        ),
        (vec![directory("a"), directory("a//b")], "an empty part"),
        (vec![directory("a/")], "an empty part"),
        (vec![directory("a\0b")], "`a\\x00b`: the path has a NUL"),
        (vec![directory(long)], "255 bytes a part"),
        (vec![file("", Vec::new())], "topmost"),
        (vec![directory("a"), directory("")], "out of order"),
        (vec![directory("b"), directory("a")], "out of order"),
        (vec![directory("a"), directory("a")], "comes twice"),
        (vec![directory("a/b")], "does not come before it"),
        (
            vec![directory(""), directory("a/b")],
            "does not come before it",
        ),
        (
            vec![file("a", Vec::new()), directory("a/b")],
            "is no directory",
        ),
        (
            vec![symlink("a"), file("a/passwd", Vec::new())],
            "is no directory",
        ),
        (
            vec![file("a", Vec::new()), hardlink("b", "a"), directory("b/c")],
            "is no directory",
        ),
        (vec![hardlink("a", "a")], "no earlier file"),
        (vec![hardlink("a", "../passwd")], "the path has a part"),
        (vec![hardlink("a", "/etc/passwd")], "absolute"),
        (vec![symlink("a"), hardlink("b", "a")], "no earlier file"),
        (vec![directory("a"), hardlink("b", "a")], "no earlier file"),
        (
            vec![entry("a", Kind::Symlink(Bytes::new()))],
            "says nothing",
        ),
        (
            vec![entry("a", Kind::Symlink(Bytes::from_static(b"a\0")))],
            "a NUL",
        ),
        (
            vec![Entry {
                kind: None,
                ..directory("a")
            }],
            "neither file nor directory",
        ),
        (
            vec![Entry {
                mode: 0o10000,
                ..directory("a")
            }],
            "permission bits",
        ),
        (
            vec![Entry {
                mtime_nanos: 1_000_000_000,
                ..directory("a")
            }],
            "out of range",
        ),
        (
            vec![sized(1025, &[b'x'; 1025], Vec::new())],
            "in place is longer",
        ),
        (vec![sized(5, b"whale", vec![five.clone()])], "and chunks"),
        (
            vec![sized(6, b"whale", Vec::new())],
            "the content is 5 bytes, the file 6",
        ),
        (
            vec![sized(6, b"", vec![five.clone()])],
            "the content is 5 bytes, the file 6",
        ),
        (
            vec![sized(5, b"", vec![five.clone(), absent("")])],
            "1 to 2097152 bytes",
        ),
        (vec![sized(5, b"", vec![short])], "not of 32 bytes"),
        (
            vec![sized(
                4,
                b"",
                vec![Blob {
                    size: 4,
                    ..five.clone()
                }],
            )],
            "has 5 bytes, not 4",
        ),
    ];
    for (entries, says) in rows {
        let snapshot = sea.tree(&[entries]).await;
        refused(
            sea.create("k", &snapshot).await,
            Code::InvalidArgument,
            says,
        );
    }
}

#[tokio::test]
async fn rules_hold_across_segments() {
    let sea = Sea::new();
    let rows = [
        [vec![directory("b")], vec![directory("a")]],
        [vec![directory("a")], vec![directory("a")]],
        [vec![file("a", Vec::new())], vec![directory("a/b")]],
    ];
    for segments in rows {
        let snapshot = sea.tree(&segments).await;
        let answer = sea.create("k", &snapshot).await;
        refused(answer, Code::InvalidArgument, "segment 1, entry 0, `a");
    }
}

#[tokio::test]
async fn a_document_that_is_no_document_is_refused() {
    let sea = Sea::new();
    let segment = |blob: Blob, entries| Segment {
        blob: Some(blob),
        entries,
    };
    let good = sea.tree(&[vec![directory("a")]]).await;
    let document = good.segments[0].blob.clone().unwrap();
    let bytes = sea.memory.open(&digest(&document)).await.unwrap().unwrap();
    let bytes = bytes.read(1000).await.unwrap();
    let cut = sea.blob(bytes.slice(..bytes.len() - 1)).await;
    let other = sea.blob(&b"\x12\x00"[..]).await;
    let noise = sea
        .blob(&b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"[..])
        .await;
    let broken = sea.blob(&b"\x0a\x02\x0a\x05"[..]).await;
    let with = |blob, entries| {
        let segments = vec![segment(blob, entries)];
        Snapshot {
            segments,
            ..good.clone()
        }
    };
    for (snapshot, says) in [
        (with(cut, 2), "segment 0, entry 1: the document is cut off"),
        (with(other, 1), "something else than entries"),
        (with(noise, 1), "the document is"),
        (with(broken, 1), "segment 0, entry 0: "),
        (with(document.clone(), 3), "segment 0 has 2 entries, not 3"),
        (
            with(document.clone(), 1),
            "segment 0 has more than its 1 entries",
        ),
        (
            with(document.clone(), 65_537),
            "segment 0 has more than 65536 entries",
        ),
        (
            with(
                Blob {
                    size: 1,
                    ..document.clone()
                },
                1,
            ),
            "bytes, not 1",
        ),
        (
            Snapshot {
                format: 2,
                ..good.clone()
            },
            "the format is 2, not 1",
        ),
        (
            Snapshot {
                format: 0,
                ..good.clone()
            },
            "the format is 0, not 1",
        ),
        (
            Snapshot {
                entries: 0,
                ..good.clone()
            },
            "more than 0 entries",
        ),
        (
            Snapshot {
                entries: 3,
                ..good.clone()
            },
            "2 entries and 0 bytes of files, not 3 and 0",
        ),
        (
            Snapshot {
                bytes: 7,
                ..good.clone()
            },
            "2 entries and 0 bytes of files, not 2 and 7",
        ),
        (
            Snapshot {
                entries: u64::MAX,
                ..good.clone()
            },
            "more than 4000000 entries",
        ),
        (
            Snapshot {
                segments: vec![Segment::default()],
                ..good.clone()
            },
            "a segment names no blob",
        ),
    ] {
        refused(
            sea.create("k", &snapshot).await,
            Code::InvalidArgument,
            says,
        );
    }
    let root = sea.blob(&b"\xff\xff\xff"[..]).await;
    refused(
        sea.create_at("k", root, false).await,
        Code::InvalidArgument,
        "root: ",
    );
    let root = sea.blob(good.encode_to_vec()).await;
    let wrong = Blob {
        size: root.size + 1,
        ..root
    };
    refused(
        sea.create_at("k", wrong, false).await,
        Code::InvalidArgument,
        "bytes, not ",
    );
}

#[tokio::test]
async fn there_are_limits_of_everything() {
    let config = CachalotConfig {
        snapshot_root_bytes: cache_core::Size(200),
        snapshot_segment_bytes: cache_core::Size(300),
        snapshot_entries: 4,
        snapshot_blobs: 3,
        ..CachalotConfig::default()
    };
    let sea = Sea::with(config, Principal::anyone());
    let five = ["a", "b", "c", "d", "e"];
    let many = sea.tree(&[five.map(directory).to_vec()]).await;
    refused(
        sea.create("k", &many).await,
        Code::InvalidArgument,
        "more than 4 entries",
    );
    let mut chunks = Vec::new();
    for text in five {
        chunks.push(sea.blob(text).await);
    }
    let needy = sea.tree(&[vec![file("a", chunks)]]).await;
    refused(
        sea.create("k", &needy).await,
        Code::InvalidArgument,
        "too many different blobs",
    );
    let long = sea
        .tree(&[vec![directory("x".repeat(250)), directory("y".repeat(250))]])
        .await;
    refused(
        sea.create("k", &long).await,
        Code::InvalidArgument,
        "more than 300 bytes",
    );
    let rows = five.map(|path| vec![directory(path)]);
    let wide = sea.tree(&rows).await;
    refused(
        sea.create("k", &wide).await,
        Code::InvalidArgument,
        "more than 200 bytes",
    );
    let good = sea.tree(&[vec![directory("a")]]).await;
    sea.create("k", &good).await.unwrap();
}
