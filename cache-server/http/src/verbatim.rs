//! Clients that talk to an origin, as far as they know.

use http::Extensions;

/// In the extensions of a request that a client sent to an origin and that was led here:
/// documents have the origin's URLs in them, as there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verbatim;

impl Verbatim {
    /// Whether a request is such a one.
    #[must_use]
    pub fn is_asked(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }
}
