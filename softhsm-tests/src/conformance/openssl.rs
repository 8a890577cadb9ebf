//! The `openssl` command as the other implementation that must agree.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use skms_backend::{KeyType, PublicKey, SignatureAlgorithm, der_from_p1363};
use tempfile::TempDir;

/// Whether `signature` is the key's over `message`, as openssl sees it.
pub(super) fn verifies(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let encoded = if algorithm.is_ecdsa() { der_from_p1363(signature).unwrap() } else { signature.to_vec() };
    agrees(&key.to_pem(), algorithm, message, &encoded)
}

/// The same for a key in PEM and a signature as openssl has it: of ECDSA in DER.
///
/// # Panics
/// Where there is no openssl.
#[must_use]
pub fn agrees(pem: &str, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
    let directory = TempDir::new().unwrap();
    let file = |name: &str, content: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let key = file("key.pem", pem.as_bytes());
    let text = file("message", message);
    let signature = file("signature", signature);

    let mut command = Command::new("openssl");
    match algorithm.hash() {
        Some(hash) => {
            let name = hash.name().replace('-', "").to_ascii_lowercase();
            command.args(["dgst", &format!("-{name}"), "-verify"]).arg(key);
            if algorithm.is_rsa_pss() {
                let mgf = format!("rsa_mgf1_md:{name}");
                // The salt has the length of the digest and no other.
                for option in ["rsa_padding_mode:pss", "rsa_pss_saltlen:digest", &mgf] {
                    command.args(["-sigopt", option]);
                }
            }
            command.arg("-signature").arg(signature).arg(text);
        }
        None => {
            command.args(["pkeyutl", "-verify", "-pubin", "-rawin", "-inkey"]).arg(key);
            command.arg("-in").arg(text).arg("-sigfile").arg(signature);
        }
    }
    run(&mut command).status.success()
}

/// Demands that openssl reads a public key as one of its type.
pub(super) fn check_public_key(key: &PublicKey) {
    check_pem(&key.to_pem(), key.key_type());
}

/// The same for a key in PEM.
///
/// # Panics
/// When openssl reads it as anything else.
pub fn check_pem(pem: &str, key_type: KeyType) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("key.pem");
    fs::write(&path, pem).unwrap();
    let read = describe(&path);
    let expected = match key_type {
        KeyType::Rsa2048 => "Public-Key: (2048 bit)",
        KeyType::Rsa3072 => "Public-Key: (3072 bit)",
        KeyType::Rsa4096 => "Public-Key: (4096 bit)",
        KeyType::EcP256 => "ASN1 OID: prime256v1",
        KeyType::EcP384 => "ASN1 OID: secp384r1",
        KeyType::EcP521 => "ASN1 OID: secp521r1",
        KeyType::EcSecp256k1 => "ASN1 OID: secp256k1",
        KeyType::Ed25519 => "ED25519 Public-Key",
        KeyType::X25519 => "X25519 Public-Key",
        // Not known to the OpenSSL 3.0 of Debian 12.
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => return,
        secret => panic!("{secret} has no public half"),
    };
    assert!(read.contains(expected), "openssl reads a {key_type} key as: {read}");
    if key_type.rsa_bits().is_some() {
        assert!(read.contains("Exponent: 65537"), "{read}");
    }
}

fn describe(key: &Path) -> String {
    let output = run(Command::new("openssl").args(["pkey", "-pubin", "-noout", "-text", "-in"]).arg(key));
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("cannot run openssl: {error}; run `apt-get install openssl`"))
}
