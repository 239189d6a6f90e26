//! What the file system says of a name.

use rustix::fs::FileType;

use super::entry::{Meta, Time};

/// As `lstat` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: Kind,
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) ctime: Time,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    pub(crate) links: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
    /// A socket, a pipe or a device.
    Special,
}

impl Stat {
    #[expect(
        clippy::unnecessary_cast,
        reason = "the widths differ between processors"
    )]
    pub(crate) fn of(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Special,
        };
        let time = |seconds: i64, nanos: u64| Time {
            seconds,
            nanos: u32::try_from(nanos).unwrap_or_default(),
        };
        Self {
            kind,
            meta: Meta {
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            },
            size: stat.st_size as u64,
            ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
        }
    }

    /// Whether it is the same file with the same bytes, as far as can be told.
    pub(crate) fn is_unchanged(&self, later: &Self) -> bool {
        (self.kind, self.device, self.inode, self.size)
            == (later.kind, later.device, later.inode, later.size)
            && (self.meta.mtime, self.ctime) == (later.meta.mtime, later.ctime)
    }
}
