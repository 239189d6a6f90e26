//! The command line is a program and no library: its modules are compiled here once more,
//! for the targets that need them.

#[path = "../../../cache-client/cli"]
mod cli {
    pub(crate) mod build;
    pub(crate) mod command;
    pub(crate) mod connection;
    pub(crate) mod dockerfile;
    pub(crate) mod doctor;
    pub(crate) mod exit;
    pub(crate) mod fuzzing;
    pub(crate) mod lock;
    pub(crate) mod mount;
    pub(crate) mod output;
    pub(crate) mod setup;
}

// Where they look for each other.
pub(crate) use self::cli::{
    build, connection::Connection, dockerfile, doctor, exit::Exit, fuzzing, lock, mount, output,
    output::Output, setup,
};

/// What the modules find at the top of their program.
pub(crate) fn grammar() -> clap::Command {
    clap::Command::new("cachalot")
}

/// Dockerfiles, and the recipes that are made of their mounts.
pub fn dockerfiles(input: &[u8]) {
    fuzzing::dockerfiles(input);
}

/// What builds print.
pub fn progress(input: &[u8]) {
    fuzzing::progress(input);
}

/// What bake, compose and registries print, and command lines of builds.
pub fn models(input: &[u8]) {
    fuzzing::models(input);
}

/// Lock files.
pub fn locks(input: &[u8]) {
    fuzzing::locks(input);
}

/// Files that `setup` edits.
pub fn edits(input: &[u8]) {
    fuzzing::edits(input);
}

/// The journal of `setup`.
pub fn journals(input: &[u8]) {
    fuzzing::journals(input);
}
