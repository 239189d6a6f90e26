//! What one client request came to.

/// The outcome of a request; every request has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// Served from the store.
    Hit,
    /// Served from the store although upstream should have been asked.
    HitStale,
    /// Served from the store after upstream confirmed it.
    Revalidated,
    /// Served from another request's transfer.
    Coalesced,
    /// Served in part, as a cache manifest without its evicted layers.
    Partial,
    /// Known to be absent.
    NegativeHit,
    /// Absent.
    Miss,
    /// Stored: a write that a client made.
    Stored,
    /// An existence check before an upload, answered "present": reused on export.
    ProbePresent,
    /// An existence check before an upload, answered "absent": will be uploaded.
    ProbeAbsent,
    /// Neither read from nor written to the store, as a ping or a listing.
    Bypass,
    /// Refused by rights or policy.
    Denied,
    /// A request that could not be understood or carried out.
    Error,
}

impl Outcome {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::HitStale => "hit_stale",
            Self::Revalidated => "revalidated",
            Self::Coalesced => "coalesced",
            Self::Partial => "partial",
            Self::NegativeHit => "negative_hit",
            Self::Miss => "miss",
            Self::Stored => "stored",
            Self::ProbePresent => "probe_present",
            Self::ProbeAbsent => "probe_absent",
            Self::Bypass => "bypass",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// Where the bytes of an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// Memory.
    Memory,
    /// The local disk.
    Disk,
    /// The bucket that servers share.
    Bucket,
    /// An origin, which is sending it.
    Upstream,
    /// Nowhere: no blob was read.
    None,
}

impl Tier {
    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Bucket => "bucket",
            Self::Upstream => "upstream",
            Self::None => "none",
        }
    }
}
