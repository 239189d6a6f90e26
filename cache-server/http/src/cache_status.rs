//! The `Cache-Status` header (RFC 9211): what the client is told about its request.

use cache_core::Outcome;
use http::{HeaderName, HeaderValue};

/// `Cache-Status`.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Our member of the header's list.
///
/// `hit` and `fwd` are as the RFC defines them: `hit` if the answer came without
/// asking further, `fwd` with the reason why it could not. A probe, which expects
/// no content, carries `detail=probe`, so that nobody counts it as a hit.
pub(crate) const fn member(outcome: Outcome) -> HeaderValue {
    HeaderValue::from_static(match outcome {
        Outcome::Hit => "Cachalot; hit",
        Outcome::HitStale => "Cachalot; hit; detail=stale",
        Outcome::Revalidated => "Cachalot; fwd=stale; fwd-status=304",
        Outcome::Coalesced => "Cachalot; fwd=miss; collapsed",
        Outcome::Partial => "Cachalot; hit; detail=partial",
        Outcome::NegativeHit => "Cachalot; hit; detail=negative",
        Outcome::Miss => "Cachalot; fwd=miss",
        Outcome::Stored => "Cachalot; fwd=method; detail=stored",
        Outcome::ProbePresent => "Cachalot; hit; detail=probe",
        Outcome::ProbeAbsent => "Cachalot; fwd=miss; detail=probe",
        Outcome::Bypass => "Cachalot; fwd=bypass",
        Outcome::Denied => "Cachalot; detail=denied",
        Outcome::Error => "Cachalot; detail=error",
    })
}
