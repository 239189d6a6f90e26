//! Room: reserved before the first byte is written, given back when it is not used.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::statvfs;

/// The quota, and what uploads have reserved of it.
#[derive(Debug)]
pub(super) struct Room {
    quota: u64,
    min_free: u64,
    path: PathBuf,
    reserved: AtomicU64,
}

/// Room that is held until it is dropped. Bytes.
#[derive(Debug)]
pub(super) struct Reservation {
    room: Arc<Room>,
    bytes: u64,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Short {
    /// The quota is used up by this many bytes.
    Quota(u64),
    /// The file system lacks this many bytes.
    Disk(u64),
}

impl Room {
    /// Room within `quota`, or within 90 % of what is free if there is none.
    pub(super) fn new(
        path: PathBuf,
        quota: Option<u64>,
        min_free: u64,
        used: u64,
    ) -> io::Result<Self> {
        let quota = match quota {
            Some(quota) => quota,
            None => (used + free(&path)?) / 10 * 9,
        };
        Ok(Self {
            quota,
            min_free,
            path,
            reserved: AtomicU64::new(0),
        })
    }

    pub(super) const fn quota(&self) -> u64 {
        self.quota
    }

    pub(super) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Relaxed)
    }

    /// Reserves `bytes`, or says what is short; `used` bytes are stored.
    pub(super) fn reserve(self: &Arc<Self>, used: u64, bytes: u64) -> Result<Reservation, Short> {
        self.has_disk(bytes)?;
        let before = self.reserved.fetch_add(bytes, Ordering::AcqRel);
        let reservation = Reservation {
            room: Arc::clone(self),
            bytes,
        };
        // Dropping the reservation gives back what turned out too much.
        match (used + before + bytes).checked_sub(self.quota) {
            None | Some(0) => Ok(reservation),
            Some(short) => Err(Short::Quota(short)),
        }
    }

    /// Whether the file system can take `bytes` and keep its minimum free.
    pub(super) fn has_disk(&self, bytes: u64) -> Result<(), Short> {
        // What cannot be asked is not refused: the write itself will tell.
        let free = free(&self.path).unwrap_or(u64::MAX);
        match (bytes + self.min_free).checked_sub(free) {
            None | Some(0) => Ok(()),
            Some(short) => Err(Short::Disk(short)),
        }
    }
}

impl Reservation {
    /// Adds another reservation to this one.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.room.reserved.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

fn free(path: &PathBuf) -> io::Result<u64> {
    let stat = statvfs(path)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_reservation_takes_nothing() {
        let room = Room::new(std::env::temp_dir(), Some(1000), 0, 0).unwrap();
        let room = Arc::new(room);
        let first = room.reserve(300, 600).unwrap();
        assert_eq!(room.reserve(300, 200).unwrap_err(), Short::Quota(100));
        assert_eq!(room.reserved(), 600);
        let mut second = room.reserve(300, 100).unwrap();
        second.absorb(first);
        assert_eq!((second.bytes(), room.reserved()), (700, 700));
        drop(second);
        assert_eq!(room.reserved(), 0);
    }

    #[test]
    fn a_full_disk_refuses_whatever_the_quota() {
        let room = Room::new(std::env::temp_dir(), Some(u64::MAX), u64::MAX / 2, 0).unwrap();
        assert!(matches!(Arc::new(room).reserve(0, 1), Err(Short::Disk(_))));
    }
}
