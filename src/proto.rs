//! The generated messages and services of `skms.v1`, and their descriptor set.
//! Nothing else: what the messages mean is decided in `rpc`.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_imports,
    reason = "generated code; its documentation stands in the .proto files"
)]

tonic::include_proto!("skms.v1");

/// The descriptors of every file under `proto/`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/skms.binpb"));
