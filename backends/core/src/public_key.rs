//! Public keys as `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7), and verification
//! and encryption in software for every backend: a public operation needs no device.

use std::{fmt, sync::OnceLock};

use aws_lc_rs::{
    digest::{self, Digest},
    rsa,
    signature::{self, ParsedPublicKey, VerificationAlgorithm},
};
use bytes::Bytes;
use der::{
    Decode, Encode,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef},
    pem::LineEnding,
};
use serde::{Deserialize, Serialize};
use spki::{AlgorithmIdentifierRef, EncodePublicKey, SubjectPublicKeyInfoRef};

use crate::{EncryptionAlgorithm, KeyType, SignInput, SignatureAlgorithm};

/// rsaEncryption, RFC 8017 §A.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// id-ecPublicKey, RFC 5480 §2.1.1.
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// id-X25519, RFC 8410 §3.
const X25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.110");
/// id-Ed25519, RFC 8410 §3.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

impl KeyType {
    /// The object identifier that tells the type from others of its family: the EC
    /// parameters of SEC 2 and RFC 5480, or the algorithm itself for Ed25519, X25519 (RFC
    /// 8410) and ML-DSA (RFC 9881). `None` for RSA and secret keys.
    #[must_use]
    pub const fn oid(self) -> Option<ObjectIdentifier> {
        match self {
            Self::EcP256 => Some(ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7")),
            Self::EcP384 => Some(ObjectIdentifier::new_unwrap("1.3.132.0.34")),
            Self::EcP521 => Some(ObjectIdentifier::new_unwrap("1.3.132.0.35")),
            Self::EcSecp256k1 => Some(ObjectIdentifier::new_unwrap("1.3.132.0.10")),
            Self::Ed25519 => Some(ED25519),
            Self::X25519 => Some(X25519),
            Self::MlDsa44 => Some(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17")),
            Self::MlDsa65 => Some(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18")),
            Self::MlDsa87 => Some(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19")),
            _ => None,
        }
    }
}

/// A public key that is well-formed for its type.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Kept", try_from = "Kept")]
pub struct PublicKey {
    key_type: KeyType,
    spki: Bytes,
    /// Parsed for the algorithm that was asked for first; keys are mostly used
    /// with one, and parsing costs a tenth of a verification.
    parsed: std::sync::Arc<OnceLock<(SignatureAlgorithm, ParsedPublicKey)>>,
}

impl PublicKey {
    /// From the `SubjectPublicKeyInfo` in DER.
    ///
    /// # Errors
    /// When the bytes are no public key of exactly this type.
    pub fn from_spki(key_type: KeyType, der: &[u8]) -> Result<Self, MalformedPublicKey> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| MalformedPublicKey)?;
        let bits = info.subject_public_key.as_bytes().ok_or(MalformedPublicKey)?;
        let rebuilt = match key_type.rsa_bits() {
            Some(_) => {
                let rsa = pkcs1::RsaPublicKeyRef::from_der(bits).map_err(|_| MalformedPublicKey)?;
                Self::from_rsa(key_type, rsa.modulus.as_bytes(), rsa.public_exponent.as_bytes())?
            }
            None => Self::from_point(key_type, bits)?,
        };
        // One key has one encoding here; anything else is another type or loose DER.
        if rebuilt.spki != der { Err(MalformedPublicKey) } else { Ok(rebuilt) }
    }

    /// From a `SubjectPublicKeyInfo` that was checked when it was stored; it is
    /// parsed when it is first used, so that a start with many keys is quick.
    #[must_use]
    pub fn from_stored(key_type: KeyType, der: Bytes) -> Self {
        Self { key_type, spki: der, parsed: std::sync::Arc::default() }
    }

    /// From modulus and public exponent, big-endian.
    ///
    /// # Errors
    /// When the modulus is not of the length that the key type says.
    pub fn from_rsa(key_type: KeyType, modulus: &[u8], exponent: &[u8]) -> Result<Self, MalformedPublicKey> {
        let modulus = UintRef::new(modulus).map_err(|_| MalformedPublicKey)?;
        let public_exponent = UintRef::new(exponent).map_err(|_| MalformedPublicKey)?;
        let bits = modulus.as_bytes().len() * 8
            - modulus.as_bytes().first().map_or(0, |first| first.leading_zeros() as usize);
        if key_type.rsa_bits() != Some(bits) {
            return Err(MalformedPublicKey);
        }
        let key =
            pkcs1::RsaPublicKey { modulus, public_exponent }.to_der().map_err(|_| MalformedPublicKey)?;
        Self::checked(key_type, RSA, Some(AnyRef::NULL), &key)
    }

    /// From the public point: uncompressed (SEC 1 §2.3.3) for Weierstrass curves, the 32
    /// bytes of RFC 8032 for Ed25519 and of RFC 7748 for X25519; or from the encoded key
    /// of FIPS 204 for ML-DSA.
    ///
    /// # Errors
    /// When the point is not on the curve, or not in that form.
    pub fn from_point(key_type: KeyType, point: &[u8]) -> Result<Self, MalformedPublicKey> {
        let oid = key_type.oid().ok_or(MalformedPublicKey)?;
        if let Some(field) = key_type.field_bytes() {
            return if point.len() == 1 + 2 * field && point.first() == Some(&4) {
                Self::checked(key_type, EC, Some(AnyRef::from(&oid)), point)
            } else {
                Err(MalformedPublicKey)
            };
        }
        let length = match key_type {
            KeyType::MlDsa44 => 1312,
            KeyType::MlDsa65 => 1952,
            KeyType::MlDsa87 => 2592,
            _ => 32,
        };
        if point.len() != length {
            return Err(MalformedPublicKey);
        }
        Self::checked(key_type, oid, None, point)
    }

    fn checked(
        key_type: KeyType,
        oid: ObjectIdentifier,
        parameters: Option<AnyRef<'_>>,
        bits: &[u8],
    ) -> Result<Self, MalformedPublicKey> {
        let spki = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef { oid, parameters },
            subject_public_key: BitStringRef::from_bytes(bits).map_err(|_| MalformedPublicKey)?,
        }
        .to_der()
        .map_err(|_| MalformedPublicKey)?;
        let key = Self { key_type, spki: spki.into(), parsed: std::sync::Arc::default() };
        // Every 32 bytes are a public key of X25519 (RFC 7748 §5).
        if key_type == KeyType::X25519 {
            return Ok(key);
        }
        // The library checks what a shape cannot: that the point is on the curve.
        let algorithm = SignatureAlgorithm::of(key_type).next().ok_or(MalformedPublicKey)?;
        let parsed = key.parse(algorithm).ok_or(MalformedPublicKey)?;
        let _ = key.parsed.set((algorithm, parsed));
        Ok(key)
    }

    /// The type of the key.
    #[must_use]
    pub const fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// The `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub const fn spki_der(&self) -> &Bytes {
        &self.spki
    }

