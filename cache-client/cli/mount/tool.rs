//! This program as a build context: it must run where there is no other file.
//!
//! A program that is linked statically does so as it is. Of any other the context has the
//! loader that it names (`PT_INTERP`) and the libraries that this loader finds for it, and
//! the loader is what is started: it takes the program for its argument, and looks for
//! libraries where it is told. So whatever built this program, no second build is needed.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// Where a RUN finds the context.
pub(crate) const AT: &str = "/cachalot";

/// The context's folder, made.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// The words that start the program in a RUN.
    pub(crate) words: Vec<String>,
    /// Whether it has certificates of authorities.
    pub(crate) has_roots: bool,
}

/// The system's certificates, where distributions have them.
const ROOTS: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Tool {
    /// Copies a program and what it needs into a folder.
    pub(crate) fn make(program: &Path, folder: &Path) -> Result<Self> {
        let at = || program.display().to_string();
        let copy = |from: &Path, name: &str| {
            let to = folder.join(name);
            let copied = fs::copy(from, &to).with_context(|| from.display().to_string())?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
            anyhow::Ok(copied)
        };
        match loaded_end(program).with_context(at)? {
            Some(end) => write_loaded(program, end, &folder.join("cachalot")).with_context(at)?,
            None => copy(program, "cachalot").map(drop)?,
        }
        let own = format!("{AT}/cachalot");
        let words = match interpreter(program).with_context(at)? {
            None => vec![own],
            Some(loader) => {
                copy(&loader, "loader")?;
                for (name, path) in libraries(&loader, program).with_context(at)? {
                    copy(&path, &name)?;
                }
                let loader = format!("{AT}/loader");
                let path = ["--library-path".to_owned(), AT.to_owned()];
                [loader].into_iter().chain(path).chain([own]).collect()
            }
        };
        let environment = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let roots = ROOTS.iter().map(PathBuf::from);
        let mut roots = environment.into_iter().chain(roots);
        let has_roots = match roots.find(|path| path.is_file()) {
            Some(path) => copy(&path, "roots.pem").is_ok(),
            None => false,
        };
        Ok(Self { words, has_roots })
    }
}

/// The loader that a program names; `None` if it is linked statically.
fn interpreter(program: &Path) -> Result<Option<PathBuf>> {
    const PT_INTERP: u32 = 3;
    let headers = Headers::read(program)?;
    let segments = headers.segments()?;
    let Some(named) = segments.iter().find(|it| it.kind == PT_INTERP) else {
        return Ok(None);
    };
    let name = usize::try_from(named.offset)?..usize::try_from(named.end())?;
    let name = headers.0.get(name).context("a loader that is cut off")?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Some(std::ffi::OsString::from_vec(name.to_vec()).into()))
}

/// Where the last byte ends that is loaded of a program, if nothing but sections is behind it:
/// symbols and what debuggers read, which are most of a file that was not stripped.
fn loaded_end(program: &Path) -> Result<Option<u64>> {
    const PT_LOAD: u32 = 1;
    let headers = Headers::read(program)?;
    let segments = headers.segments()?;
    let loaded = segments.iter().filter(|it| it.kind == PT_LOAD);
    let end = loaded.map(Segment::end).max().unwrap_or(0);
    let (table, size) = (headers.number(SECTIONS, 8)?, headers.number(0x3a, 2)?);
    let sections_end = table.saturating_add(size * headers.number(SECTION_COUNT, 2)?);
    // Something of its own may stand at the end of a file, for the program to find.
    let is_all = sections_end == fs::metadata(program)?.len();
    Ok((is_all && end > 0 && end <= table).then_some(end))
}

/// Copies a program as far as it is loaded. It has no sections then.
fn write_loaded(program: &Path, end: u64, to: &Path) -> Result<()> {
    let mut copy = File::create(to)?;
    io::copy(&mut File::open(program)?.take(end), &mut copy)?;
    for (at, length) in [(SECTIONS, 8), (SECTION_COUNT, 2), (SECTION_NAMES, 2)] {
        copy.write_all_at(&[0; 8][..length], at as u64)?;
    }
    Ok(copy.set_permissions(fs::Permissions::from_mode(0o755))?)
}

/// Fields of the file header: the offset of the table of sections, the number of those, and
/// which of them has their names.
const SECTIONS: usize = 0x28;
const SECTION_COUNT: usize = 0x3c;
const SECTION_NAMES: usize = 0x3e;

/// The beginning of a program, where headers stand.
///
/// Layout of ELF for 64 bits: System V ABI, "Object Files" and "Program Loading".
struct Headers(Vec<u8>);

/// A part of a program that its loader looks at.
struct Segment {
    kind: u32,
    offset: u64,
    length: u64,
}

