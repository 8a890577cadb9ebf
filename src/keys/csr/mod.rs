//! Requests for certificates: PKCS#10 (RFC 2986), signed by the key that they are for.
//!
//! **Invariant:** what a certification authority is shown was signed on the device, in the
//! way of every other signature.

mod names;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use skms_backend::{SignInput, SignatureAlgorithm};
use x509_cert::{
    attr::{Attribute, Attributes},
    der::{Decode as _, Encode as _, EncodePem as _, asn1::BitString, pem::LineEnding},
    ext::{ToExtension as _, pkix::SubjectAltName},
    request::{CertReq, CertReqInfo, ExtensionReq, Version as RequestVersion},
    spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned},
};

pub use self::names::{AlternativeName, BadName, DistinguishedName};
use super::{
    Call, Error, Keyring, Sign, known,
    sign::{is_for, may_sign},
};
use crate::model::{Action, Key, KeyId, Purpose};

/// What request to make.
#[derive(Clone, Debug)]
pub struct Csr {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The version that is to be certified; 0: the primary.
    pub version: u32,
    /// Whom the certificate is for.
    pub subject: DistinguishedName,
    /// Its other names.
    pub names: Vec<AlternativeName>,
    /// One of the key's algorithms; `None`: its default.
    pub algorithm: Option<SignatureAlgorithm>,
}

/// A request for a certificate.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that signed.
    pub version: u32,
    /// The algorithm that was used.
    pub algorithm: SignatureAlgorithm,
    /// `CertificationRequest` in DER.
    pub der: Bytes,
    /// The same in PEM.
    pub pem: String,
}

impl Keyring {
    /// Has a key sign a request for a certificate of itself. Its caller must also be
    /// allowed to sign with it.
    ///
    /// # Errors
    /// As [`Self::sign`].
    pub async fn certificate_request(&self, call: &Call, request: Csr) -> Result<CertificateRequest, Error> {
        let (found, subject) = self.find(&request.key);
        let also = vec![(Action::SignMessage, subject.clone())];
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::CreateCsr, subject, also, move |permit| async move {
                let key = known(found)?;
                is_for(&key, Purpose::SignVerify)?;
                let version = Arc::clone(may_sign(&key, request.version, SystemTime::now())?);
                let Some(public_key) = &version.public_key else {
                    return Err(Error::Internal { what: "the version has no public half" });
                };
                let info = info(public_key.spki_der(), &request).map_err(|_| UNWRITTEN)?;
                let to_be_signed = info.to_der().map_err(|_| UNWRITTEN)?;
                let sign = Sign {
                    key: request.key,
                    input: SignInput::Message(to_be_signed.into()),
                    algorithm: request.algorithm,
                    version: version.number,
                    encoding: None,
                };
                let signed = keyring.sign_with(&permit, key, sign).await?;
                let request = joined(info, signed.algorithm, &signed.signature).map_err(|_| UNWRITTEN)?;
                Ok(CertificateRequest {
                    der: request.to_der().map_err(|_| UNWRITTEN)?.into(),
                    pem: request.to_pem(LineEnding::LF).map_err(|_| UNWRITTEN)?,
                    version: signed.version,
                    algorithm: signed.algorithm,
                    key: signed.key,
                })
            })
            .await
    }
}

const UNWRITTEN: Error = Error::Internal { what: "the certificate request cannot be written" };

/// What is signed.
fn info(spki: &[u8], request: &Csr) -> Result<CertReqInfo, x509_cert::der::Error> {
    let mut attributes = Attributes::default();
    let subject = request.subject.0.clone();
    if !request.names.is_empty() {
        let names = request.names.iter().map(|name| name.0.clone()).collect();
        // Critical where there is no other name (RFC 5280 §4.2.1.6); the library sees to it.
        let extension = (&SubjectAltName(names)).to_extension(&subject, &[])?;
        attributes.insert(Attribute::try_from(ExtensionReq(vec![extension]))?)?;
    }
    let public_key = SubjectPublicKeyInfoOwned::from_der(spki)?;
    Ok(CertReqInfo { version: RequestVersion::V1, subject, public_key, attributes })
}

fn joined(
    info: CertReqInfo,
    algorithm: SignatureAlgorithm,
    signature: &[u8],
) -> Result<CertReq, x509_cert::der::Error> {
    Ok(CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned::from_der(&algorithm.x509_identifier()?)?,
        signature: BitString::from_bytes(signature)?,
    })
}
