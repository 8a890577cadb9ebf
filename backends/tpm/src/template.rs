//! The public areas with which keys are asked for (TPM 2.0 part 2, chapter 12.2).
//!
//! Every key is for one thing, never leaves its parent, and is not counted by the
//! protection against dictionary attacks: its authorization value is random, and a TPM
//! that counts every unclean stop would be locked after three of them.

use aws_lc_rs::digest;
use skms_backend::{Hash, KeyTag, KeyType};
use tss_esapi::{
    Result,
    attributes::ObjectAttributesBuilder,
    interface_types::{
        algorithm::{HashingAlgorithm, PublicAlgorithm},
        ecc::EccCurve,
        key_bits::RsaKeyBits,
    },
    structures::{
        Digest, EccPoint, EccScheme, HashScheme, HmacScheme, KeyDerivationFunctionScheme, KeyedHashScheme,
        Public, PublicBuilder, PublicEccParameters, PublicKeyRsa, PublicKeyedHashParameters,
        PublicRsaParameters, RsaExponent, RsaScheme, SymmetricDefinitionObject,
    },
};

use crate::duty::Duty;

/// Where the material of a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The TPM makes it.
    Tpm,
    /// It is given when the key is created: secret keys.
    Given,
    /// It is imported: key pairs.
    Imported,
}

/// The storage key: ECC on P-256 with AES-128, the same on every TPM of one seed. Never
/// changed, or no key is found again.
pub(crate) fn storage() -> Result<Public> {
    primary(of_primary().with_decrypt(true), SymmetricDefinitionObject::AES_128_CFB, EccScheme::Null)
}

/// The attestation key: ECDSA on P-256 with SHA-256, the same on every TPM of one seed. It
/// is restricted, so that it signs nothing but what the TPM itself says. Never changed, or
/// whoever knows it sees another one.
pub(crate) fn attestation() -> Result<Public> {
    let scheme = EccScheme::EcDsa(HashScheme::new(HashingAlgorithm::Sha256));
    primary(of_primary().with_sign_encrypt(true), SymmetricDefinitionObject::Null, scheme)
}

/// What all primary keys have: they are made by the TPM, stay in it, and do one thing for
/// the TPM alone.
fn of_primary() -> ObjectAttributesBuilder {
    ObjectAttributesBuilder::new()
        .with_fixed_tpm(true)
        .with_fixed_parent(true)
        .with_sensitive_data_origin(true)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_restricted(true)
}

/// A key that a TPM makes of its seed and of this.
fn primary(
    attributes: ObjectAttributesBuilder,
    symmetric: SymmetricDefinitionObject,
    scheme: EccScheme,
) -> Result<Public> {
    let kdf = KeyDerivationFunctionScheme::Null;
    PublicBuilder::new()
        .with_public_algorithm(PublicAlgorithm::Ecc)
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes.build()?)
        .with_ecc_parameters(PublicEccParameters::new(symmetric, scheme, EccCurve::NistP256, kdf))
        .with_ecc_unique_identifier(EccPoint::default())
        .build()
}

