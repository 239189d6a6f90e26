//! A response, and what the request came to.

use axum::response::Response;
use cache_core::{Outcome, Tier};

/// What a handler answers.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    pub(crate) tier: Tier,
}
