//! File systems of a test's own, which it may fill, break and make read-only.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// How long a mount may be in use after its users are gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted folder, unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    /// The file that it is in, if it is in one.
    image: Option<PathBuf>,
    /// Mounts upon each other at `path`.
    layers: usize,
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
        // Another test's namespace may begin at any time with a copy of this mount,
        // and would keep the file system alive; below a shared mount, its copy goes
        // when ours goes.
        let mut mount = Self::make(path, &["--bind", &text(path)])?;
        run("mount", &["--make-shared", &text(path)])?;
        let options = "loop,errors=remount-ro";
        mount.add(&["-t", "ext4", "-o", options, &text(image)])?;
        mount.image = Some(image.to_owned());
        Ok(mount)
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
        let mut mount = Self {
            path: path.to_owned(),
            image: None,
            layers: 0,
        };
        mount.add(what)?;
        Ok(mount)
    }

    fn add(&mut self, what: &[&str]) -> Result<()> {
        run("mount", &[what, &[&text(&self.path)]].concat())?;
        self.layers += 1;
        Ok(())
    }

    /// Unmounts it, once the last file of a killed process is closed: the kernel does
    /// that a moment after the process is gone. Mounted again before, an image would
    /// be the file system that broke, and not what a disk would keep of it.
    ///
    /// # Errors
    /// If it stays in use.
    pub fn unmount(mut self) -> Result<()> {
        self.release()
    }

    fn release(&mut self) -> Result<()> {
        let path = text(&self.path);
        for _ in 0..std::mem::take(&mut self.layers) {
            let unmounted = soon(|| run("umount", &[&path]).map(drop));
            if unmounted.is_err() {
                // Out of the way at least.
                run("umount", &["-l", &path])?;
                return unmounted;
            }
        }
        let Some(image) = self.image.take() else {
            return Ok(());
        };
        soon(|| {
            let users = run("losetup", &["-j", &text(&image)])?;
            ensure!(users.trim().is_empty(), "mounted elsewhere: {users}");
            Ok(())
        })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            eprintln!("{} is still in use: {error:#}", self.path.display());
        }
    }
}

/// Tries again for as long as a mount may be in use after its users are gone.
fn soon(attempt: impl Fn() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            ended => return ended,
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