    /// The `SubjectPublicKeyInfo` in PEM (RFC 7468).
    #[must_use]
    pub fn to_pem(&self) -> String {
        spki::Document::try_from(self.spki.as_ref())
            .and_then(|document| document.to_pem("PUBLIC KEY", LineEnding::LF))
            .unwrap_or_default()
    }

    /// SHA-256 of the `SubjectPublicKeyInfo` in DER.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest::digest(&digest::SHA256, &self.spki).as_ref());
        fingerprint
    }

    /// The numbers that the key consists of. `None` where what was stored is damaged.
    #[must_use]
    pub fn numbers(&self) -> Option<PublicNumbers> {
        let raw = Bytes::copy_from_slice(self.raw());
        if self.key_type.rsa_bits().is_some() {
            let rsa = pkcs1::RsaPublicKeyRef::from_der(&raw).ok()?;
            return Some(PublicNumbers::Rsa {
                modulus: Bytes::copy_from_slice(rsa.modulus.as_bytes()),
                exponent: Bytes::copy_from_slice(rsa.public_exponent.as_bytes()),
            });
        }
        let Some(field) = self.key_type.field_bytes() else {
            return (!raw.is_empty()).then_some(PublicNumbers::Octets(raw));
        };
        // The first byte says that the point is not compressed.
        let mut x = (raw.len() == 1 + 2 * field).then(|| raw.slice(1..))?;
        let y = x.split_off(field);
        Some(PublicNumbers::Point { x, y })
    }

    /// Whether `signature` is this key's over `input`. ECDSA signatures are
    /// r‖s of fixed width. A malformed signature, an algorithm of another key
    /// type or a digest of another hash is no valid signature either.
    #[must_use]
    pub fn verify(&self, algorithm: SignatureAlgorithm, input: &SignInput, signature: &[u8]) -> bool {
        let fresh;
        let key = match self.parsed.get() {
            Some((parsed_for, key)) if *parsed_for == algorithm => key,
            _ => match self.parse(algorithm) {
                Some(key) => {
                    fresh = key;
                    &fresh
                }
                None => return false,
            },
        };
        match (input, algorithm.hash()) {
            (SignInput::Message(message), _) => key.verify_sig(message, signature).is_ok(),
            (SignInput::Digest { hash, value }, Some(expected)) if *hash == expected => {
                Digest::import_less_safe(value, hash.algorithm())
                    .and_then(|digest| key.verify_digest_sig(&digest, signature))
                    .is_ok()
            }
            (SignInput::Digest { .. }, _) => false,
        }
    }

    /// What is in the `SubjectPublicKeyInfo`: the point of a curve, the encoded key of
    /// ML-DSA, or the `RSAPublicKey` in DER.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        SubjectPublicKeyInfoRef::from_der(&self.spki)
            .ok()
            .and_then(|info| info.subject_public_key.as_bytes())
            .unwrap_or_default()
    }

    /// Encrypts with RSAES-OAEP (RFC 8017 §7.1), without a label.
    ///
    /// # Errors
    /// When the key is no RSA key, or the plaintext is longer than
    /// [`EncryptionAlgorithm::oaep_max_bytes`].
    pub fn encrypt_oaep(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, MalformedPublicKey> {
        let scheme = match algorithm {
            EncryptionAlgorithm::RsaOaepSha1 => &rsa::OAEP_SHA1_MGF1SHA1,
            EncryptionAlgorithm::RsaOaepSha256 => &rsa::OAEP_SHA256_MGF1SHA256,
            EncryptionAlgorithm::RsaOaepSha384 => &rsa::OAEP_SHA384_MGF1SHA384,
            EncryptionAlgorithm::RsaOaepSha512 => &rsa::OAEP_SHA512_MGF1SHA512,
            EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => {
                return Err(MalformedPublicKey);
            }
        };
        let key = rsa::PublicEncryptingKey::from_der(&self.spki).map_err(|_| MalformedPublicKey)?;
        let key = rsa::OaepPublicEncryptingKey::new(key).map_err(|_| MalformedPublicKey)?;
        let mut ciphertext = vec![0; key.ciphertext_size()];
        let length =
            key.encrypt(scheme, plaintext, &mut ciphertext, None).map_err(|_| MalformedPublicKey)?.len();
        ciphertext.truncate(length);
        Ok(ciphertext)
    }

    fn parse(&self, algorithm: SignatureAlgorithm) -> Option<ParsedPublicKey> {
        if !algorithm.fits(self.key_type) {
            return None;
        }
        ParsedPublicKey::new(verification_algorithm(algorithm), self.spki.as_ref()).ok()
    }
}

