//! The RPCs: a request is parsed, a use case called, its answer rendered. What
//! the messages mean is decided in `keys`, what errors become in `status`.
//!
//! Many items in one call are a `batch`. Messages that come one after the other are read by
//! `incoming`; in `stream` each is an item that is answered, in `large` all are one message.
//!
//! **Invariant:** every field of every request is checked before a use case is
//! called, and all fields at fault are named together.

mod batch;
mod convert;
mod crypto;
mod incoming;
mod jwk;
mod key_management;
mod large;
mod page;
mod parse;
pub(crate) mod status;
mod stream;
mod system;

use tonic::service::{Routes, RoutesBuilder};

pub use self::{batch::BATCH_BYTES, large::CHUNK_BYTES};

use crate::{
    keys::Keyring,
    proto::{
        crypto_service_server::CryptoServiceServer, key_management_server::KeyManagementServer,
        system_service_server::SystemServiceServer,
    },
};

/// Room for what stands around a message in its envelope: ids, labels, lengths.
const ENVELOPE_BYTES: usize = 64 * 1024;

/// The services over these use cases.
#[must_use]
pub fn services(keyring: &Keyring) -> RoutesBuilder {
    // What each method takes is less, and is held to it by the layers.
    let largest = (keyring.limits().message_bytes + ENVELOPE_BYTES).max(BATCH_BYTES);
    let mut routes = Routes::builder();
    routes
        .add_service(
            KeyManagementServer::new(key_management::Service::new(keyring.clone()))
                .max_decoding_message_size(largest),
        )
        .add_service(
            CryptoServiceServer::new(crypto::Service::new(keyring.clone()))
                .max_decoding_message_size(largest),
        )
        .add_service(
            SystemServiceServer::new(system::Service::new(keyring.clone()))
                .max_decoding_message_size(ENVELOPE_BYTES),
        );
    routes
}
