//! Signature algorithms as X.509 names them.

use der::{
    Encode,
    asn1::{AnyRef, ObjectIdentifier},
};
use spki::{AlgorithmIdentifier, AlgorithmIdentifierRef};

use crate::{Hash, SignatureAlgorithm};

/// ecdsa-with-SHA256 (RFC 5758 §3.2), whatever the curve.
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4");
/// sha256WithRSAEncryption (RFC 8017 §A.2.4).
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
/// id-RSASSA-PSS and id-mgf1 (RFC 8017 §A.2.3 and §B.2.1).
const PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const MGF1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.8");

impl SignatureAlgorithm {
    /// The `AlgorithmIdentifier` in DER of a certificate or a request for one that is
    /// signed so: RFC 5758 (ECDSA), RFC 8017 (RSA), RFC 8410 (Ed25519), RFC 9881 (ML-DSA).
    ///
    /// # Errors
    /// None that comes true: every algorithm has one.
    pub fn x509_identifier(self) -> Result<Vec<u8>, der::Error> {
        let plain = |oid| AlgorithmIdentifierRef { oid, parameters: None }.to_der();
        let rsa = |oid| AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) }.to_der();
        match self {
            Self::EcdsaP256Sha256 | Self::EcdsaSecp256k1Sha256 => plain(ECDSA_SHA256),
            Self::EcdsaP384Sha384 => plain(ECDSA_SHA384),
            Self::EcdsaP521Sha512 => plain(ECDSA_SHA512),
            Self::RsaPkcs1Sha256 => rsa(RSA_SHA256),
            Self::RsaPkcs1Sha384 => rsa(RSA_SHA384),
            Self::RsaPkcs1Sha512 => rsa(RSA_SHA512),
            Self::RsaPssSha256 => pss(Hash::Sha256),
            Self::RsaPssSha384 => pss(Hash::Sha384),
            Self::RsaPssSha512 => pss(Hash::Sha512),
            // The same number names the key (RFC 8410 §3, RFC 9881 §2).
            Self::Ed25519 => plain(ObjectIdentifier::new_unwrap("1.3.101.112")),
            Self::MlDsa44 => plain(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.17")),
            Self::MlDsa65 => plain(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.18")),
            Self::MlDsa87 => plain(ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.3.19")),
        }
    }
}

/// RSASSA-PSS with one hash for both uses and a salt of its length.
fn pss(hash: Hash) -> Result<Vec<u8>, der::Error> {
    let (oid, salt_len) = match hash {
        Hash::Sha256 => (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"), 32),
        Hash::Sha384 => (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"), 48),
        Hash::Sha512 => (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"), 64),
    };
    let digest = AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::NULL) };
    let parameters = pkcs1::RsaPssParams {
        hash: digest,
        mask_gen: AlgorithmIdentifier { oid: MGF1, parameters: Some(digest) },
        salt_len,
        trailer_field: pkcs1::TrailerField::default(),
    };
    AlgorithmIdentifier { oid: PSS, parameters: Some(parameters) }.to_der()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4055 §3.1 and its examples.
    #[test]
    fn pss_names_its_hashes_and_its_salt() {
        let expected = "304106092a864886f70d01010a3034a00f300d06096086480165030402010500\
                        a11c301a06092a864886f70d010108300d06096086480165030402010500a203020120";
        assert_eq!(hex::encode(SignatureAlgorithm::RsaPssSha256.x509_identifier().unwrap()), expected);
    }

    #[test]
    fn every_algorithm_has_one() {
        for algorithm in SignatureAlgorithm::ALL {
            assert!(!algorithm.x509_identifier().unwrap().is_empty(), "{algorithm}");
        }
    }
}
