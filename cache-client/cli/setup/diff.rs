//! What would change, for people.

use std::path::Path;

use similar::TextDiff;

/// A unified diff of a file; `None` is no file.
pub(crate) fn unified(path: &Path, before: Option<&[u8]>, after: Option<&[u8]>) -> String {
    let text =
        |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let name = |bytes: Option<&[u8]>| match bytes {
        Some(_) => path.display().to_string(),
        None => "/dev/null".to_owned(),
    };
    let (old, new) = (text(before), text(after));
    let diff = TextDiff::from_lines(&old, &new);
    diff.unified_diff()
        .context_radius(3)
        .header(&name(before), &name(after))
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_comes_from_nothing() {
        let told = unified(Path::new("/a"), None, Some(b"x\n"));
        assert_eq!(told, "--- /dev/null\n+++ /a\n@@ -0,0 +1 @@\n+x\n");
    }
}
