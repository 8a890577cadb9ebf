//! Private and secret keys in memory: how they are made, encoded and read.
//!
//! The library wipes key pairs when they are dropped.

use aws_lc_rs::{
    agreement,
    encoding::{AsBigEndian, AsDer, Curve25519SeedBin, Pkcs8V1Der, PublicKeyX509Der},
    error::{KeyRejected, Unspecified},
    rand,
    rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair, PqdsaSigningAlgorithm,
        RsaKeyPair,
    },
};
use pkcs8::{
    PrivateKeyInfoRef,
    der::{Decode, asn1::OctetStringRef},
};
use skms_backend::{KeyType, MalformedPublicKey, Operation, PublicKey, Usage};
use zeroize::Zeroizing;

/// What a key is for. It is sealed with the key, which opens for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Duty {
    Sign,
    Encrypt,
    Mac,
    Agree,
}

impl Duty {
    pub(crate) const fn of(usage: &Usage) -> Self {
        match usage {
            Usage::Sign(_) => Self::Sign,
            Usage::Encrypt(_) => Self::Encrypt,
            Usage::Mac => Self::Mac,
            Usage::Agree => Self::Agree,
        }
    }

    /// The operation with which it is used.
    pub(crate) const fn operation(self) -> Operation {
        match self {
            Self::Sign => Operation::Sign,
            Self::Encrypt => Operation::Decrypt,
            Self::Mac => Operation::Mac,
            Self::Agree => Operation::Agree,
        }
    }

    /// What is authenticated with a sealed key, after its type. Keys that sign were the
    /// first ones and have nothing.
    pub(crate) const fn sealed_as(self) -> &'static str {
        match self {
            Self::Sign => "",
            Self::Encrypt => "/encrypt",
            Self::Mac => "/mac",
            Self::Agree => "/agree",
        }
    }
}

/// A private or secret key, ready for use.
pub(crate) enum Material {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
    /// RSA for decryption.
    Oaep(OaepPrivateDecryptingKey, PrivateDecryptingKey),
    /// A curve for agreement.
    Agree(agreement::PrivateKey),
    /// A key of AES or HMAC.
    Secret(Zeroizing<Vec<u8>>),
}

/// What is behind a key type in the library.
enum Kind {
    Rsa(KeySize),
    Ecdsa(&'static EcdsaSigningAlgorithm),
    Ed25519,
    MlDsa(&'static PqdsaSigningAlgorithm),
    X25519,
    Secret(usize),
}

const fn kind(key_type: KeyType) -> Kind {
    match key_type {
        KeyType::Rsa2048 => Kind::Rsa(KeySize::Rsa2048),
        KeyType::Rsa3072 => Kind::Rsa(KeySize::Rsa3072),
        KeyType::Rsa4096 => Kind::Rsa(KeySize::Rsa4096),
        KeyType::EcP256 => Kind::Ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING),
        KeyType::EcP384 => Kind::Ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING),
        KeyType::EcP521 => Kind::Ecdsa(&ECDSA_P521_SHA512_FIXED_SIGNING),
        KeyType::EcSecp256k1 => Kind::Ecdsa(&ECDSA_P256K1_SHA256_FIXED_SIGNING),
        KeyType::Ed25519 => Kind::Ed25519,
        KeyType::X25519 => Kind::X25519,
        KeyType::MlDsa44 => Kind::MlDsa(&ML_DSA_44_SIGNING),
        KeyType::MlDsa65 => Kind::MlDsa(&ML_DSA_65_SIGNING),
        KeyType::MlDsa87 => Kind::MlDsa(&ML_DSA_87_SIGNING),
        KeyType::Aes128 => Kind::Secret(16),
        KeyType::Aes256 | KeyType::HmacSha256 => Kind::Secret(32),
        KeyType::HmacSha384 => Kind::Secret(48),
        KeyType::HmacSha512 => Kind::Secret(64),
    }
}

/// The agreement that the library has for a key type.
pub(crate) const fn agreement(key_type: KeyType) -> Option<&'static agreement::Algorithm> {
    match key_type {
        KeyType::EcP256 => Some(&agreement::ECDH_P256),
        KeyType::EcP384 => Some(&agreement::ECDH_P384),
        KeyType::EcP521 => Some(&agreement::ECDH_P521),
        KeyType::X25519 => Some(&agreement::X25519),
        _ => None,
    }
}

