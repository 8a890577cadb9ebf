//! The `openssl` command as the other implementation that must agree.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use parking_lot::Mutex;
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
    if key_type.is_ml_dsa() {
        // Not known to the OpenSSL 3.0 of Debian 12.
        return;
    }
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
        other => panic!("openssl reads no {other}"),
    };
    assert!(read.contains(expected), "openssl reads a {key_type} key as: {read}");
    if key_type.rsa_bits().is_some() {
        assert!(read.contains("Exponent: 65537"), "{read}");
    }
}

/// A key pair of openssl's.
pub(super) struct Pair {
    directory: TempDir,
    key_type: KeyType,
}

impl Pair {
    pub(super) fn new(key_type: KeyType) -> Self {
        let pair = Self { directory: TempDir::new().unwrap(), key_type };
        let option = match key_type {
            KeyType::EcP256 => "ec_paramgen_curve:P-256",
            KeyType::EcP384 => "ec_paramgen_curve:P-384",
            KeyType::EcP521 => "ec_paramgen_curve:P-521",
            KeyType::EcSecp256k1 => "ec_paramgen_curve:secp256k1",
            KeyType::Rsa2048 => "rsa_keygen_bits:2048",
            KeyType::Ed25519 | KeyType::X25519 => "",
            other => panic!("openssl is asked for no {other}"),
        };
        let algorithm = match key_type {
            KeyType::Rsa2048 => "RSA",
            KeyType::Ed25519 => "ED25519",
            KeyType::X25519 => "X25519",
            _ => "EC",
        };
        let mut command = Command::new("openssl");
        command.args(["genpkey", "-quiet", "-algorithm", algorithm, "-out"]).arg(pair.path());
        if !option.is_empty() {
            command.args(["-pkeyopt", option]);
        }
        must(&mut command);
        pair
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// The public half.
    pub(super) fn public(&self) -> PublicKey {
        let mut command = Command::new("openssl");
        let der = must(command.args(["pkey", "-pubout", "-outform", "DER", "-in"]).arg(self.path()));
        PublicKey::from_spki(self.key_type, &der).unwrap()
    }

    /// The private half in PKCS#8.
    pub(super) fn pkcs8(&self) -> Vec<u8> {
        let mut command = Command::new("openssl");
        must(command.args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"]).arg(self.path()))
    }

    /// The secret that it agrees on with the owner of another key.
    pub(super) fn agree(&self, peer: &PublicKey) -> Vec<u8> {
        let file = self.directory.path().join("peer.pem");
        fs::write(&file, peer.to_pem()).unwrap();
        let mut command = Command::new("openssl");
        must(command.args(["pkeyutl", "-derive", "-inkey"]).arg(self.path()).arg("-peerkey").arg(file))
    }
}

/// A public key of a type that agrees, always the same.
pub(super) fn point(key_type: KeyType) -> PublicKey {
    static POINTS: Mutex<BTreeMap<KeyType, PublicKey>> = Mutex::new(BTreeMap::new());
    POINTS.lock().entry(key_type).or_insert_with(|| Pair::new(key_type).public()).clone()
}

fn must(command: &mut Command) -> Vec<u8> {
    let output = run(command);
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
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
