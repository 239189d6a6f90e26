//! File systems of a test's own, which it may fill, break and make read-only.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

/// A mounted folder, unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
}

impl Mount {
    /// Whether this process may mount: it needs root.
    #[must_use]
    pub fn is_possible() -> bool {
        rustix::process::geteuid().is_root()
    }

    /// A file system in memory, with options as `size=96m,nr_inodes=200`.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn memory(path: &Path, options: &str) -> Result<Self> {
        Self::make(path, &["-t", "tmpfs", "-o", options, "tmpfs"])
    }

    /// An ext4 in a file, which is made if it is not there. It becomes read-only
    /// with its first error.
    ///
    /// # Errors
    /// If it cannot be made or mounted.
    pub fn image(image: &Path, size: u64, path: &Path) -> Result<Self> {
        if !image.exists() {
            std::fs::File::create(image)?.set_len(size)?;
            run("mkfs.ext4", &["-q", &text(image)])?;
        } else if let Err(error) = run("e2fsck", &["-fp", &text(image)]) {
            // As after a power cut; its status tells of repairs as well.
            eprintln!("{error:#}");
        }
        let options = "loop,errors=remount-ro";
        Self::make(path, &["-t", "ext4", "-o", options, &text(image)])
    }

    /// A second view of a folder, put over what is at `path`, through which nothing
    /// can be changed.
    ///
    /// # Errors
    /// If it cannot be mounted.
    pub fn read_only_view(of: &Path, path: &Path) -> Result<Self> {
        let view = Self::make(path, &["--bind", &text(of)])?;
        run("mount", &["-o", "remount,bind,ro", &text(path)])?;
        Ok(view)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets the file system find an error, as a failing disk would: it is
    /// read-only from then on.
    ///
    /// # Errors
    /// If the kernel cannot do that.
    pub fn break_image(&self) -> Result<()> {
        let device = run("findmnt", &["-no", "SOURCE", &text(&self.path)])?;
        let device = device.trim().rsplit('/').next().unwrap_or_default();
        let trigger = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        // The write itself is refused when it took effect.
        let _ = std::fs::write(&trigger, "1");
        let probe = self.path.join(".probe");
        ensure!(std::fs::write(probe, "").is_err(), "{trigger} did nothing");
        Ok(())
    }

    fn make(path: &Path, what: &[&str]) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        run("mount", &[what, &[&text(path)]].concat())?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let path = text(&self.path);
        // Lazily if somebody still looks into it: it must not stay behind.
        if run("umount", &[&path]).is_err()
            && let Err(error) = run("umount", &["-l", &path])
        {
            eprintln!("{path} stays mounted: {error:#}");
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let done = done.with_context(|| format!("{program} {arguments:?}"))?;
    crate::root::text(&done).with_context(|| format!("{program} {arguments:?}"))
}