impl Segment {
    fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

impl Headers {
    fn read(program: &Path) -> Result<Self> {
        let mut bytes = Vec::new();
        File::open(program)?.take(1 << 16).read_to_end(&mut bytes)?;
        ensure!(
            bytes.starts_with(b"\x7fELF"),
            "is no Linux program: name one by --tool"
        );
        ensure!(
            bytes.get(4..6) == Some(&[2, 1]),
            "is no program for 64 bits"
        );
        Ok(Self(bytes))
    }

    fn number(&self, at: usize, length: usize) -> Result<u64> {
        let field = self.0.get(at..at.saturating_add(length));
        let field = field.context("a header that is cut off")?;
        let digit = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Ok(field.iter().rev().fold(0, digit))
    }

    fn segments(&self) -> Result<Vec<Segment>> {
        let table = usize::try_from(self.number(0x20, 8)?)?;
        let size = usize::try_from(self.number(0x36, 2)?)?;
        let count = usize::try_from(self.number(0x38, 2)?)?;
        let segment = |index: usize| {
            let at = table.saturating_add(index * size);
            Ok(Segment {
                kind: u32::try_from(self.number(at, 4)?)?,
                offset: self.number(at.saturating_add(8), 8)?,
                length: self.number(at.saturating_add(32), 8)?,
            })
        };
        (0..count).map(segment).collect()
    }
}

/// What a loader loads for a program, by name.
fn libraries(loader: &Path, program: &Path) -> Result<Vec<(String, PathBuf)>> {
    let listed = Command::new(loader)
        .arg("--list")
        .arg(program)
        .stdin(Stdio::null())
        .output()
        .with_context(|| loader.display().to_string())?;
    if !listed.status.success() {
        bail!("{}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let mut found = Vec::new();
    for line in String::from_utf8(listed.stdout)?.lines() {
        // `libc.so.6 => /lib/libc.so.6 (0x...)`; the loader itself and the kernel's
        // library have no arrow.
        let Some((name, path)) = line.trim().split_once(" => ") else {
            continue;
        };
        let path = path.split(" (").next().unwrap_or_default();
        found.push((name.to_owned(), PathBuf::from(path)));
    }
    // Before 2.34, glibc loaded these to look up names.
    let libc = found.iter().find(|(name, _)| name.starts_with("libc.so"));
    let folder = libc.and_then(|(_, path)| path.parent().map(Path::to_owned));
    for name in ["libnss_dns.so.2", "libnss_files.so.2", "libresolv.so.2"] {
        let path = folder.as_ref().map(|folder| folder.join(name));
        let is_new = !found.iter().any(|(known, _)| known == name);
        if let Some(path) = path.filter(|path| is_new && path.is_file()) {
            found.push((name.to_owned(), path));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_runs_with_nothing_but_its_context() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let tool = Tool::make(Path::new("/bin/true"), folder.path())?;
        // As in a RUN, but for the place.
        let at = folder.path().display().to_string();
        let words: Vec<String> = tool
            .words
            .iter()
            .map(|it| it.replacen(AT, &at, 1))
            .collect();
        let ran = Command::new(&words[0])
            .args(&words[1..])
            .env_clear()
            .status()?;
        assert!(ran.success(), "{words:?}");
        Ok(())
    }

    /// What debuggers read of this very program is not sent to a builder.
    #[test]
    fn only_what_is_loaded_of_a_program_is_copied() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let this = std::env::current_exe()?;
        Tool::make(&this, folder.path())?;
        let copied = folder.path().join("cachalot");
        let (all, loaded) = (fs::metadata(&this)?.len(), fs::metadata(&copied)?.len());
        assert!(loaded < all, "{loaded} of {all}");
        let ran = Command::new(&copied).arg("--list").output()?;
        assert!(ran.status.success(), "{ran:?}");

        // A file with something of its own at its end is copied whole.
        let mut bytes = fs::read("/bin/true")?;
        bytes.extend(b"its own");
        let whole = folder.path().join("whole");
        fs::write(&whole, &bytes)?;
        fs::set_permissions(&whole, fs::Permissions::from_mode(0o755))?;
        Tool::make(&whole, folder.path())?;
        assert_eq!(fs::read(&copied)?, bytes);
        Ok(())
    }

    #[test]
    fn what_is_no_program_is_refused() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("script");
        for (bytes, why) in [
            (&b"#!/bin/sh\n"[..], "no Linux program"),
            (b"\x7fELF\x01\x01", "64 bits"),
            (b"\x7fELF\x02\x01", "cut off"),
        ] {
            fs::write(&file, bytes)?;
            let error = format!("{:#}", interpreter(&file).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        let mut huge = vec![0xff; 0x40];
        huge[..6].copy_from_slice(b"\x7fELF\x02\x01");
        fs::write(&file, huge)?;
        assert!(interpreter(&file).is_err());
        Ok(())
    }
}
