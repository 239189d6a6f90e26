//! What the HTTP protocols share, and nothing that belongs to one of them.
//!
//! [`incoming`] and [`outgoing`] turn bodies into the store's streams and back;
//! [`Reply`] answers GET and HEAD of content, stored or arriving, with ranges and
//! conditions; [`Served`] is what a handler says a request came to.
//!
//! Three layers go around all protocols, from the outside: [`Measured`] counts and
//! tells `Cache-Status`, [`Numbered`] gives a request its id, [`Authenticated`]
//! leaves an [`Identity`] for the protocol to judge.

mod access_log;
mod auth;
mod body;
mod cache_status;
mod client;
mod conditional;
mod exchange;
mod grpc;
mod identity;
mod linger;
mod measured;
mod metrics;
mod multipart;
mod package;
mod range;
mod recent;
mod reply;
mod request_id;
mod served;
mod trace;
mod verbatim;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

pub use self::{
    access_log::AccessLog,
    auth::{
        Anonymous, AuthConfig, AuthError, Authenticated, AuthenticatedService, Authenticator,
        Rights, Token, TokenHash,
    },
    body::{incoming, outgoing},
    client::Client,
    grpc::{Came, Grpc},
    identity::{CHALLENGE, Identity, Refusal},
    measured::{Measured, MeasuredBody, MeasuredService},
    package::Package,
    range::ends_early,
    recent::{PastRequest, Recent},
    reply::{BlobReply, Reply, without_body},
    request_id::{Numbered, NumberedService, RequestId},
    served::{Class, Op, Served},
    verbatim::Verbatim,
};
