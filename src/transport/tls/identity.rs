//! The certificate of the gateway, and its key.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use skms_backend::{SecretRef, SecretRefError};
use x509_parser::parse_x509_certificate;

use super::{Error, files::Files};

/// A certificate with the key that belongs to it.
pub(super) struct Identity {
    pub(super) resolver: Arc<SingleCertAndKey>,
    pub(super) expires: SystemTime,
}

impl Identity {
    pub(super) fn read(
        files: &mut Files,
        certificate: &Path,
        key: &SecretRef,
        provider: &CryptoProvider,
    ) -> Result<Self, Error> {
        let chain: Vec<CertificateDer<'static>> = files.all(certificate, "certificate")?;
        let refused = |problem| Error::content(certificate, problem);
        let own = chain.first().ok_or_else(|| refused("there is no certificate in it"))?;
        let (_, parsed) =
            parse_x509_certificate(own).map_err(|_| refused("its first certificate is malformed"))?;
        let validity = parsed.validity();
        // Every client would turn away, so the old one serves better however old it is.
        if validity.not_after.timestamp() < now() {
            return Err(refused("its first certificate has expired"));
        }
        if validity.not_before.timestamp() > now() {
            return Err(refused("its first certificate is not valid yet"));
        }
        let seconds = u64::try_from(validity.not_after.timestamp()).unwrap_or_default();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let pem = key.read()?;
        let key = PrivateKeyDer::from_pem_slice(pem.expose())
            .map_err(|_| SecretRefError::unusable(key, "there is no private key in PEM in it".to_owned()))?;
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|source| Error::Pair { path: certificate.to_owned(), source })?;
        Ok(Self { resolver: Arc::new(SingleCertAndKey::from(certified)), expires })
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
