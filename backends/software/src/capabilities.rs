//! What software can do: everything that the contract names.

use skms_backend::{
    Capabilities, DeviceIdentity, EncryptSupport, EncryptionAlgorithm, KeyType, KeyTypeSupport,
    ProtectionLevel, Salting, SignSupport, SignatureAlgorithm,
};

use crate::keys::agreement;

/// The longest message, in bytes. Ed25519 reads it twice, which takes some 10 ms
/// of a thread; whoever has more signs a digest.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// The most random bytes in one call.
pub(crate) const MAX_RANDOM_BYTES: usize = 64 * 1024;

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        protection_level: ProtectionLevel::Software,
        identity: DeviceIdentity {
            kind: "software".to_owned(),
            library: LIBRARY.to_owned(),
            ..DeviceIdentity::default()
        },
        key_types: KeyType::ALL
            .into_iter()
            .map(|key_type| KeyTypeSupport {
                key_type,
                sign: signatures(key_type),
                encrypt: encryption(key_type),
                mac: key_type.mac_hash().is_some(),
                agree: agreement(key_type).is_some(),
                import: true,
            })
            .collect(),
        kept_only: Vec::new(),
        max_message_bytes: MAX_MESSAGE_BYTES,
        max_mac_bytes: MAX_MESSAGE_BYTES,
        max_random_bytes: MAX_RANDOM_BYTES,
    }
}

fn signatures(key_type: KeyType) -> Vec<SignSupport> {
    SignatureAlgorithm::of(key_type)
        .map(|algorithm| SignSupport { algorithm, digest: algorithm.hash().is_some() })
        .collect()
}

fn encryption(key_type: KeyType) -> Vec<EncryptSupport> {
    EncryptionAlgorithm::of(key_type)
        .map(|algorithm| {
            let salting = if algorithm.is_rsa_oaep() { None } else { Some(Salting::Derived) };
            EncryptSupport { algorithm, salting }
        })
        .collect()
}

/// The library does not say its version to safe code, so it stands here; a test
/// compares it with what is linked.
const LIBRARY: &str = "aws-lc-rs 1.19.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_the_one_that_is_linked() {
        let lock = include_str!("../../../Cargo.lock");
        let (name, version) = LIBRARY.split_once(' ').unwrap();
        assert!(
            lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")),
            "Cargo.lock links another version of {name} than {version}: correct LIBRARY"
        );
    }
}
