//! Wrapped builds: the user's own command line with a cache, and a report of what it
//! was worth.

mod bake;
mod builder;
mod command_line;
mod compose;
#[cfg(any(test, feature = "fuzzing-cli"))]
pub(crate) mod fuzzing;
mod history;
mod image;
mod plan;
mod progress;
mod report;
mod run;
mod scope;
mod single;
mod steps;
mod target;

pub(crate) use self::{
    bake::definition,
    builder::said_by,
    command_line::CommandLine,
    history::History,
    plan::{Plan, Wishes},
    report::{Report, bytes},
    run::run,
    scope::{Said, Scope, slug},
};