/// What a key is bound to: SHA-256 of the tag, the type and the duty.
///
/// It stands where a policy would. No policy has this digest, as each of them is the
/// digest of another beginning; so the key is used with its authorization value alone.
pub(crate) fn binding(tag: KeyTag, key_type: KeyType, duty: Duty) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"skms/tpm/binding/1");
    context.update(tag.as_bytes());
    for part in [key_type.name(), "/", duty.name()] {
        context.update(part.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

/// The unique field of a public area: empty where the TPM fills it in.
#[derive(Clone, Debug)]
pub(crate) enum Unique {
    None,
    Rsa(Vec<u8>),
    Point(Vec<u8>, Vec<u8>),
}

/// The public area of a key; `None` for a type that no TPM has.
pub(crate) fn key(
    (tag, key_type, duty): (KeyTag, KeyType, Duty),
    source: Source,
    unique: &Unique,
) -> Result<Option<Public>> {
    let imported = source == Source::Imported;
    // Data that is only kept neither signs nor decrypts.
    let kept = key_type.is_aes();
    let attributes = ObjectAttributesBuilder::new()
        .with_fixed_tpm(!imported)
        .with_fixed_parent(!imported)
        .with_sensitive_data_origin(source == Source::Tpm)
        .with_user_with_auth(true)
        .with_no_da(true)
        .with_sign_encrypt(matches!(duty, Duty::Sign | Duty::Mac))
        .with_decrypt(matches!(duty, Duty::Encrypt | Duty::Agree) && !kept)
        .build()?;
    let builder = PublicBuilder::new()
        .with_name_hashing_algorithm(HashingAlgorithm::Sha256)
        .with_object_attributes(attributes)
        .with_auth_policy(Digest::try_from(binding(tag, key_type, duty))?);
    if let Some(bits) = rsa_bits(key_type) {
        let modulus = match unique {
            Unique::Rsa(modulus) => PublicKeyRsa::try_from(modulus.as_slice())?,
            Unique::None | Unique::Point(..) => PublicKeyRsa::default(),
        };
        return builder
            .with_public_algorithm(PublicAlgorithm::Rsa)
            .with_rsa_parameters(rsa_parameters(bits))
            .with_rsa_unique_identifier(modulus)
            .build()
            .map(Some);
    }
    if let Some(curve) = curve(key_type) {
        let point = match unique {
            Unique::Point(x, y) => EccPoint::new(x.as_slice().try_into()?, y.as_slice().try_into()?),
            Unique::None | Unique::Rsa(_) => EccPoint::default(),
        };
        return builder
            .with_public_algorithm(PublicAlgorithm::Ecc)
            .with_ecc_parameters(ecc_parameters(curve))
            .with_ecc_unique_identifier(point)
            .build()
            .map(Some);
    }
    let scheme = match (key_type.mac_hash(), kept) {
        (Some(hash), _) => KeyedHashScheme::Hmac { hmac_scheme: HmacScheme::new(hashing(hash)) },
        (None, true) => KeyedHashScheme::Null,
        (None, false) => return Ok(None),
    };
    builder
        .with_public_algorithm(PublicAlgorithm::KeyedHash)
        .with_keyed_hash_parameters(PublicKeyedHashParameters::new(scheme))
        .with_keyed_hash_unique_identifier(Digest::default())
        .build()
        .map(Some)
}

/// RSA with the public exponent 65537, which a TPM writes as 0.
pub(crate) fn rsa_parameters(bits: RsaKeyBits) -> PublicRsaParameters {
    let exponent = RsaExponent::default();
    PublicRsaParameters::new(SymmetricDefinitionObject::Null, RsaScheme::Null, bits, exponent)
}

pub(crate) const fn ecc_parameters(curve: EccCurve) -> PublicEccParameters {
    let kdf = KeyDerivationFunctionScheme::Null;
    PublicEccParameters::new(SymmetricDefinitionObject::Null, EccScheme::Null, curve, kdf)
}

pub(crate) const fn rsa_bits(key_type: KeyType) -> Option<RsaKeyBits> {
    match key_type {
        KeyType::Rsa2048 => Some(RsaKeyBits::Rsa2048),
        KeyType::Rsa3072 => Some(RsaKeyBits::Rsa3072),
        KeyType::Rsa4096 => Some(RsaKeyBits::Rsa4096),
        _ => None,
    }
}

pub(crate) const fn curve(key_type: KeyType) -> Option<EccCurve> {
    match key_type {
        KeyType::EcP256 => Some(EccCurve::NistP256),
        KeyType::EcP384 => Some(EccCurve::NistP384),
        KeyType::EcP521 => Some(EccCurve::NistP521),
        _ => None,
    }
}

pub(crate) const fn hashing(hash: Hash) -> HashingAlgorithm {
    match hash {
        Hash::Sha256 => HashingAlgorithm::Sha256,
        Hash::Sha384 => HashingAlgorithm::Sha384,
        Hash::Sha512 => HashingAlgorithm::Sha512,
    }
}
