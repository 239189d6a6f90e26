//! Cache mounts: found in Dockerfiles, and reached by a client that runs inside a RUN.
//!
//! A builder exports no mount, and nothing outside of a build sees one. So a tiny build is
//! made whose RUN has the mount and, from a named context, this very program: it talks to
//! the server itself. No bytes of the mount pass through a build context or `docker cp`.

mod carrier;
mod found;
#[cfg(any(test, feature = "fuzzing-cli"))]
pub(crate) mod fuzzing;
mod inside;
mod recipe;
mod tool;

pub(crate) use self::{
    carrier::{Carrier, Outcome},
    found::{Found, Search, search},
    inside::{Action, Inside},
    recipe::Recipe,
    tool::Tool,
};
