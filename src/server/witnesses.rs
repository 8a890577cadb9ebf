//! Who vouches for the audit log: a key in a file signs its checkpoints, and the
//! catalog remembers them.
//!
//! Where no key is configured, one is made beside the catalog: `audit.key`, which only
//! its owner may read. The log usually lies elsewhere, so that whoever can write the
//! log cannot sign it. `audit.pub` beside it has the public keys of all keys that ever
//! signed there; whoever audits keeps a copy of it elsewhere.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    digest,
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use skms_backend::{Secret, SecretRef};
use tracing::info;
use zeroize::Zeroizing;

use crate::{
    audit::{self, Anchors, Fault, Signer, Witnesses},
    catalog::{self, Catalog},
    model::Anchor,
};

/// The key that the gateway makes for itself.
pub(crate) const KEY: &str = "audit.key";
/// The public keys that checkpoints are checked with.
pub(crate) const PUBLIC: &str = "audit.pub";

/// Who vouches for the log of this configuration.
pub(crate) fn of(
    audit: &audit::Config,
    catalog: &catalog::Config,
    keeper: &Arc<Catalog>,
) -> Result<Witnesses, KeyError> {
    let beside = catalog.path.with_file_name(KEY);
    let reference = match &audit.signing_key {
        Some(reference) => reference.clone(),
        None => {
            let failed = |source| KeyError::Write { path: beside.clone(), source };
            make(&beside).map_err(failed)?;
            SecretRef::File(beside)
        }
    };
    let signer = Key::read(&reference)?;
    let public = catalog.path.with_file_name(PUBLIC);
    signer.publish(&public).map_err(|source| KeyError::Write { path: public.clone(), source })?;
    info!(key = signer.fingerprint, public = %public.display(), "checkpoints of the audit log are signed");
    let anchors: Vec<Arc<dyn Anchors>> = vec![Arc::new(Shelf(Arc::clone(keeper)))];
    Ok(Witnesses { signer: Some(Arc::new(signer)), anchors })
}

/// Makes a key, unless there is one.
fn make(path: &Path) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Ok(());
    }
    let key = Ed25519KeyPair::generate().map_err(|_| io::Error::other("no key could be made"))?;
    let der = key.to_pkcs8().map_err(|_| io::Error::other("no key could be made"))?;
    let pem = Zeroizing::new(pem("PRIVATE KEY", der.as_ref()));
    // Whole or not at all: a key that a crash cut off would keep the gateway from starting.
    let beside = path.with_extension("key.new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// A key that signs checkpoints: Ed25519 (RFC 8032).
struct Key {
    pair: Ed25519KeyPair,
    fingerprint: String,
    /// The public key, DER.
    public: Vec<u8>,
}

impl Key {
    fn read(reference: &SecretRef) -> Result<Self, KeyError> {
        let secret = reference.read().map_err(|source| KeyError::Read { source })?;
        Self::parse(&secret).ok_or_else(|| KeyError::Unusable { reference: reference.to_string() })
    }

    fn parse(pem: &Secret) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).ok()?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).ok()?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let public = public.as_ref().to_vec();
        Some(Self { pair, fingerprint: fingerprint(&public), public })
    }

    /// Adds the public key to those in the file, for whoever checks the log.
    fn publish(&self, path: &Path) -> io::Result<()> {
        let pem = pem("PUBLIC KEY", &self.public);
        let there = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            there => there?,
        };
        if there.contains(&pem) {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o644).open(path)?;
        file.write_all(pem.as_bytes())
    }
}

impl Signer for Key {
    fn key(&self) -> &str {
        &self.fingerprint
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Fault> {
        Ok(self.pair.sign(message).as_ref().to_vec())
    }
}

/// The public keys in a file of PEM, by their fingerprints: what checkpoints are
/// checked with.
///
/// # Errors
/// When the file cannot be read, or holds something else than Ed25519 keys.
pub(crate) fn public_keys(path: &Path) -> io::Result<Vec<(String, [u8; 32])>> {
    let bytes = fs::read(path)?;
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "it must hold Ed25519 public keys in PEM");
    let mut keys = Vec::new();
    for key in SubjectPublicKeyInfoDer::pem_slice_iter(&bytes) {
        let key = key.map_err(|_| bad())?;
        let raw = key.strip_prefix(&ED25519_SPKI[..]).and_then(|raw| raw.try_into().ok()).ok_or_else(bad)?;
        keys.push((fingerprint(&key), raw));
    }
    if keys.is_empty() { Err(bad()) } else { Ok(keys) }
}

/// What the DER of every Ed25519 public key begins with (RFC 8410 §4).
const ED25519_SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The SHA-256 of a public key in DER, in hexadecimal.
fn fingerprint(public: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, public))
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    // An Ed25519 key, private or public, is a line or two of 64 characters.
    let body = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (index, char) in body.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            pem.push('\n');
        }
        pem.push(char);
    }
    pem.push_str(&format!("\n-----END {label}-----\n"));
    pem
}

/// The catalog, as a place that remembers checkpoints.
struct Shelf(Arc<Catalog>);

impl Anchors for Shelf {
    fn name(&self) -> &'static str {
        "the catalog"
    }

    fn last(&self) -> Result<Option<Anchor>, Fault> {
        Ok(self.0.last_anchor()?)
    }

    fn keep(&self, anchor: &Anchor) -> Result<(), Fault> {
        Ok(self.0.keep_anchor(anchor)?)
    }
}

/// Why there is no key that signs.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be made or published.
    #[error("cannot write `{}`, a key of the audit log", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read the key that signs the audit log")]
    Read {
        /// Which and why.
        source: skms_backend::SecretRefError,
    },
    /// It is another kind of key.
    #[error(
        "`{reference}` holds no Ed25519 private key (PKCS#8, PEM); make one with `openssl genpkey -algorithm ed25519`"
    )]
    Unusable {
        /// Where it is.
        reference: String,
    },
}
