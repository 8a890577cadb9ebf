//! The short, lower-case names of the API's enums: `KEY_STATE_ENABLED` is
//! `enabled`. They are derived from the generated names, so that there is no
//! list here to forget.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use skms_backend::{EncryptionAlgorithm as KnownCipher, SignatureAlgorithm as Known};

use crate::proto::{
    BackendAvailability, EncryptionAlgorithm, ExportPolicy, HashAlgorithm, ImportJobState, ImportMethod,
    KeyOrigin, KeyPurpose, KeyState, ProtectionLevel, PublicKeyFormat, SignatureAlgorithm, SignatureEncoding,
    watch_keys_response::Type as WatchType,
};

/// An enum of the API.
pub(super) trait Named: TryFrom<i32> + Into<i32> + Sized {
    /// What every one of its generated names begins with.
    const PREFIX: &'static str;
    /// The generated name.
    fn long(&self) -> &'static str;
    /// The value with a generated name.
    fn from_long(name: &str) -> Option<Self>;
}

macro_rules! named {
    ($($type:ident $prefix:literal),+ $(,)?) => {
        $(impl Named for $type {
            const PREFIX: &'static str = $prefix;

            fn long(&self) -> &'static str {
                self.as_str_name()
            }

            fn from_long(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        })+
    };
}

named! {
    BackendAvailability "BACKEND_AVAILABILITY_",
    EncryptionAlgorithm "ENCRYPTION_ALGORITHM_",
    ExportPolicy "EXPORT_POLICY_",
    HashAlgorithm "HASH_ALGORITHM_",
    ImportJobState "IMPORT_JOB_STATE_",
    ImportMethod "IMPORT_METHOD_",
    KeyOrigin "KEY_ORIGIN_",
    KeyPurpose "KEY_PURPOSE_",
    KeyState "KEY_STATE_",
    ProtectionLevel "PROTECTION_LEVEL_",
    PublicKeyFormat "PUBLIC_KEY_FORMAT_",
    SignatureAlgorithm "SIGNATURE_ALGORITHM_",
    SignatureEncoding "SIGNATURE_ENCODING_",
    WatchType "TYPE_",
}

/// The name of a number on the wire. A gateway that is newer than this program
/// may send numbers without one.
pub(super) fn name<E: Named>(number: i32) -> String {
    E::try_from(number).map_or_else(|_| format!("unknown-{number}"), |value| short(&value))
}

/// The name of a number on the wire; empty where it is not set.
pub(super) fn name_if_set<E: Named>(number: i32) -> String {
    if number == 0 { String::new() } else { name::<E>(number) }
}

fn short<E: Named>(value: &E) -> String {
    let long = value.long();
    long.strip_prefix(E::PREFIX).unwrap_or(long).to_ascii_lowercase().replace('_', "-")
}

/// The value with a short name.
pub(super) fn parse<E: Named>(name: &str) -> Option<E> {
    E::from_long(&format!("{}{}", E::PREFIX, name.to_ascii_uppercase().replace('-', "_")))
}

/// Reads one of `names` on the command line.
pub(super) fn parser<E, const N: usize>(names: [&'static str; N]) -> impl TypedValueParser<Value = E>
where
    E: Named + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| parse(&name).ok_or("not known to the API"))
}

/// The hash functions that a digest can be made with.
pub(super) const HASHES: [&str; 6] = ["sha256", "sha384", "sha512", "sha3-256", "sha3-384", "sha3-512"];
/// The encodings of an ECDSA signature.
pub(super) const ENCODINGS: [&str; 2] = ["der", "p1363"];
/// The ways to write a public key.
pub(super) const PUBLIC_KEY_FORMATS: [&str; 4] = ["pem", "der", "jwk", "raw"];
/// The protection levels, the weakest first.
pub(super) const PROTECTION_LEVELS: [&str; 3] = ["software", "tpm", "hsm"];

