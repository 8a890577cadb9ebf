//! What is wrong with the requests of CryptoService.

use bytes::Bytes;
use prost::Message;
use skms::proto::{
    self, DecryptRequest, DeriveSharedSecretRequest, EncryptRequest, EncryptionContext,
    GenerateDataKeyRequest, GenerateMacRequest, GenerateRandomRequest, Hkdf, ReEncryptRequest,
    VerifyMacRequest, decrypt_request, encrypt_request, generate_data_key_request::Size,
};

use super::rows::{Call, Row};

/// The keys that the rows are about, with their types and purposes.
pub(super) const KEYS: [(&str, &str, proto::KeyPurpose); 4] = [
    ("soft.cipher", "aes-256", proto::KeyPurpose::EncryptDecrypt),
    ("soft.rsa", "rsa-2048", proto::KeyPurpose::EncryptDecrypt),
    ("soft.code", "hmac-sha256", proto::KeyPurpose::Mac),
    ("soft.agree", "x25519", proto::KeyPurpose::KeyAgreement),
];

const LONG: usize = 64 * 1024 + 1;

fn row(path: &'static str, what: &str, request: &impl Message, expected: &str) -> Row {
    let body = Bytes::from(request.encode_to_vec());
    Row::new(format!("{path}: {what}"), Call::Raw(path, body), expected)
}

pub(super) fn rows() -> Vec<Row> {
    [encrypt(), decrypt(), reencrypt(), data_keys(), codes(), secrets()].into_iter().flatten().collect()
}

fn encrypt() -> Vec<Row> {
    let good =
        || EncryptRequest { key_id: "soft.cipher".into(), plaintext: "text".into(), ..Default::default() };
    let row = |what: &str, spoil: fn(&mut EncryptRequest), expected: &str| {
        let mut request = good();
        spoil(&mut request);
        row("/skms.v1.CryptoService/Encrypt", what, &request, expected)
    };
    let invalid = "InvalidArgument FIELD_INVALID";
    vec![
        row("no key", |r| r.key_id.clear(), "InvalidArgument FIELD_REQUIRED key_id"),
        row("a key in capitals", |r| r.key_id = "KEY".into(), "InvalidArgument FIELD_INVALID key_id"),
        row("an unknown key", |r| r.key_id = "nobody".into(), "NotFound KEY_NOT_FOUND"),
        row(
            "a key that signs",
            |r| r.key_id = "soft.ec-p256".into(),
            "FailedPrecondition KEY_PURPOSE_MISMATCH",
        ),
        row("a version to come", |r| r.version = 7, "NotFound KEY_VERSION_NOT_FOUND"),
        row(
            "too long a plaintext",
            |r| r.plaintext = vec![7; LONG].into(),
            "InvalidArgument PAYLOAD_TOO_LARGE plaintext",
        ),
        row(
            "a checksum that is not right",
            |r| r.plaintext_crc32c = Some(1),
            "InvalidArgument CHECKSUM_MISMATCH plaintext_crc32c",
        ),
        row(
            "a checksum of nothing",
            |r| r.aad_crc32c = Some(1),
            "InvalidArgument CHECKSUM_MISMATCH aad_crc32c",
        ),
        row(
            "a checksum of a context",
            |r| {
                r.aad = Some(encrypt_request::Aad::Context(context(1, "a", "b")));
                r.aad_crc32c = Some(0);
            },
            "InvalidArgument PARAMETER_NOT_APPLICABLE aad_crc32c",
        ),
        row(
            "too many names",
            |r| r.aad = Some(encrypt_request::Aad::Context(context(65, "a", "b"))),
            &format!("{invalid} context"),
        ),
        row(
            "a name without letters",
            |r| {
                let entries = [(String::new(), "b".to_owned())].into();
                r.aad = Some(encrypt_request::Aad::Context(EncryptionContext { entries }));
            },
            &format!("{invalid} context"),
        ),
        row(
            "too long a name",
            |r| r.aad = Some(encrypt_request::Aad::Context(context(1, &"a".repeat(64), "b"))),
            &format!("{invalid} context"),
        ),
        row(
            "a name with a space",
            |r| r.aad = Some(encrypt_request::Aad::Context(context(1, "a b", "b"))),
            &format!("{invalid} context"),
        ),
        row(
            "too long a value",
            |r| r.aad = Some(encrypt_request::Aad::Context(context(1, "a", &"b".repeat(1025)))),
            &format!("{invalid} context"),
        ),
        row(
            "too much beside it",
            |r| {
                let aad = vec![7; 16 * 1024 + 1].into();
                r.aad = Some(encrypt_request::Aad::AdditionalAuthenticatedData(aad));
            },
            &format!("{invalid} additional_authenticated_data"),
        ),
        row("an unknown algorithm", |r| r.algorithm = 99, &format!("{invalid} algorithm")),
        row("another algorithm", |r| r.algorithm = 1, "InvalidArgument ALGORITHM_NOT_ALLOWED algorithm"),
        row("RSA with an AES key", |r| r.algorithm = 11, "InvalidArgument ALGORITHM_NOT_ALLOWED algorithm"),
        row("too long a reference", |r| r.reference = "r".repeat(257), &format!("{invalid} reference")),
        row(
            "something beside RSA-OAEP",
            |r| {
                r.key_id = "soft.rsa".into();
                r.aad = Some(encrypt_request::Aad::AdditionalAuthenticatedData("x".into()));
            },
            "InvalidArgument PARAMETER_NOT_APPLICABLE additional_authenticated_data",
        ),
        row(
            "a context beside RSA-OAEP",
            |r| {
                r.key_id = "soft.rsa".into();
                let entries = [("a".to_owned(), "b".to_owned())].into();
                r.aad = Some(encrypt_request::Aad::Context(EncryptionContext { entries }));
            },
            "InvalidArgument PARAMETER_NOT_APPLICABLE context",
        ),
        row(
            "more than RSA-OAEP takes",
            |r| {
                r.key_id = "soft.rsa".into();
                r.plaintext = vec![7; 191].into();
            },
            "InvalidArgument PAYLOAD_TOO_LARGE plaintext",
        ),
        row(
            "all at once",
            |r| {
                (r.key_id, r.algorithm, r.reference) = ("?".into(), -1, "r".repeat(257));
                r.plaintext_crc32c = Some(1);
            },
            "InvalidArgument FIELD_INVALID key_id plaintext_crc32c=CHECKSUM_MISMATCH algorithm reference",
        ),
    ]
}