/// What a public key consists of; all numbers big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicNumbers {
    /// RSA, without leading zeros.
    Rsa {
        /// The modulus.
        modulus: Bytes,
        /// The public exponent.
        exponent: Bytes,
    },
    /// A point of a Weierstrass curve, both coordinates as long as a field element.
    Point {
        /// The first coordinate.
        x: Bytes,
        /// The second coordinate.
        y: Bytes,
    },
    /// The bytes of Ed25519 (RFC 8032), X25519 (RFC 7748) or ML-DSA (FIPS 204).
    Octets(Bytes),
}

fn verification_algorithm(algorithm: SignatureAlgorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => &signature::ECDSA_P256_SHA256_FIXED,
        SignatureAlgorithm::EcdsaP384Sha384 => &signature::ECDSA_P384_SHA384_FIXED,
        SignatureAlgorithm::EcdsaP521Sha512 => &signature::ECDSA_P521_SHA512_FIXED,
        SignatureAlgorithm::EcdsaSecp256k1Sha256 => &signature::ECDSA_P256K1_SHA256_FIXED,
        SignatureAlgorithm::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
        SignatureAlgorithm::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
        SignatureAlgorithm::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
        SignatureAlgorithm::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        SignatureAlgorithm::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        SignatureAlgorithm::RsaPkcs1Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        SignatureAlgorithm::Ed25519 => &signature::ED25519,
        SignatureAlgorithm::MlDsa44 => &signature::ML_DSA_44,
        SignatureAlgorithm::MlDsa65 => &signature::ML_DSA_65,
        SignatureAlgorithm::MlDsa87 => &signature::ML_DSA_87,
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.key_type == other.key_type && self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.key_type, hex::encode(self.sha256()))
    }
}

/// How a public key is kept in text: its type, and its DER in hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct Kept {
    key_type: KeyType,
    spki: String,
}

impl From<PublicKey> for Kept {
    fn from(key: PublicKey) -> Self {
        Self { key_type: key.key_type, spki: hex::encode(&key.spki) }
    }
}

impl TryFrom<Kept> for PublicKey {
    type Error = hex::FromHexError;

    fn try_from(kept: Kept) -> Result<Self, hex::FromHexError> {
        Ok(Self::from_stored(kept.key_type, hex::decode(kept.spki)?.into()))
    }
}

impl EncodePublicKey for PublicKey {
    fn to_public_key_der(&self) -> spki::Result<spki::Document> {
        Ok(spki::Document::try_from(self.spki.as_ref())?)
    }
}

/// Bytes that are no public key of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed public key, or one of another type")]
pub struct MalformedPublicKey;