/// The purposes that a key can be made for.
pub(super) const PURPOSES: [&str; 4] = ["sign-verify", "encrypt-decrypt", "mac", "key-agreement"];
/// The hash functions that a secret can be derived with.
pub(super) const HKDF_HASHES: [&str; 3] = ["sha256", "sha384", "sha512"];

/// The ways to wrap material, the one that takes every key and is the fastest first.
pub(super) const IMPORT_METHODS: [&str; 4] = [
    "rsa-oaep-3072-sha256-aes-256",
    "rsa-oaep-4096-sha256-aes-256",
    "rsa-oaep-3072-sha256",
    "rsa-oaep-4096-sha256",
];

/// Reads an encryption algorithm on the command line.
pub(super) fn encryption_parser() -> impl TypedValueParser<Value = EncryptionAlgorithm> {
    parser::<EncryptionAlgorithm, { KnownCipher::ALL.len() }>(KnownCipher::ALL.map(KnownCipher::name))
}

/// Reads a signature algorithm on the command line, also by its JOSE name.
pub(super) fn algorithm_parser() -> impl TypedValueParser<Value = SignatureAlgorithm> {
    let known = Known::ALL.map(|algorithm| PossibleValue::new(algorithm.name()).alias(algorithm.jose()));
    PossibleValuesParser::new(known)
        .try_map(|name| parse(name.parse::<Known>()?.name()).ok_or_else(|| "not known to the API".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_read_back() {
        assert_eq!(name::<KeyState>(KeyState::DestroyScheduled.into()), "destroy-scheduled");
        assert_eq!(name::<SignatureAlgorithm>(4), "ecdsa-secp256k1-sha256");
        assert_eq!(name::<KeyState>(999), "unknown-999");
        assert_eq!(name_if_set::<ProtectionLevel>(0), "");
        assert_eq!(parse("hsm"), Some(ProtectionLevel::Hsm));
        assert_eq!(parse::<ProtectionLevel>("HSMs"), None);
    }

    #[test]
    fn every_name_on_the_command_line_is_known_to_the_api() {
        assert!(HASHES.iter().all(|name| parse::<HashAlgorithm>(name).is_some()));
        assert!(ENCODINGS.iter().all(|name| parse::<SignatureEncoding>(name).is_some()));
        assert!(PUBLIC_KEY_FORMATS.iter().all(|name| parse::<PublicKeyFormat>(name).is_some()));
        assert!(PROTECTION_LEVELS.iter().all(|name| parse::<ProtectionLevel>(name).is_some()));
        assert!(IMPORT_METHODS.iter().all(|name| parse::<ImportMethod>(name).is_some()));
        assert!(PURPOSES.iter().all(|name| parse::<KeyPurpose>(name).is_some()));
        assert!(HKDF_HASHES.iter().all(|name| HASHES.contains(name)));
        for algorithm in KnownCipher::ALL {
            let parsed: EncryptionAlgorithm = parse(algorithm.name()).unwrap();
            assert_eq!(short(&parsed), algorithm.name());
        }
        for algorithm in Known::ALL {
            let parsed: SignatureAlgorithm = parse(algorithm.name()).unwrap();
            assert_eq!(short(&parsed), algorithm.name());
        }
    }

    #[test]
    fn every_prefix_is_that_of_its_enum() {
        fn check<E: Named>() {
            assert_eq!(name::<E>(0), "unspecified");
        }
        check::<BackendAvailability>();
        check::<EncryptionAlgorithm>();
        check::<ExportPolicy>();
        check::<HashAlgorithm>();
        check::<ImportJobState>();
        check::<ImportMethod>();
        check::<KeyOrigin>();
        check::<KeyPurpose>();
        check::<KeyState>();
        check::<ProtectionLevel>();
        check::<PublicKeyFormat>();
        check::<SignatureAlgorithm>();
        check::<SignatureEncoding>();
        check::<WatchType>();
    }
}
