//! What a client showed, for as long as its connection lasts.
//!
//! **Invariant:** a connection ends when the certificate that it began with ends, or
//! when it would not be taken any more.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest;
use rustls::{
    CertificateError, Error as TlsError,
    pki_types::{CertificateDer, UnixTime},
};
use tokio::{sync::watch, time};
use tracing::debug;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, parse_x509_certificate};

use super::Tls;
use crate::model::ClientCertificate;

/// The chain of a client, and who vouched for it.
pub(in crate::transport) struct Credential {
    chain: Vec<CertificateDer<'static>>,
    certificate: Arc<ClientCertificate>,
    expires: SystemTime,
}

impl Credential {
    /// Of a chain that was verified.
    pub(super) fn of(authority: &str, chain: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let own = chain.first().ok_or(TlsError::NoCertificatesPresented)?;
        let parsed = parsed(own)?;
        let certificate = Arc::new(described(authority, own, &parsed)?);
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        drop(parsed);
        Ok(Self { chain, certificate, expires })
    }

    /// What is known of the certificate.
    pub(in crate::transport) fn certificate(&self) -> &Arc<ClientCertificate> {
        &self.certificate
    }

    /// Waits until the certificate is good no more: it has ended, or `current` has
    /// become one that does not take it.
    pub(in crate::transport) async fn withdrawn(&self, current: &mut watch::Receiver<Arc<Tls>>) {
        let left = self.expires.duration_since(SystemTime::now()).unwrap_or_default();
        // By the clock on the wall as it is now. Should that be set, the next look sees it.
        let ended = time::sleep(left);
        let refused = async {
            loop {
                // A list goes out of date, and an authority ends, without any change.
                if let Ok(Err(_)) = time::timeout(LOOK_AGAIN, current.changed()).await {
                    // Nothing will change any more: the gateway stops.
                    return std::future::pending().await;
                }
                let tls = Arc::clone(&current.borrow_and_update());
                if !self.is_taken_by(&tls) {
                    return;
                }
            }
        };
        tokio::select! {
            () = ended => debug!("a client certificate has ended"),
            () = refused => debug!("a client certificate is not taken any more"),
        }
    }

    /// By the same authority, too: another would make its owner somebody else.
    fn is_taken_by(&self, tls: &Tls) -> bool {
        let Some(clients) = &tls.clients else { return false };
        let vouching = clients.vouching(&self.chain, UnixTime::now());
        vouching.is_ok_and(|authority| **authority == *self.certificate.authority)
    }
}

/// Refuses what the verifier of rustls lets pass: a certificate that does not say that
/// it is for clients. One that says nothing may have been made for a mail signature.
pub(super) fn check(own: &CertificateDer<'_>) -> Result<(), TlsError> {
    let parsed = parsed(own)?;
    let usage = parsed.extended_key_usage().map_err(|_| malformed())?;
    if usage.is_some_and(|usage| usage.value.client_auth) {
        // Now rather than after the handshake, so that the client hears of it.
        described("", own, &parsed).map(drop)
    } else {
        Err(CertificateError::InvalidPurpose.into())
    }
}

fn parsed<'c>(own: &'c CertificateDer<'_>) -> Result<X509Certificate<'c>, TlsError> {
    parse_x509_certificate(own).map(|(_, parsed)| parsed).map_err(|_| malformed())
}

/// A look takes a tenth of a millisecond.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What names count is not decided here, only what they are.
fn described(
    authority: &str,
    own: &CertificateDer<'_>,
    parsed: &X509Certificate<'_>,
) -> Result<ClientCertificate, TlsError> {
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, own).as_ref());
    let mut certificate = ClientCertificate {
        authority: authority.to_owned(),
        fingerprint,
        serial: hex::encode(parsed.raw_serial()).trim_start_matches('0').to_owned(),
        uris: Vec::new(),
        dns_names: Vec::new(),
        emails: Vec::new(),
    };
    let names = parsed.subject_alternative_name().map_err(|_| malformed())?;
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => certificate.uris.push((*uri).to_owned()),
            GeneralName::DNSName(name) => certificate.dns_names.push((*name).to_owned()),
            GeneralName::RFC822Name(email) => certificate.emails.push((*email).to_owned()),
            GeneralName::Invalid(..) => return Err(malformed()),
            _ => {}
        }
    }
    Ok(certificate)
}

fn malformed() -> TlsError {
    CertificateError::BadEncoding.into()
}
