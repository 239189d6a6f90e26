//! A release: the document that says which bytes a suite consists of.
//!
//! Debian wiki, "DebianRepository/Format": fields as in a control file, of which `SHA256`
//! lists `<hex> <size> <path>`, a line each. `InRelease` is the same, signed in line
//! (RFC 9580, 7). Signatures are not verified here: clients do that.

use std::time::SystemTime;

use cache_core::{Algorithm, Digest};

use crate::{path::Path, route::Kind};

/// No archive's release is longer.
const LONGEST: usize = 16 << 20;

const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";

/// What a release says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Release {
    /// When it was made.
    pub(crate) date: Option<SystemTime>,
    /// Whether its indexes are found by their hashes, too.
    pub(crate) by_hash: bool,
    /// Its files, in the order of their paths.
    files: Vec<File>,
}

/// One line of it. The path is below the suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: Path,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    sha512: Option<Box<Digest>>,
}

impl Release {
    /// Reads a document of this kind; a signature has nothing to be read.
    ///
    /// # Errors
    /// What it is instead.
    pub(crate) fn parse(kind: Kind, bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > LONGEST {
            return Err(format!("it is longer than {LONGEST} bytes"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text".to_owned())?;
        match kind {
            Kind::Inline => Self::fields(signed(text)?),
            Kind::Release => Self::fields(text),
            Kind::Signature if text.contains(SIGNATURE) && text.contains(END) => {
                Ok(Self::default())
            }
            Kind::Signature => Err("it is no signature".to_owned()),
        }
    }

    fn fields(text: &str) -> Result<Self, String> {
        let mut release = Self::default();
        let (mut field, mut listed, mut long) = ("", false, Vec::new());
        for line in text.lines() {
            // Lines that begin with a dash are escaped in a signed text.
            let line = line.strip_prefix("- ").unwrap_or(line);
            if let Some(entry) = line.strip_prefix([' ', '\t']) {
                match field {
                    "SHA256" => release.files.push(File::parse(entry, Algorithm::Sha256)?),
                    "SHA512" => long.push(File::parse(entry, Algorithm::Sha512)?),
                    _ => {}
                }
                continue;
            }
            if line.trim().is_empty() {
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err("it has a line that is no field".to_owned());
            };
            field = name;
            match name {
                "Date" => release.date = date(value.trim()),
                "Acquire-By-Hash" => release.by_hash = value.trim() == "yes",
                "SHA256" => listed = true,
                _ => {}
            }
        }
        if !listed {
            return Err("it lists no files with SHA256".to_owned());
        }
        release.files.sort_by(|a, b| a.path.cmp(&b.path));
        for file in long {
            if let Some(at) = release.at(&file.path) {
                release.files[at].sha512 = Some(Box::new(file.digest));
            }
        }
        Ok(release)
    }

    fn at(&self, path: &Path) -> Option<usize> {
        self.files.binary_search_by(|it| it.path.cmp(path)).ok()
    }

    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    /// What it says of a path.
    pub(crate) fn file(&self, path: &Path) -> Option<&File> {
        self.at(path).map(|at| &self.files[at])
    }

    /// The file of a directory that has this digest.
    pub(crate) fn by_digest(&self, directory: &Path, digest: &Digest) -> Option<&File> {
        self.files.iter().find(|file| {
            let is_it = match digest.algorithm() {
                Algorithm::Sha512 => file.sha512.as_deref() == Some(digest),
                Algorithm::Sha256 | Algorithm::Blake3 => file.digest == *digest,
            };
            is_it && file.path.split().0 == *directory
        })
    }

    /// Whether two documents describe the same state of a suite.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        self.date == other.date && self.files == other.files
    }
}

impl File {
    /// `<hex> <size> <path>`.
    fn parse(entry: &str, algorithm: Algorithm) -> Result<Self, String> {
        let wrong = || "it has a line that is no hash, size and path".to_owned();
        let mut words = entry.split_whitespace();
        let (Some(hex), Some(size), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong());
        };
        let digest = format!("{}:{}", algorithm.name(), hex.to_ascii_lowercase());
        Ok(Self {
            path: Path::of_text(path).ok_or_else(wrong)?,
            digest: digest.parse().map_err(|_| wrong())?,
            size: size.parse().map_err(|_| wrong())?,
            sha512: None,
        })
    }
}

/// The text between the header and the signature, both of which must be whole.
fn signed(text: &str) -> Result<&str, String> {
    let no = || "it is not signed in line".to_owned();
    let message = text.trim_start().strip_prefix(SIGNED).ok_or_else(no)?;
    let (message, signature) = message.split_once(SIGNATURE).ok_or_else(no)?;
    if !signature.contains(END) {
        return Err("its signature is cut off".to_owned());
    }
    // Armour headers end with an empty line (RFC 9580, 6.2).
    let lines = message.split_once("\n\n");
    let lines = lines.or_else(|| message.split_once("\r\n\r\n"));
    lines.map(|(_, body)| body).ok_or_else(no)
}

/// A date as `date -R -u` and its like write them, in UTC under any of its names.
fn date(text: &str) -> Option<SystemTime> {
    let words: Vec<_> = text.split_whitespace().collect();
    let [
        weekday,
        day,
        month,
        year,
        time,
        "UTC" | "GMT" | "Z" | "+0000",
    ] = words.as_slice()
    else {
        return None;
    };
    let normal = format!("{weekday} {day:0>2} {month} {year} {time:0>8} GMT");
    httpdate::parse_http_date(&normal).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> String {
        let hex = Digest::sha256(b"x").hex();
        format!(
            "Origin: Test\nDate: Sat, 21 Nov 2026 10:00:00 UTC\nAcquire-By-Hash: yes\n\
             MD5Sum:\n 0123 1 main/Packages\nSHA256:\n {hex} 1 main/Packages\n"
        )
    }

    fn inline(body: &str) -> String {
        format!("{SIGNED}\nHash: SHA256\n\n{body}{SIGNATURE}\n\nxxxx\n{END}\n")
    }

    #[test]
    fn both_forms_say_the_same() {
        let release = Release::parse(Kind::Release, listing().as_bytes()).unwrap();
        let signed = Release::parse(Kind::Inline, inline(&listing()).as_bytes()).unwrap();
        assert!(release.is_same_as(&signed) && release.by_hash);
        let path = Path::of_text("main/Packages").unwrap();
        let file = release.file(&path).unwrap();
        assert_eq!((file.digest, file.size), (Digest::sha256(b"x"), 1));
        let found = release.by_digest(&Path::of_text("main").unwrap(), &file.digest);
        assert_eq!(found, Some(file));
        assert_eq!(release.by_digest(&Path::default(), &file.digest), None);
    }

    #[test]
    fn the_hash_of_another_algorithm_leads_to_the_same_file() {
        let long = Digest::of(Algorithm::Sha512, b"x");
        let text = format!("{}SHA512:\n {} 1 main/Packages\n", listing(), long.hex());
        let release = Release::parse(Kind::Release, text.as_bytes()).unwrap();
        let found = release.by_digest(&Path::of_text("main").unwrap(), &long);
        assert_eq!(found.unwrap().digest, Digest::sha256(b"x"));
    }

    #[test]
    fn what_is_no_release_is_refused() {
        let cut = &inline(&listing())[..200];
        let whole = inline(&listing());
        for (kind, text) in [
            (Kind::Inline, "<html>Log in to the network</html>"),
            (Kind::Release, "<html><body>Log in: here</body></html>"),
            (Kind::Signature, "<html>Log in</html>"),
            (Kind::Inline, &*listing()),
            (Kind::Inline, cut),
            (
                Kind::Inline,
                whole.trim_end().strip_suffix("-----").unwrap(),
            ),
            (Kind::Release, ""),
            (Kind::Release, "Origin: Test\nSuite: stable\n"),
            (Kind::Release, "SHA256:\n 0123 1 main/Packages\n"),
            (Kind::Release, &listing().replace("main/", "../../")),
            (Kind::Release, &listing().replace(" 1 ", " x ")),
        ] {
            assert!(Release::parse(kind, text.as_bytes()).is_err(), "{text}");
        }
        assert!(Release::parse(Kind::Release, &[0xff, 0xfe]).is_err());
        assert!(Release::parse(Kind::Release, &vec![b' '; LONGEST + 1]).is_err());
    }

    #[test]
    fn dates_are_read_as_archives_write_them() {
        let expected = date("Sun, 01 Nov 2026 08:05:09 UTC");
        assert!(expected.is_some());
        for text in [
            "Sun, 1 Nov 2026 8:05:09 GMT",
            "Sun,  1 Nov 2026 08:05:09 +0000",
            "Sun, 01 Nov 2026 08:05:09 Z",
        ] {
            assert_eq!(date(text), expected, "{text}");
        }
        assert_eq!(date("yesterday"), None);
    }
}
