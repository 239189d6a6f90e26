//! The readers of what clients and archives send, one function a fuzz target: none may
//! panic, whatever it is given.

use cache_core::Digest;

use crate::{
    moment::Moment,
    packages::{Packing, Table},
    path::Path,
    release::Release,
    route::{ByHash, Endpoint, Kind, Target, View},
    wanted::Wanted,
};

/// Reads a URL, as below `/apt/` and as of a forward proxy.
///
/// # Panics
/// If a path is taken that climbs, or is not read again as itself.
pub fn routes(input: &[u8]) {
    let Some((_, uri)) = cache_http::fuzzing::asked(input) else {
        return;
    };
    for target in [Target::of_route(&uri), Target::of_proxy(&uri)] {
        let Ok(target) = target else { continue };
        let _ = target.package();
        if let View::AsOf(moment) = target.view {
            assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
        }
        is_inside(&target.path);
        assert_eq!(
            Path::of_url(&target.path.encoded()).as_ref(),
            Some(&target.path)
        );
        if let Endpoint::ByHash(ByHash {
            path, directory, ..
        }) = Endpoint::parse(&target.path)
        {
            assert!(path.below(&directory).is_some());
        }
    }
}

fn is_inside(path: &Path) {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\\');
    assert!(path.segments().all(is_plain), "{path}");
    assert!(!path.as_str().starts_with('/') && !path.as_str().ends_with('/'));
}

/// Reads a release, an index in one of its packings, or what is remembered of clients: the
/// first byte says which.
///
/// # Panics
/// If a path leads out, or what was read is not found.
pub fn indexes(input: &[u8]) {
    let Some((which, rest)) = input.split_first() else {
        return;
    };
    match which % 8 {
        0 => release(Kind::Release, rest),
        1 => release(Kind::Inline, rest),
        2 => release(Kind::Signature, rest),
        3 => table(Packing::Plain, rest),
        4 => table(Packing::Gzip, rest),
        5 => table(Packing::Xz, rest),
        6 => table(Packing::Zstd, rest),
        _ => {
            let wanted = Wanted::of_json(rest);
            let paths = wanted.paths(std::time::SystemTime::UNIX_EPOCH);
            paths.iter().for_each(is_inside);
            let _ = Wanted::of_json(&wanted.to_json());
        }
    }
}

fn release(kind: Kind, bytes: &[u8]) {
    let Ok(release) = Release::parse(kind, bytes) else {
        return;
    };
    assert!(release.is_same_as(&release));
    for file in release.files() {
        is_inside(&file.path);
        let found = release.file(&file.path).expect("it is listed");
        assert_eq!(found.path, file.path);
        let (directory, _) = file.path.split();
        let found = release.by_digest(&directory, &file.digest);
        assert_eq!(found.map(|it| it.digest), Some(file.digest));
    }
}

fn table(packing: Packing, bytes: &[u8]) {
    let table = Table::read(packing, bytes);
    // What takes memory stands in the index, in at least so many bytes.
    if packing == Packing::Plain {
        assert!(table.weight() <= 64 + bytes.len() as u64);
    }
    let whale = Path::of_text("pool/w/whale_1.deb").expect("a path");
    if let Some(found) = table.find(&whale) {
        assert!(found.digest.as_sha256().is_some());
        let _ = Digest::sha256(b"whale") == found.digest;
    }
}

#[cfg(test)]
mod tests {
    use cache_core::testing::replay;

    #[test]
    fn routes_that_were_hard_to_read() {
        replay("routes", super::routes);
    }

    #[test]
    fn indexes_that_were_hard_to_read() {
        replay("apt_indexes", super::indexes);
    }
}