fn context(count: usize, name: &str, value: &str) -> EncryptionContext {
    let entry = |number| {
        let name = if count == 1 { name.to_owned() } else { format!("{name}{number}") };
        (name, value.to_owned())
    };
    EncryptionContext { entries: (0..count).map(entry).collect() }
}

fn decrypt() -> Vec<Row> {
    let good = || DecryptRequest {
        key_id: "soft.rsa".into(),
        ciphertext: vec![7; 256].into(),
        ..Default::default()
    };
    let row = |what: &str, spoil: fn(&mut DecryptRequest), expected: &str| {
        let mut request = good();
        spoil(&mut request);
        row("/skms.v1.CryptoService/Decrypt", what, &request, expected)
    };
    let failed = "InvalidArgument DECRYPTION_FAILED";
    let malformed = "InvalidArgument CIPHERTEXT_MALFORMED ciphertext";
    vec![
        row("no key", |r| r.key_id.clear(), "InvalidArgument FIELD_REQUIRED key_id"),
        row("no ciphertext", |r| r.ciphertext.clear(), "InvalidArgument FIELD_REQUIRED ciphertext"),
        row(
            "too long a ciphertext",
            |r| r.ciphertext = vec![7; 70 * 1024].into(),
            "InvalidArgument PAYLOAD_TOO_LARGE ciphertext",
        ),
        row("a ciphertext of nobody", |_| (), failed),
        row("too short a ciphertext", |r| r.ciphertext = vec![7; 255].into(), failed),
        row("too long a ciphertext for its key", |r| r.ciphertext = vec![7; 257].into(), failed),
        row("another hash", |r| r.algorithm = 12, failed),
        row("a version to come", |r| r.version = 9, "NotFound KEY_VERSION_NOT_FOUND"),
        row("AES with an RSA key", |r| r.algorithm = 2, "InvalidArgument ALGORITHM_NOT_ALLOWED algorithm"),
        row("no envelope", |r| r.key_id = "soft.cipher".into(), malformed),
        row(
            "something beside RSA-OAEP",
            |r| r.aad = Some(decrypt_request::Aad::AdditionalAuthenticatedData("x".into())),
            "InvalidArgument PARAMETER_NOT_APPLICABLE additional_authenticated_data",
        ),
        row(
            "a key that signs",
            |r| r.key_id = "soft.ec-p256".into(),
            "FailedPrecondition KEY_PURPOSE_MISMATCH",
        ),
        row(
            "a checksum that is not right",
            |r| r.ciphertext_crc32c = Some(1),
            "InvalidArgument CHECKSUM_MISMATCH ciphertext_crc32c",
        ),
    ]
}

