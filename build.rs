//! Generates the messages and services from `proto/`, without `protoc`, and the
//! list of all RPCs.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    const FILES: [&str; 5] = [
        "skms/v1/types.proto",
        "skms/v1/import.proto",
        "skms/v1/key_management.proto",
        "skms/v1/crypto.proto",
        "skms/v1/system.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_source_info(true).include_imports(true).open_files(FILES)?;
    // Served by reflection.
    let out = PathBuf::from(env::var("OUT_DIR")?).join("skms.binpb");
    fs::write(out, compiler.encode_file_descriptor_set())?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("rpcs.rs"), rpcs(&compiler.file_descriptor_set())?)?;
    let mut config = tonic_prost_build::Config::new();
    // Payloads travel from the wire to the device without a copy.
    config.bytes(["."]);
    // The canonical encoding of a request must not depend on the order of a hash map.
    config.btree_map(["."]);
    // Else an error would be as long as a key.
    config.boxed(".skms.v1.BatchCreateKeysResult.result.key");
    // Google's; `tonic-types` has it, and the details that go into it.
    config.extern_path(".google.rpc", "::tonic_types");
    tonic_prost_build::configure().compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

/// What the gateway serves besides its own services.
const OTHERS: [(&str, &str, &str); 4] = [
    ("HealthCheck", "/grpc.health.v1.Health/Check", "Unary"),
    ("HealthWatch", "/grpc.health.v1.Health/Watch", "ServerStream"),
    ("Reflect", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "Bidirectional"),
    ("ReflectAlpha", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "Bidirectional"),
];

/// The entries of the enum `Rpc`: a name, the path it has in HTTP/2, and what streams.
fn rpcs(files: &tonic_prost_build::FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut entries = Vec::new();
    for file in files.file.iter().filter(|file| file.package() == "skms.v1") {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                let shape = match (method.client_streaming(), method.server_streaming()) {
                    (false, false) => "Unary",
                    (true, false) => "ClientStream",
                    (false, true) => "ServerStream",
                    (true, true) => "Bidirectional",
                };
                entries.push((method.name().to_owned(), path, shape));
            }
        }
    }
    entries.extend(OTHERS.map(|(name, path, shape)| (name.to_owned(), path.to_owned(), shape)));
    let mut text = "rpcs! {\n".to_owned();
    for (name, path, shape) in entries {
        writeln!(text, "    {name} = \"{path}\" {shape},")?;
    }
    text.push_str("}\n");
    Ok(text)
}
