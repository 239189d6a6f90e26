//! The product's programs, built once.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Where a program is: as `CACHALOT_SERVER` says for `cache-server` and `CACHALOT_CLIENT` for
/// `cachalot`, or else beside the tests.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let variable = match name {
        "cachalot" => "CACHALOT_CLIENT",
        _ => "CACHALOT_SERVER",
    };
    match std::env::var_os(variable) {
        Some(built) => built.into(),
        None => folder().join(name),
    }
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // The selection that the Makefile builds: another one would be another
        // build of RocksDB.
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--release",
                "--workspace",
                "--bins",
                "--examples",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the product does not build"
        );
        // target/release/deps/it-0123 → target/release/cache-server
        let this = std::env::current_exe().expect("this program");
        let profile = this
            .ancestors()
            .find(|folder| folder.join("cache-server").exists());
        profile.expect("the server beside the tests").to_owned()
    })
}
