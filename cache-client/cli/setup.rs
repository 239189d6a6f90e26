//! Turning the cache on and off: each tool is told in the file that it reads itself, and
//! every file comes back as it was.

mod change;
mod diff;
mod edit;
mod file;
#[cfg(any(test, feature = "fuzzing-cli"))]
pub(crate) mod fuzzing;
mod journal;
mod machine;
mod report;
mod tool;
mod tools;

pub(crate) use self::{
    change::{Plan, undo},
    edit::{Edit, Line, Trust, Value},
    journal::Journal,
    machine::Machine,
    report::{Done, FileReport, Report, Trouble},
    tool::{Scope, Tool},
    tools::{Cache, Options, Wanted, environment, registry_of_docker, told},
};
