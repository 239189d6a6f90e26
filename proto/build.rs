//! Compiles the `.proto` files with protox, which is Rust: no protoc is needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 7] = [
    "build/bazel/remote/execution/v2/remote_execution.proto",
    "cachalot/v1/administration.proto",
    "cachalot/v1/builds.proto",
    "cachalot/v1/refs.proto",
    "cachalot/v1/snapshots.proto",
    "cachalot/v1/statistics.proto",
    "google/bytestream/bytestream.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // For server reflection.
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".")
        .codec_path("crate::codec::Codec")
        .compile_fds(descriptors)?;
    Ok(())
}
