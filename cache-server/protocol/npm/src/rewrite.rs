//! Tarball URLs that lead here: bytes of a document replaced in place, the rest untouched.

use bytes::Bytes;
use cache_core::Digest;
use memchr::memmem;
use url::Url;

use crate::name::PackageName;

/// The key of a packument behind which a tarball's URL stands.
///
/// Within a string the quotes would be escaped, so what is found with both of them bare
/// is no part of one.
const KEY: &[u8] = b"\"tarball\"";

/// From a registry's URLs to ours, or to paths.
#[derive(Debug)]
pub(crate) struct Rewrite {
    from: String,
    to: String,
    /// Tells apart what different rewritings make of the same bytes.
    mode: String,
}

impl Rewrite {
    /// From below `base`, which ends with a slash, to `npm/` below `public`.
    pub(crate) fn to(base: &Url, public: &Url) -> Self {
        let public = public.as_str().trim_end_matches('/');
        Self::new(base, format!("{public}/npm/"))
    }

    /// From below `base` to a path without it: `<name>/-/<file>`.
    pub(crate) fn relative(base: &Url) -> Self {
        Self::new(base, String::new())
    }

    fn new(base: &Url, to: String) -> Self {
        let from = base.to_string();
        let mode = Digest::sha256(format!("{from} {to}").as_bytes()).hex();
        Self {
            from,
            to,
            mode: mode[..8].to_owned(),
        }
    }

    /// Names this rewriting in entity tags and keys.
    pub(crate) fn mode(&self) -> &str {
        &self.mode
    }

    /// The document of a package with every tarball URL leading here that is shaped as
    /// our routes are: `<name>/-/<file>`. Others stay as they are and work as they did.
    pub(crate) fn apply(&self, document: &[u8], name: &PackageName) -> Bytes {
        let names = [
            format!("{name}/-/"),
            format!("{}/-/", name.segment()),
            format!("{}/-/", name.segment().replace("%2f", "%2F")),
        ];
        let ours = |url: &[u8]| {
            let path = url.strip_prefix(self.from.as_bytes());
            path.is_some_and(|path| names.iter().any(|name| path.starts_with(name.as_bytes())))
        };
        let mut edited = Vec::with_capacity(document.len() + document.len() / 16);
        let mut copied = 0;
        for key in memmem::find_iter(document, KEY) {
            let Some(url) = value(document, key) else {
                continue;
            };
            if ours(&document[url..]) {
                edited.extend_from_slice(&document[copied..url]);
                edited.extend_from_slice(self.to.as_bytes());
                copied = url + self.from.len();
            }
        }
        edited.extend_from_slice(&document[copied..]);
        edited.into()
    }
}

/// Where the string behind a key begins, if there is one.
fn value(document: &[u8], key: usize) -> Option<usize> {
    // The end of a string that was escaped: no key of ours.
    if key.checked_sub(1).map(|before| document[before]) == Some(b'\\') {
        return None;
    }
    let colon = skip_space(document, key + KEY.len());
    let quote = skip_space(
        document,
        (document.get(colon)? == &b':').then_some(colon + 1)?,
    );
    (document.get(quote)? == &b'"').then_some(quote + 1)
}

fn skip_space(document: &[u8], from: usize) -> usize {
    let rest = document.get(from..).unwrap_or_default();
    let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace());
    from + space.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(document: &str) -> String {
        let base = "https://packages.example/r/".parse().unwrap();
        let public = "http://cache.example:3142".parse().unwrap();
        apply_by(&Rewrite::to(&base, &public), document)
    }

    fn apply_by(rewrite: &Rewrite, document: &str) -> String {
        let name = PackageName::parse("@s/n").unwrap();
        let edited = rewrite.apply(document.as_bytes(), &name);
        String::from_utf8(edited.to_vec()).unwrap()
    }

    #[test]
    fn every_shape_of_the_key_is_found() {
        let old = "https://packages.example/r/@s/n/-/n-1.tgz";
        let new = "http://cache.example:3142/npm/@s/n/-/n-1.tgz";
        for around in [
            r#"{"tarball":"URL"}"#,
            r#"{"tarball": "URL"}"#,
            "{\"a\":1,\n\t\"tarball\" :\r\n \"URL\" ,\"b\":2}",
            r#"{"tarball":"URL","tarball":"URL"}"#,
            r#"[{"a\\":1,"tarball":"URL"}]"#,
        ] {
            assert_eq!(
                apply(&around.replace("URL", old)),
                around.replace("URL", new)
            );
        }
        let encoded = r#"{"tarball":"https://packages.example/r/@s%2Fn/-/n-1.tgz"}"#;
        assert!(apply(encoded).contains("http://cache.example:3142/npm/@s%2Fn/-/"));
    }

    #[test]
    fn what_is_relative_has_no_host_and_another_mode() {
        let base = "https://packages.example/r/".parse().unwrap();
        let relative = Rewrite::relative(&base);
        for name in ["@s/n", "@s%2fn"] {
            let old = format!(r#"{{"tarball": "https://packages.example/r/{name}/-/n-1.tgz"}}"#);
            let new = format!(r#"{{"tarball": "{name}/-/n-1.tgz"}}"#);
            assert_eq!(apply_by(&relative, &old), new);
        }
        let here = Rewrite::to(&base, &"http://cache.example:3142".parse().unwrap());
        assert_ne!(relative.mode(), here.mode());
    }

    #[test]
    fn nothing_else_is_touched() {
        for document in [
            r#"{"tarball":"https://packages.example/other/@s/n/-/n-1.tgz"}"#,
            r#"{"tarball":"https://packages.example.evil.example/r/@s/n/-/n-1.tgz"}"#,
            r#"{"tarball":"https://packages.example/r/download/n/1"}"#,
            r#"{"tarball":"https://packages.example/r/@s/other/-/n-1.tgz"}"#,
            r#"{"homepage":"https://packages.example/r/@s/n/-/n-1.tgz"}"#,
            r#"{"a":"\"tarball\":\"https://packages.example/r/@s/n/-/n-1.tgz\""}"#,
            r#"{"a\"tarball":"https://packages.example/r/@s/n/-/n-1.tgz"}"#,
            r#"{"tarball":{"https://packages.example/r/@s/n/-/n-1.tgz":1}}"#,
            r#"{"tarball":"#,
            r#"{"tarball""#,
            "",
        ] {
            assert_eq!(apply(document), document);
        }
    }
}
