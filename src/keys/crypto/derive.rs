//! Secrets that two keys agree on (ECDH, SP 800-56A; X25519, RFC 7748), and what is
//! derived of them (HKDF, RFC 5869).

use std::{sync::Arc, time::SystemTime};

use aws_lc_rs::hkdf::{self, HKDF_SHA256, HKDF_SHA384, HKDF_SHA512};
use bytes::Bytes;
use skms_backend::{Class, Hash, ProtectionLevel, PublicKey, Secret};
use zeroize::Zeroizing;

use super::{Ready, asked, of_device};
use crate::{
    gate::Work,
    keys::{
        Call, Error, Keyring, known,
        sign::{is_for, may_sign},
    },
    model::{Action, Key, KeyId, Purpose, Reason},
};

/// How a secret becomes a key.
#[derive(Clone, Debug)]
pub struct Hkdf {
    /// The hash.
    pub hash: Hash,
    /// The salt.
    pub salt: Bytes,
    /// What the key is for.
    pub info: Bytes,
    /// The length of the key in bytes: at most 255 digests.
    pub length: usize,
}

/// What to agree on.
#[derive(Clone, Debug)]
pub struct Derive {
    /// The id or an alias of the key.
    pub key: KeyId,
    /// The public key of the other side, in DER.
    pub peer: Bytes,
    /// How it becomes a key; `None`: the raw secret, which takes a permission more.
    pub hkdf: Option<Hkdf>,
    /// The version; 0: the primary.
    pub version: u32,
}

/// What was agreed on.
pub struct Derived {
    /// The key, by its id.
    pub key: Arc<Key>,
    /// The version that agreed.
    pub version: u32,
    /// Where the private key lives.
    pub protection_level: ProtectionLevel,
    /// The derived key, or the raw secret.
    pub secret: Secret,
}

impl Keyring {
    /// Agrees on a secret with the owner of another key, and derives a key of it.
    ///
    /// # Errors
    /// There is no such key or version, or it must not; the public key does not fit it;
    /// the device failed; what the gate refuses.
    pub async fn derive(&self, call: &Call, request: Derive) -> Result<Derived, Error> {
        let (found, subject) = self.find(&request.key);
        let also = match request.hkdf {
            Some(_) => Vec::new(),
            None => vec![(Action::DeriveRawSecret, subject.clone())],
        };
        let keyring = self.clone();
        self.gate
            .admit_all(call, Action::DeriveSharedSecret, subject, also, move |permit| async move {
                let key = known(found)?;
                let version = may_sign(&key, request.version, SystemTime::now())?;
                is_for(&key, Purpose::KeyAgreement)?;
                permit.note(|facts| {
                    facts.algorithm = Some(key.key_type.name());
                    facts.version = Some(version.number);
                    facts.backend = Some(version.backend.clone());
                });
                let unfit = || {
                    let why = format!("must be the SubjectPublicKeyInfo of a key of type {}", key.key_type);
                    Error::invalid("peer_public_key", Reason::FieldInvalid, why)
                };
                let peer = PublicKey::from_spki(key.key_type, &request.peer).map_err(|_| unfit())?;
                let ready = Ready::of(&permit, version)?;
                let Some(agreement) = ready.device.agreement() else {
                    let what = "agreeing on secrets".to_owned();
                    return Err(Error::NotOffered { backend: version.backend.clone(), what });
                };
                keyring.protects(&permit, Work::Agree, &key, version).await?;
                let ctx = permit.context(keyring.limits.operation_timeout);
                let agreed = asked(|| agreement.agree(&ready.key, &peer, &ctx)).await;
                let raw = agreed.map_err(|error| match error.class() {
                    Class::Caller => unfit(),
                    _ => of_device(version, error),
                })?;
                let secret = match &request.hkdf {
                    None => raw,
                    Some(hkdf) => expanded(&raw, hkdf)?,
                };
                Ok(Derived {
                    version: version.number,
                    protection_level: version.protection_level,
                    secret,
                    key: Arc::clone(&key),
                })
            })
            .await
    }
}

/// How many bytes are wanted.
struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expanded(raw: &Secret, how: &Hkdf) -> Result<Secret, Error> {
    let algorithm = match how.hash {
        Hash::Sha256 => HKDF_SHA256,
        Hash::Sha384 => HKDF_SHA384,
        Hash::Sha512 => HKDF_SHA512,
    };
    let failed = |_| Error::Internal { what: "HKDF gives no such key" };
    let root = hkdf::Salt::new(algorithm, &how.salt).extract(raw.expose());
    let mut key = Zeroizing::new(vec![0; how.length]);
    let info = [how.info.as_ref()];
    root.expand(&info, Length(how.length)).and_then(|okm| okm.fill(&mut key)).map_err(failed)?;
    Ok(Secret::new(std::mem::take(&mut *key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869 §A.1.
    #[test]
    fn a_key_is_derived_as_the_rfc_has_it() {
        let how = Hkdf {
            hash: Hash::Sha256,
            salt: hex::decode("000102030405060708090a0b0c").unwrap().into(),
            info: hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap().into(),
            length: 42,
        };
        let derived = expanded(&Secret::new(vec![0x0b; 22]), &how).unwrap();
        assert_eq!(
            hex::encode(derived.expose()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
        );
    }
}