/// A new key, encoded: PKCS#8 v1 for a key pair, of which X25519 has the bare 32 bytes
/// of RFC 7748; the bytes of a secret key. For RSA this takes seconds.
pub(crate) fn generate(key_type: KeyType) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    // What the library gives is wiped on drop, like what is given here.
    let bytes = match kind(key_type) {
        Kind::Rsa(size) => {
            let encoded: Pkcs8V1Der<'_> = RsaKeyPair::generate(size)?.as_der()?;
            encoded.as_ref().to_vec()
        }
        Kind::Ecdsa(curve) => EcdsaKeyPair::generate(curve)?.to_pkcs8v1()?.as_ref().to_vec(),
        Kind::Ed25519 => Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref().to_vec(),
        Kind::MlDsa(parameters) => PqdsaKeyPair::generate(parameters)?.to_pkcs8v1()?.as_ref().to_vec(),
        Kind::X25519 => {
            let key = agreement::PrivateKey::generate(&agreement::X25519)?;
            let bytes: Curve25519SeedBin<'_> = key.as_be_bytes()?;
            bytes.as_ref().to_vec()
        }
        Kind::Secret(length) => {
            let mut bytes = Zeroizing::new(vec![0; length]);
            rand::fill(&mut bytes)?;
            return Ok(bytes);
        }
    };
    Ok(Zeroizing::new(bytes))
}

/// The encoding of a key that was made elsewhere, as [`generate`] has it.
pub(crate) fn normalized(key_type: KeyType, encoded: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnfitKey> {
    let bytes = match kind(key_type) {
        Kind::Rsa(_) => {
            let pair = RsaKeyPair::from_pkcs8(encoded)?;
            let encoded: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| UnfitKey)?;
            encoded.as_ref().to_vec()
        }
        Kind::Ecdsa(curve) => {
            EcdsaKeyPair::from_pkcs8(curve, encoded)?.to_pkcs8v1().map_err(|_| UnfitKey)?.as_ref().to_vec()
        }
        Kind::Ed25519 => {
            Ed25519KeyPair::from_pkcs8(encoded)?.to_pkcs8v1().map_err(|_| UnfitKey)?.as_ref().to_vec()
        }
        Kind::MlDsa(parameters) => PqdsaKeyPair::from_pkcs8(parameters, encoded)?
            .to_pkcs8v1()
            .map_err(|_| UnfitKey)?
            .as_ref()
            .to_vec(),
        Kind::X25519 => x25519(encoded).ok_or(UnfitKey)?,
        Kind::Secret(_) => encoded.to_vec(),
    };
    Ok(Zeroizing::new(bytes))
}

/// The 32 bytes in a `CurvePrivateKey` (RFC 8410 §7): the library does not read X25519 in
/// PKCS#8.
fn x25519(encoded: &[u8]) -> Option<Vec<u8>> {
    let info = PrivateKeyInfoRef::from_der(encoded).ok()?;
    let is_x25519 = Some(info.algorithm.oid) == KeyType::X25519.oid() && info.algorithm.parameters.is_none();
    let key = <&OctetStringRef>::from_der(info.private_key.as_bytes()).ok()?;
    is_x25519.then(|| key.as_bytes().to_vec())
}

impl Material {
    /// From its encoding; refuses a key of any other type, or one that cannot do this.
    pub(crate) fn read(key_type: KeyType, duty: Duty, encoded: &[u8]) -> Result<Self, UnfitKey> {
        Ok(match (kind(key_type), duty) {
            (Kind::Rsa(size), Duty::Sign) => {
                let pair = RsaKeyPair::from_pkcs8(encoded)?;
                if pair.public_modulus_len() != size.len() {
                    return Err(UnfitKey);
                }
                Self::Rsa(pair)
            }
            (Kind::Rsa(size), Duty::Encrypt) => {
                let key = PrivateDecryptingKey::from_pkcs8(encoded)?;
                if key.key_size_bytes() != size.len() {
                    return Err(UnfitKey);
                }
                Self::Oaep(OaepPrivateDecryptingKey::new(key.clone()).map_err(|_| UnfitKey)?, key)
            }
            (Kind::Ecdsa(curve), Duty::Sign) => Self::Ecdsa(EcdsaKeyPair::from_pkcs8(curve, encoded)?),
            (Kind::Ecdsa(_), Duty::Agree) => {
                let curve = agreement(key_type).ok_or(UnfitKey)?;
                Self::Agree(agreement::PrivateKey::from_private_key_der(curve, encoded)?)
            }
            (Kind::Ed25519, Duty::Sign) => Self::Ed25519(Ed25519KeyPair::from_pkcs8(encoded)?),
            (Kind::MlDsa(parameters), Duty::Sign) => {
                Self::MlDsa(PqdsaKeyPair::from_pkcs8(parameters, encoded)?)
            }
            (Kind::X25519, Duty::Agree) => {
                Self::Agree(agreement::PrivateKey::from_private_key(&agreement::X25519, encoded)?)
            }
            (Kind::Secret(length), Duty::Encrypt | Duty::Mac)
                if encoded.len() == length && (duty == Duty::Mac) == key_type.mac_hash().is_some() =>
            {
                Self::Secret(Zeroizing::new(encoded.to_vec()))
            }
            _ => return Err(UnfitKey),
        })
    }

