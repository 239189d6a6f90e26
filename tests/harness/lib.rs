//! What the end-to-end tests stand on: a real server process that can be stopped,
//! killed and started again, a registry client that knows what was acknowledged,
//! and client roots with real Docker in them.

pub mod bazel;
pub mod cpp;
pub mod http;
pub mod mount;
pub mod outcomes;
pub mod program;
pub mod project;
pub mod recc;
pub mod registry;
pub mod root;
pub mod s3;
pub mod server;
pub mod steps;
pub mod strace;
pub mod tool;
pub mod wrapped;

pub use self::{
    bazel::{Bazel, Processes},
    cpp::CppProject,
    mount::Mount,
    outcomes::Outcomes,
    project::{Build, Built, Packages, Project},
    recc::Recc,
    registry::{Image, Refused, Registry},
    root::Root,
    s3::S3,
    server::TestServer,
    steps::Steps,
    strace::Strace,
    tool::Home,
};

/// Whether a missing prerequisite fails a test instead of skipping it.
#[must_use]
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some()
}

/// Says that a test is skipped and why; in CI it fails instead.
///
/// # Panics
/// In CI.
pub fn skip(test: &str, why: &str) {
    assert!(!in_ci(), "{test} must run in CI, but {why}");
    eprintln!("SKIPPED {test}: {why}");
}

/// Whether tests run at full length, which takes hours: `CACHALOT_SOAK=1`.
#[must_use]
pub fn soaks() -> bool {
    std::env::var_os("CACHALOT_SOAK").is_some()
}

/// The seed of a test, printed: `CACHALOT_SEED` or a new one.
///
/// # Panics
/// If `CACHALOT_SEED` is not a number.
#[must_use]
pub fn seed(test: &str) -> u64 {
    let seed = match std::env::var("CACHALOT_SEED") {
        Ok(seed) => seed.parse().expect("CACHALOT_SEED is a number"),
        Err(_) => rand::random_range(0..1 << 32),
    };
    eprintln!("{test}: CACHALOT_SEED={seed}");
    seed
}
