//! The key of an issuer: ES256, because every issuer and every HSM has it.

use std::{fs, path::Path};

use jsonwebtoken::{
    Algorithm, EncodingKey,
    jwk::{Jwk, PublicKeyUse, ThumbprintHash},
};
use zeroize::Zeroizing;

use crate::cli::{Error, files};

/// What tokens are signed with.
pub(super) const ALGORITHM: Algorithm = Algorithm::ES256;

/// The private key in a file, PKCS#8 in PEM.
pub(super) fn read(path: &Path) -> Result<EncodingKey, Error> {
    let pem = Zeroizing::new(fs::read(path).map_err(|source| files::failed("read", path, source))?);
    parse(&pem).map_err(|()| {
        Error::Configuration(format!(
            "`{}` holds no P-256 private key (PKCS#8, PEM); make one with `skms token keygen`",
            path.display()
        ))
    })
}

pub(super) fn parse(pem: &[u8]) -> Result<EncodingKey, ()> {
    let key = EncodingKey::from_ec_pem(pem).map_err(|_| ())?;
    // A key of another curve is found out here.
    Jwk::from_encoding_key(&key, ALGORITHM).map_err(|_| ())?;
    Ok(key)
}

/// The public key as it is published, under an id, or else under its thumbprint (RFC 7638).
pub(super) fn public(key: &EncodingKey, id: Option<String>) -> Result<Jwk, Error> {
    let unusable = |_| Error::Other("the key cannot be used".to_owned());
    let mut jwk = Jwk::from_encoding_key(key, ALGORITHM).map_err(unusable)?;
    let id = match id {
        Some(id) => id,
        None => jwk.thumbprint(ThumbprintHash::SHA256).map_err(unusable)?,
    };
    jwk.common.key_id = Some(id);
    jwk.common.public_key_use = Some(PublicKeyUse::Signature);
    Ok(jwk)
}