    /// The public half, checked to be of the expected type; `None` for a secret key.
    pub(crate) fn public_key(&self, key_type: KeyType) -> Result<Option<PublicKey>, MalformedPublicKey> {
        let of_point = |point: &[u8]| PublicKey::from_point(key_type, point);
        let of_spki = |spki: Result<PublicKeyX509Der<'_>, Unspecified>| {
            PublicKey::from_spki(key_type, spki.map_err(|_| MalformedPublicKey)?.as_ref())
        };
        match self {
            Self::Rsa(pair) => of_spki(pair.public_key().as_der()),
            Self::Oaep(_, key) => of_spki(key.public_key().as_der()),
            Self::Ecdsa(pair) => of_point(pair.public_key().as_ref()),
            Self::Ed25519(pair) => of_point(pair.public_key().as_ref()),
            Self::MlDsa(pair) => of_point(pair.public_key().as_ref()),
            Self::Agree(key) => of_point(key.compute_public_key().map_err(|_| MalformedPublicKey)?.as_ref()),
            Self::Secret(_) => return Ok(None),
        }
        .map(Some)
    }
}

/// Bytes that are no private key of the expected type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no key of the expected type and use")]
pub(crate) struct UnfitKey;

impl From<KeyRejected> for UnfitKey {
    /// The library's reason tells nothing that an operator could act on.
    fn from(_: KeyRejected) -> Self {
        Self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RSA-4096 takes seconds and differs from the others in nothing but size.
    fn fast() -> impl Iterator<Item = (KeyType, Duty)> {
        let duties = [Duty::Sign, Duty::Encrypt, Duty::Mac, Duty::Agree];
        let types =
            KeyType::ALL.into_iter().filter(|key_type| key_type.rsa_bits().is_none_or(|bits| bits < 3072));
        types.flat_map(move |key_type| duties.map(|duty| (key_type, duty)))
    }

    #[test]
    fn an_encoded_key_reads_back_as_the_same_key_for_what_it_can_do() {
        for key_type in KeyType::ALL {
            if key_type.rsa_bits() > Some(2048) {
                continue;
            }
            let encoded = generate(key_type).unwrap();
            let mut halves = Vec::new();
            for (_, duty) in fast().filter(|(other, _)| *other == key_type) {
                if let Ok(key) = Material::read(key_type, duty, &encoded) {
                    halves.push(key.public_key(key_type).unwrap());
                }
            }
            assert!(!halves.is_empty(), "{key_type} can do nothing");
            assert!(halves.iter().all(|half| *half == halves[0] && half.is_none() == key_type.is_secret()));
        }
    }

    #[test]
    fn a_key_of_another_type_is_refused() {
        for key_type in KeyType::ALL.into_iter().filter(|key_type| key_type.rsa_bits() <= Some(2048)) {
            let encoded = generate(key_type).unwrap();
            for (other, duty) in fast().filter(|(other, _)| *other != key_type) {
                // Bytes of one length are keys of every type that has it.
                let bare = |key_type: KeyType| key_type.is_secret() || key_type == KeyType::X25519;
                if bare(other) && (bare(key_type) || other.secret_bytes() == Some(encoded.len())) {
                    continue;
                }
                assert!(Material::read(other, duty, &encoded).is_err(), "{key_type} as {other}");
            }
        }
    }

    #[test]
    fn x25519_comes_in_pkcs8_and_in_no_other_form() {
        // RFC 8410 §7, with the object identifier of X25519.
        let header = hex::decode("302e020100300506032b656e04220420").unwrap();
        let scalar = generate(KeyType::X25519).unwrap();
        let encoded = [&header, scalar.as_slice()].concat();
        assert_eq!(normalized(KeyType::X25519, &encoded).unwrap(), scalar);
        let mut of_ed25519 = encoded.clone();
        of_ed25519[11] = 0x70;
        for bad in [&scalar[..], &of_ed25519, &encoded[..47], &[&encoded[..], &[0]].concat()] {
            assert!(normalized(KeyType::X25519, bad).is_err());
        }
    }

    #[test]
    fn a_truncated_key_is_refused() {
        for (key_type, duty) in fast() {
            let encoded = generate(key_type).unwrap();
            for length in 0..encoded.len() {
                assert!(Material::read(key_type, duty, &encoded[..length]).is_err(), "{key_type} {length}");
            }
        }
    }
}
