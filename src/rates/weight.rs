//! What things cost, in units: one is about the work of a P-256 signature of a
//! SoftHSM2, 57 µs of a core.

use std::num::NonZeroU32;

use skms_backend::{KeyType, ProtectionLevel};

use crate::model::Rpc;

/// What a call costs before its body is read. Every RPC has its price, or this
/// does not compile.
#[must_use]
pub const fn of_call(rpc: Rpc) -> NonZeroU32 {
    units(match rpc {
        // Looked up in memory. What signing costs besides is charged when the key is known,
        // and the items of a batch or a stream when they are counted.
        Rpc::GetKey
        | Rpc::GetPublicKey
        | Rpc::SignMessage
        | Rpc::VerifySignature
        | Rpc::BatchSign
        | Rpc::BatchVerify
        | Rpc::SignStream
        | Rpc::VerifyStream
        | Rpc::SignLargeMessage
        | Rpc::VerifyLargeMessage
        | Rpc::BatchCreateKeys
        | Rpc::BatchEncrypt
        | Rpc::EncryptStream
        | Rpc::DecryptStream
        | Rpc::BatchDecrypt
        | Rpc::Encrypt
        | Rpc::Decrypt
        | Rpc::GenerateDataKey
        | Rpc::GenerateRandom
        | Rpc::GenerateMac
        | Rpc::VerifyMac
        | Rpc::DeriveSharedSecret
        | Rpc::ReEncrypt
        | Rpc::GetServerInfo
        | Rpc::GetBackend
        | Rpc::GetImportJob
        | Rpc::CreateCertificateSigningRequest
        | Rpc::HealthCheck => 1,
        // A database transaction with a flush to disk, or many answers in one.
        Rpc::CreateKey
        | Rpc::AdoptKey
        | Rpc::RotateKey
        | Rpc::UpdateKey
        | Rpc::EnableKey
        | Rpc::DisableKey
        | Rpc::RestoreKey
        | Rpc::MarkKeyCompromised
        | Rpc::ScheduleKeyDestruction
        | Rpc::SetPrimaryVersion
        | Rpc::CreateImportJob
        | Rpc::ImportKey => 10,
        Rpc::ListBackends | Rpc::TestPermissions | Rpc::ListKeyVersions => 5,
        // Up to a thousand keys, each asked of the policies.
        Rpc::ListKeys | Rpc::StreamKeys | Rpc::WatchKeys => 20,
        Rpc::HealthWatch | Rpc::Reflect | Rpc::ReflectAlpha => 10,
    })
}

/// What a device, or the gateway in its place, is to do once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Make a key.
    Generate,
    /// Take over a key that was made elsewhere.
    Import,
    /// Sign.
    Sign,
    /// Check a signature against one version.
    Verify,
    /// Encrypt, decrypt, or make a message authentication code or random bytes.
    Cipher,
    /// Agree on a secret.
    Agree,
}

/// What a piece of work costs with such a key, protected so.
#[must_use]
pub const fn of_work(work: Work, key_type: KeyType, protection: ProtectionLevel) -> NonZeroU32 {
    let cost = match work {
        Work::Generate => match key_type {
            // Seconds of a core, and they vary.
            KeyType::Rsa2048 => 2_000,
            KeyType::Rsa3072 => 5_000,
            KeyType::Rsa4096 => 10_000,
            KeyType::EcP384 | KeyType::EcP521 => 50,
            _ => 20,
        },
        // The numbers are there, and are proved to be a key by using it.
        Work::Import => match key_type {
            KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => 200,
            _ => 20,
        },
        // Decrypting with RSA is the same to a device as signing.
        Work::Sign | Work::Cipher | Work::Agree => match key_type {
            KeyType::Ed25519 | KeyType::X25519 => 3,
            KeyType::EcP384 | KeyType::EcP521 => 5,
            KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => 5,
            KeyType::Rsa2048 => 10,
            KeyType::Rsa3072 => 30,
            KeyType::Rsa4096 => 60,
            _ => 1,
        },
        // With the public half, on this machine.
        Work::Verify => return NonZeroU32::MIN,
    };
    units(match protection {
        ProtectionLevel::Software | ProtectionLevel::Hsm => cost,
        // One command at a time, each of milliseconds.
        ProtectionLevel::Tpm => cost * TPM,
    })
}

/// How many times dearer a TPM is: some hundred commands a second, not some ten thousand.
const TPM: u32 = 8;

/// The dearest single piece of work: a full share must be enough for it.
pub(super) const MOST: NonZeroU32 = of_work(Work::Generate, KeyType::Rsa4096, ProtectionLevel::Tpm);

const fn units(units: u32) -> NonZeroU32 {
    match NonZeroU32::new(units) {
        Some(units) => units,
        None => NonZeroU32::MIN,
    }
}
