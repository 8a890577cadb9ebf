//! Generates the messages and services from `proto/`, without `protoc`.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    const FILES: [&str; 3] = ["skms/v1/types.proto", "skms/v1/key_management.proto", "skms/v1/system.proto"];
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // Served by reflection.
    let out = PathBuf::from(env::var("OUT_DIR")?).join("skms.binpb");
    fs::write(out, compiler.encode_file_descriptor_set())?;
    let mut config = tonic_prost_build::Config::new();
    // Payloads travel from the wire to the device without a copy.
    config.bytes(["."]);
    // The canonical encoding of a request must not depend on the order of a hash map.
    config.btree_map(["."]);
    tonic_prost_build::configure().compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}
