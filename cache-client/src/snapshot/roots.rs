//! Which parts of a tree are meant: paths that the user gave, relative to a base.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use super::{
    error::{Error, Result},
    path::TreePath,
};

/// The paths, relative to the base, in their order, without those below others.
///
/// `base` is as the user wrote it, `real` is where it is. A path is not looked up: what
/// it says is what is saved, even where that is a link.
pub(crate) fn parse(base: &Path, real: &Path, paths: &[PathBuf]) -> Result<Vec<TreePath>> {
    let outside = |path: &PathBuf| Error::Outside {
        path: path.clone(),
        base: base.to_owned(),
    };
    let mut roots = Vec::new();
    for path in paths {
        let relative = if path.is_absolute() {
            let inside = path.strip_prefix(real).or_else(|_| path.strip_prefix(base));
            inside.map_err(|_| outside(path))?
        } else {
            path
        };
        let relative = flatten(relative).ok_or_else(|| outside(path))?;
        let root = TreePath::parse(relative.as_os_str().as_bytes());
        roots.push(root.map_err(|flaw| Error::Unsaved {
            path: path.clone(),
            flaw,
        })?);
    }
    roots.sort_unstable();
    // What is below a path comes right behind it.
    roots.dedup_by(|later, earlier| earlier.contains(later));
    Ok(roots)
}

/// Without `.` and `..`; `None` if it leads out.
fn flatten(path: &Path) -> Option<PathBuf> {
    let mut flat = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => flat.push(part),
            Component::ParentDir => flat.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(paths: &[&str]) -> Result<Vec<String>> {
        let paths: Vec<_> = paths.iter().map(PathBuf::from).collect();
        let roots = parse(Path::new("link"), Path::new("/real/base"), &paths)?;
        Ok(roots.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn paths_are_relative_to_the_base_and_apart() {
        let given = ["b/../a", "a/below", "/real/base/c", "./d/", "a-b"];
        assert_eq!(roots(&given).expect("all inside"), ["a", "a-b", "c", "d"]);
        assert_eq!(roots(&["a", "."]).expect("the base itself"), ["."]);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in [
            "..",
            "a/../..",
            "/",
            "/real",
            "/real/basement",
            "/etc/passwd",
        ] {
            assert!(
                matches!(roots(&[path]), Err(Error::Outside { .. })),
                "{path}"
            );
        }
    }
}
