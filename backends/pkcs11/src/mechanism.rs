//! Mechanisms: what a token lists, and which of them does what.

use cryptoki::{
    context::Pkcs11,
    mechanism::{
        Mechanism, MechanismInfo, MechanismType,
        eddsa::{EddsaParams, EddsaSignatureScheme},
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    slot::Slot,
};
use skms_backend::{EncryptionAlgorithm, Error, Hash, KeyType, Operation, SignatureAlgorithm};
use tracing::debug;

use crate::error::device;

/// What the device is given to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A digest that the gateway, or its caller, has made.
    Digest,
    /// The whole message; the device hashes.
    Message,
}

impl Route {
    /// The mechanism for an algorithm on this route, if there is one.
    ///
    /// It is made where it is used: a [`Mechanism`] may not leave its thread.
    pub(crate) fn mechanism(self, algorithm: SignatureAlgorithm) -> Option<Mechanism<'static>> {
        use SignatureAlgorithm as A;
        Some(match (self, algorithm) {
            (Self::Digest, A::Ed25519) | (_, A::MlDsa44 | A::MlDsa65 | A::MlDsa87) => return None,
            (
                Self::Digest,
                A::EcdsaP256Sha256 | A::EcdsaP384Sha384 | A::EcdsaP521Sha512 | A::EcdsaSecp256k1Sha256,
            ) => Mechanism::Ecdsa,
            (Self::Digest, A::RsaPssSha256) => Mechanism::RsaPkcsPss(pss(Hash::Sha256)),
            (Self::Digest, A::RsaPssSha384) => Mechanism::RsaPkcsPss(pss(Hash::Sha384)),
            (Self::Digest, A::RsaPssSha512) => Mechanism::RsaPkcsPss(pss(Hash::Sha512)),
            (Self::Digest, A::RsaPkcs1Sha256 | A::RsaPkcs1Sha384 | A::RsaPkcs1Sha512) => Mechanism::RsaPkcs,
            (Self::Message, A::EcdsaP256Sha256 | A::EcdsaSecp256k1Sha256) => Mechanism::EcdsaSha256,
            (Self::Message, A::EcdsaP384Sha384) => Mechanism::EcdsaSha384,
            (Self::Message, A::EcdsaP521Sha512) => Mechanism::EcdsaSha512,
            (Self::Message, A::RsaPssSha256) => Mechanism::Sha256RsaPkcsPss(pss(Hash::Sha256)),
            (Self::Message, A::RsaPssSha384) => Mechanism::Sha384RsaPkcsPss(pss(Hash::Sha384)),
            (Self::Message, A::RsaPssSha512) => Mechanism::Sha512RsaPkcsPss(pss(Hash::Sha512)),
            (Self::Message, A::RsaPkcs1Sha256) => Mechanism::Sha256RsaPkcs,
            (Self::Message, A::RsaPkcs1Sha384) => Mechanism::Sha384RsaPkcs,
            (Self::Message, A::RsaPkcs1Sha512) => Mechanism::Sha512RsaPkcs,
            // Pure Ed25519 and nothing else: SoftHSM ignores the parameters of the
            // other schemes without a word.
            (Self::Message, A::Ed25519) => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Pure)),
        })
    }
}

/// RSASSA-PSS as RFC 8017 §9.1 recommends it: MGF1 with the same hash, and a
/// salt as long as the digest.
fn pss(hash: Hash) -> PkcsPssParams {
    let (hash_alg, mgf, s_len) = match hash {
        Hash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32u64),
        Hash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Hash::Sha512 => (MechanismType::SHA512, PkcsMgfType::MGF1_SHA512, 64),
    };
    PkcsPssParams { hash_alg, mgf, s_len: s_len.into() }
}

/// The mechanism that makes keys of a type.
pub(crate) const fn generation(key_type: KeyType) -> Mechanism<'static> {
    match key_type {
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => Mechanism::RsaPkcsKeyPairGen,
        KeyType::EcP256 | KeyType::EcP384 | KeyType::EcP521 | KeyType::EcSecp256k1 => {
            Mechanism::EccKeyPairGen
        }
        KeyType::Ed25519 => Mechanism::EccEdwardsKeyPairGen,
        KeyType::X25519 => Mechanism::EccMontgomeryKeyPairGen,
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => Mechanism::MlDsaKeyPairGen,
        KeyType::Aes128 | KeyType::Aes256 => Mechanism::AesKeyGen,
        KeyType::HmacSha256 | KeyType::HmacSha384 | KeyType::HmacSha512 => Mechanism::GenericSecretKeyGen,
    }
}

/// The mechanism type of an encryption algorithm.
pub(crate) const fn encryption(algorithm: EncryptionAlgorithm) -> MechanismType {
    match algorithm {
        EncryptionAlgorithm::Aes128Gcm | EncryptionAlgorithm::Aes256Gcm => MechanismType::AES_GCM,
        EncryptionAlgorithm::RsaOaepSha1
        | EncryptionAlgorithm::RsaOaepSha256
        | EncryptionAlgorithm::RsaOaepSha384
        | EncryptionAlgorithm::RsaOaepSha512 => MechanismType::RSA_PKCS_OAEP,
    }
}