fn reencrypt() -> Vec<Row> {
    let good = || ReEncryptRequest {
        source_key_id: "soft.cipher".into(),
        destination_key_id: "soft.cipher".into(),
        ciphertext: "none".into(),
        ..Default::default()
    };
    let row = |what: &str, spoil: fn(&mut ReEncryptRequest), expected: &str| {
        let mut request = good();
        spoil(&mut request);
        row("/skms.v1.CryptoService/ReEncrypt", what, &request, expected)
    };
    vec![
        row("no source", |r| r.source_key_id.clear(), "InvalidArgument FIELD_REQUIRED source_key_id"),
        row(
            "no destination",
            |r| r.destination_key_id.clear(),
            "InvalidArgument FIELD_REQUIRED destination_key_id",
        ),
        row("an unknown source", |r| r.source_key_id = "nobody".into(), "NotFound KEY_NOT_FOUND"),
        row("an unknown destination", |r| r.destination_key_id = "nobody".into(), "NotFound KEY_NOT_FOUND"),
        row("no ciphertext", |_| (), "InvalidArgument CIPHERTEXT_MALFORMED ciphertext"),
        row(
            "algorithms that are none",
            |r| (r.source_algorithm, r.destination_algorithm) = (77, 78),
            "InvalidArgument FIELD_INVALID source_algorithm destination_algorithm",
        ),
    ]
}

fn data_keys() -> Vec<Row> {
    let good = || GenerateDataKeyRequest {
        key_id: "soft.cipher".into(),
        size: Some(Size::LengthBytes(32)),
        plaintext_mode: proto::PlaintextMode::Include.into(),
        ..Default::default()
    };
    let row = |what: &str, spoil: fn(&mut GenerateDataKeyRequest), expected: &str| {
        let mut request = good();
        spoil(&mut request);
        row("/skms.v1.CryptoService/GenerateDataKey", what, &request, expected)
    };
    vec![
        row("no size", |r| r.size = None, "InvalidArgument FIELD_REQUIRED size"),
        row(
            "no bytes",
            |r| r.size = Some(Size::LengthBytes(0)),
            "InvalidArgument FIELD_REQUIRED length_bytes",
        ),
        row(
            "too many bytes",
            |r| r.size = Some(Size::LengthBytes(1025)),
            "InvalidArgument FIELD_INVALID length_bytes",
        ),
        row(
            "a type that is a pair",
            |r| r.size = Some(Size::KeyType("ec-p256".into())),
            "InvalidArgument UNSUPPORTED_KEY_TYPE key_type",
        ),
        row("no mode", |r| r.plaintext_mode = 0, "InvalidArgument FIELD_REQUIRED plaintext_mode"),
        row("an unknown mode", |r| r.plaintext_mode = 9, "InvalidArgument FIELD_INVALID plaintext_mode"),
        row(
            "a recipient for nothing",
            |r| r.recipient_public_key = "key".into(),
            "InvalidArgument PARAMETER_NOT_APPLICABLE recipient_public_key",
        ),
        row("no recipient", |r| r.plaintext_mode = 3, "InvalidArgument FIELD_REQUIRED recipient_public_key"),
        row(
            "a recipient that is no key",
            |r| (r.plaintext_mode, r.recipient_public_key) = (3, "key".into()),
            "InvalidArgument FIELD_INVALID recipient_public_key",
        ),
        row(
            "a key that makes codes",
            |r| r.key_id = "soft.code".into(),
            "FailedPrecondition KEY_PURPOSE_MISMATCH",
        ),
        row(
            "more than RSA-OAEP takes",
            |r| (r.key_id, r.size) = ("soft.rsa".into(), Some(Size::LengthBytes(191))),
            "InvalidArgument PAYLOAD_TOO_LARGE size",
        ),
    ]
}

fn codes() -> Vec<Row> {
    let make = |what: &str, request: GenerateMacRequest, expected: &str| {
        row("/skms.v1.CryptoService/GenerateMac", what, &request, expected)
    };
    let check = |what: &str, request: VerifyMacRequest, expected: &str| {
        row("/skms.v1.CryptoService/VerifyMac", what, &request, expected)
    };
    let of = |key: &str| GenerateMacRequest { key_id: key.into(), ..Default::default() };
    let mac = |key: &str| VerifyMacRequest { key_id: key.into(), mac: "code".into(), ..Default::default() };
    vec![
        make("no key", of(""), "InvalidArgument FIELD_REQUIRED key_id"),
        make("a key that signs", of("soft.ec-p256"), "FailedPrecondition KEY_PURPOSE_MISMATCH"),
        make(
            "too long a message",
            GenerateMacRequest { message: vec![7; LONG].into(), ..of("soft.code") },
            "InvalidArgument PAYLOAD_TOO_LARGE message",
        ),
        make(
            "a version to come",
            GenerateMacRequest { version: 3, ..of("soft.code") },
            "NotFound KEY_VERSION_NOT_FOUND",
        ),
        check(
            "no code",
            VerifyMacRequest { mac: Bytes::new(), ..mac("soft.code") },
            "InvalidArgument FIELD_REQUIRED mac",
        ),
        check("an unknown key", mac("nobody"), "NotFound KEY_NOT_FOUND"),
        check(
            "checksums that are not right",
            VerifyMacRequest { mac_crc32c: Some(1), message_crc32c: Some(1), ..mac("soft.code") },
            "InvalidArgument CHECKSUM_MISMATCH message_crc32c mac_crc32c",
        ),
        check(
            "too long a code",
            VerifyMacRequest { mac: vec![7; 17 * 1024].into(), ..mac("soft.code") },
            "InvalidArgument FIELD_INVALID mac",
        ),
    ]
}

