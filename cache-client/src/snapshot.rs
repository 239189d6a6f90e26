//! Snapshots: directory trees under a key.
//!
//! Files are stored by their bytes, large ones in chunks that are cut where their own
//! bytes say; the tree is a row of documents. So what did not change is not moved again.
//! Kept are mode, owner, modification time, symbolic links and hard links; extended
//! attributes and holes are not.

mod build;
mod check;
mod commit;
mod contents;
mod document;
mod entry;
mod error;
mod flaw;
mod home;
mod index;
mod path;
mod plan;
mod progress;
mod remote;
mod restore;
mod reuse;
mod roots;
mod save;
mod scan;
mod spool;
mod stage;
mod stat;
mod store;
mod tree;
mod upload;
mod walk;

#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
#[cfg(test)]
mod tests;

pub use self::{
    error::{Error, Result},
    flaw::Flaw,
    progress::Progress,
    remote::Snapshots,
    restore::{Restore, Restored},
    save::{LeftOut, Save, Saved},
};