/// The mechanism type with which a key of a type makes message authentication codes.
pub(crate) fn hmac(key_type: KeyType) -> Option<MechanismType> {
    Some(match key_type.mac_hash()? {
        Hash::Sha256 => MechanismType::SHA256_HMAC,
        Hash::Sha384 => MechanismType::SHA384_HMAC,
        Hash::Sha512 => MechanismType::SHA512_HMAC,
    })
}

/// What a token lists, with the sizes and uses that it states.
pub(crate) struct Mechanisms(Vec<(MechanismType, MechanismInfo)>);

impl Mechanisms {
    /// Reads the list of the token in `slot`.
    pub(crate) fn read(pkcs11: &Pkcs11, slot: Slot) -> Result<Self, Error> {
        let mut listed = Vec::new();
        for mechanism in pkcs11.get_mechanism_list(slot).map_err(device(Operation::Open))? {
            match pkcs11.get_mechanism_info(slot, mechanism) {
                Ok(info) => listed.push((mechanism, info)),
                Err(error) => debug!(%mechanism, %error, "listed mechanism has no information"),
            }
        }
        Ok(Self(listed))
    }

    /// Whether keys of a type may be made.
    pub(crate) fn generates(&self, key_type: KeyType) -> bool {
        let makes =
            if key_type.is_secret() { MechanismInfo::generate } else { MechanismInfo::generate_key_pair };
        self.allows(generation(key_type).mechanism_type(), key_type, makes)
    }

    /// Whether a key of a type encrypts and decrypts with an algorithm here; with the
    /// public half of RSA the gateway encrypts by itself.
    pub(crate) fn encrypts(&self, key_type: KeyType, algorithm: EncryptionAlgorithm) -> bool {
        let does = |info: &MechanismInfo| info.decrypt() && (info.encrypt() || algorithm.is_rsa_oaep());
        self.allows(encryption(algorithm), key_type, does)
    }

    /// Whether a key of a type makes message authentication codes here.
    pub(crate) fn macs(&self, key_type: KeyType) -> bool {
        hmac(key_type).is_some_and(|mechanism| self.allows(mechanism, key_type, MechanismInfo::sign))
    }

    /// Whether a key of a type agrees on secrets here.
    pub(crate) fn agrees(&self, key_type: KeyType) -> bool {
        key_type.agrees() && self.allows(MechanismType::ECDH1_DERIVE, key_type, MechanismInfo::derive)
    }

    /// The ways in which a key of a type signs with an algorithm here. A digest is
    /// preferred: it is short, and the caller may have made it.
    pub(crate) fn routes(
        &self,
        key_type: KeyType,
        algorithm: SignatureAlgorithm,
    ) -> impl Iterator<Item = Route> {
        [Route::Digest, Route::Message].into_iter().filter(move |route| {
            route.mechanism(algorithm).is_some_and(|mechanism| {
                self.allows(mechanism.mechanism_type(), key_type, MechanismInfo::sign)
            })
        })
    }

    fn allows(
        &self,
        mechanism: MechanismType,
        key_type: KeyType,
        permits: impl Fn(&MechanismInfo) -> bool,
    ) -> bool {
        self.0.iter().any(|(listed, info)| {
            *listed == mechanism
                && permits(info)
                && in_range(key_type, info.min_key_size(), info.max_key_size())
        })
    }
}

/// Whether the sizes of a mechanism cover a key type. A token that states no
/// sizes (0 to 0) is asked by making a key.
fn in_range(key_type: KeyType, min: usize, max: usize) -> bool {
    let (low, high) = match key_type {
        KeyType::Rsa2048 => (2048, 2048),
        KeyType::Rsa3072 => (3072, 3072),
        KeyType::Rsa4096 => (4096, 4096),
        KeyType::EcP256 | KeyType::EcSecp256k1 => (256, 256),
        KeyType::EcP384 => (384, 384),
        KeyType::EcP521 => (521, 521),
        // The field has 255 bits and its encoding 256; tokens state either.
        KeyType::Ed25519 | KeyType::X25519 => (255, 256),
        // In bytes, as tokens state them.
        KeyType::Aes128 => (16, 16),
        KeyType::Aes256 | KeyType::HmacSha256 => (32, 32),
        KeyType::HmacSha384 => (48, 48),
        KeyType::HmacSha512 => (64, 64),
        // Has no sizes.
        KeyType::MlDsa44 | KeyType::MlDsa65 | KeyType::MlDsa87 => return true,
    };
    max == 0 || (min <= high && low <= max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_has_a_mechanism_that_takes_messages() {
        let has_none = |algorithm: &SignatureAlgorithm| algorithm.name().starts_with("ml-dsa");
        for algorithm in SignatureAlgorithm::ALL.into_iter().filter(|algorithm| !has_none(algorithm)) {
            assert!(Route::Message.mechanism(algorithm).is_some(), "{algorithm}");
            let digests = Route::Digest.mechanism(algorithm).is_some();
            assert_eq!(digests, algorithm.hash().is_some(), "{algorithm}");
        }
    }

    #[test]
    fn sizes_decide_what_is_offered() {
        assert!(in_range(KeyType::Rsa2048, 512, 16384));
        assert!(!in_range(KeyType::Rsa4096, 512, 3072));
        assert!(!in_range(KeyType::EcP256, 384, 521));
        assert!(in_range(KeyType::Ed25519, 255, 255));
        assert!(in_range(KeyType::Ed25519, 256, 456));
        assert!(in_range(KeyType::EcP521, 0, 0));
    }
}
