//! Material under the key pair of an import job: RSA-OAEP (RFC 8017 §7.1), with AES key
//! wrap with padding (RFC 5649) inside of it where the method says so.

use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded as _},
    rand,
};
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use skms_backend::{EncryptionAlgorithm, KeyType, PublicKey};
use zeroize::Zeroizing;

use crate::{
    cli::Error,
    proto::{ImportJob, ImportMethod},
};

/// What the method of the job makes of the material.
pub(super) fn wrap(job: &ImportJob, material: &[u8]) -> Result<Vec<u8>, Error> {
    let unknown =
        || Error::Other("the gateway wants a way of wrapping that this program does not know".into());
    let (key_type, has_inner_key) = match job.method() {
        ImportMethod::RsaOaep3072Sha256 => (KeyType::Rsa3072, false),
        ImportMethod::RsaOaep4096Sha256 => (KeyType::Rsa4096, false),
        ImportMethod::RsaOaep3072Sha256Aes256 => (KeyType::Rsa3072, true),
        ImportMethod::RsaOaep4096Sha256Aes256 => (KeyType::Rsa4096, true),
        ImportMethod::Unspecified => return Err(unknown()),
    };
    let damaged = Error::Damaged("the public key of the import job is none");
    let Some(public) = SubjectPublicKeyInfoDer::from_pem_slice(job.public_key.as_bytes())
        .ok()
        .and_then(|spki| PublicKey::from_spki(key_type, &spki).ok())
    else {
        return Err(damaged);
    };
    let oaep = |message: &[u8]| {
        public
            .encrypt_oaep(EncryptionAlgorithm::RsaOaepSha256, message)
            .map_err(|_| Error::Usage("the material is too long for the method of this job".into()))
    };
    if !has_inner_key {
        return oaep(material);
    }
    let failed = |_| Error::Other("the material cannot be wrapped".into());
    let mut key = Zeroizing::new([0; 32]);
    rand::fill(key.as_mut_slice()).map_err(failed)?;
    // Padding to a whole block, and the block before it (RFC 5649 §4.1).
    let mut inner = vec![0; material.len() + 15];
    let kek = AesKek::new(&AES_256, key.as_slice()).map_err(failed)?;
    let length = kek.wrap_with_padding(material, &mut inner).map_err(failed)?.len();
    inner.truncate(length);
    Ok([oaep(key.as_slice())?, inner].concat())
}