fn secrets() -> Vec<Row> {
    let good = || DeriveSharedSecretRequest {
        key_id: "soft.agree".into(),
        peer_public_key: "key".into(),
        hkdf: Some(Hkdf {
            hash: proto::HashAlgorithm::Sha256.into(),
            length_bytes: 32,
            ..Default::default()
        }),
        ..Default::default()
    };
    let hkdf = |what: &str, spoil: fn(&mut Hkdf), expected: &str| {
        let mut request = good();
        spoil(request.hkdf.as_mut().unwrap());
        row("/skms.v1.CryptoService/DeriveSharedSecret", what, &request, expected)
    };
    let derive = |what: &str, spoil: fn(&mut DeriveSharedSecretRequest), expected: &str| {
        let mut request = good();
        spoil(&mut request);
        row("/skms.v1.CryptoService/DeriveSharedSecret", what, &request, expected)
    };
    let random = |what: &str, request: GenerateRandomRequest, expected: &str| {
        row("/skms.v1.CryptoService/GenerateRandom", what, &request, expected)
    };
    let bytes = |length_bytes| GenerateRandomRequest { length_bytes, ..Default::default() };
    vec![
        hkdf("no hash", |h| h.hash = 0, "InvalidArgument FIELD_REQUIRED hkdf.hash"),
        hkdf("SHA-3", |h| h.hash = 4, "InvalidArgument FIELD_INVALID hkdf.hash"),
        hkdf("no length", |h| h.length_bytes = 0, "InvalidArgument FIELD_REQUIRED hkdf.length_bytes"),
        hkdf("too long a key", |h| h.length_bytes = 1025, "InvalidArgument FIELD_INVALID hkdf.length_bytes"),
        hkdf("too long a salt", |h| h.salt = vec![7; 1025].into(), "InvalidArgument FIELD_INVALID hkdf.salt"),
        hkdf(
            "too long an info",
            |h| h.info = vec![7; 1025].into(),
            "InvalidArgument FIELD_INVALID hkdf.info",
        ),
        derive("a peer that is no key", |_| (), "InvalidArgument FIELD_INVALID peer_public_key"),
        derive("no peer", |r| r.peer_public_key.clear(), "InvalidArgument FIELD_REQUIRED peer_public_key"),
        derive(
            "a peer that is long",
            |r| r.peer_public_key = vec![7; 5000].into(),
            "InvalidArgument FIELD_INVALID peer_public_key",
        ),
        derive("no derivation", |r| r.hkdf = None, "InvalidArgument FIELD_REQUIRED hkdf"),
        derive("raw and derived", |r| r.raw = true, "InvalidArgument PARAMETER_NOT_APPLICABLE hkdf"),
        derive(
            "a key that signs",
            |r| r.key_id = "soft.ec-p256".into(),
            "FailedPrecondition KEY_PURPOSE_MISMATCH",
        ),
        random("no bytes", bytes(0), "InvalidArgument FIELD_REQUIRED length_bytes"),
        random("too many bytes", bytes(1025), "InvalidArgument FIELD_INVALID length_bytes"),
        random(
            "an unknown backend",
            GenerateRandomRequest { backend: "none".into(), ..bytes(1) },
            "NotFound BACKEND_NOT_FOUND",
        ),
        random(
            "an unknown level",
            GenerateRandomRequest { protection_level: 9, ..bytes(1) },
            "InvalidArgument FIELD_INVALID protection_level",
        ),
        random(
            "more protection than there is",
            GenerateRandomRequest { backend: "soft".into(), protection_level: 3, ..bytes(1) },
            "FailedPrecondition PROTECTION_LEVEL_UNSATISFIABLE",
        ),
    ]
}
