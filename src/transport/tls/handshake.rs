//! The handshake.

use std::{io, sync::Arc};

use rustls::{CertificateError, Error as TlsError, pki_types::UnixTime};
use tokio_rustls::TlsAcceptor;

use super::{Credential, HTTP2, Tls};
use crate::{telemetry::Handshake, transport::listener::Stream};

/// A connection after its handshake.
pub(in crate::transport) struct Shaken {
    pub(in crate::transport) stream: Stream,
    /// Where the client showed a certificate.
    pub(in crate::transport) credential: Option<Credential>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(in crate::transport) enum Failed {
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("the client certificate is not taken: {0}")]
    Certificate(TlsError),
    #[error("no HTTP/2 was asked for")]
    Protocol,
}

impl Failed {
    pub(in crate::transport) const fn label(&self) -> Handshake {
        match self {
            Self::Tls(_) | Self::Protocol => Handshake::Tls,
            Self::Certificate(_) => Handshake::Certificate,
        }
    }

    /// What is wrong with the certificate, where that is what is wrong: words that hold
    /// nothing of what the client sent.
    pub(in crate::transport) const fn detail(&self) -> Option<&'static str> {
        match self {
            Self::Certificate(error) => Some(detail(error)),
            Self::Tls(_) | Self::Protocol => None,
        }
    }
}

/// Certificates are refused here in the ways of rustls, of which it may get more.
const fn detail(error: &TlsError) -> &'static str {
    use CertificateError as Bad;
    let TlsError::InvalidCertificate(bad) = error else {
        return match error {
            TlsError::NoCertificatesPresented => "a client certificate is required",
            _ => "the client certificate is not taken",
        };
    };
    match bad {
        Bad::UnknownIssuer => "the client certificate is of no authority that is known here",
        Bad::Expired | Bad::ExpiredContext { .. } => "the client certificate has expired",
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => "the client certificate is not valid yet",
        Bad::Revoked => "the client certificate was revoked",
        Bad::UnknownRevocationStatus
        | Bad::ExpiredRevocationList
        | Bad::ExpiredRevocationListContext { .. } => {
            "no current list says whether the client certificate was revoked"
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => "the certificate is not for clients",
        Bad::BadSignature => "the client does not prove to have the key of its certificate",
        Bad::BadEncoding => "the client certificate is malformed",
        _ => "the client certificate is not taken",
    }
}

/// Shakes hands. The caller bounds how long that may take.
pub(in crate::transport) async fn shake(tls: &Tls, stream: Stream) -> Result<Shaken, Failed> {
    let stream = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream).await.map_err(failed)?;
    let (_, session) = stream.get_ref();
    // What is offered and is another protocol is refused by rustls; that nothing is
    // offered is not.
    if session.alpn_protocol() != Some(HTTP2) {
        return Err(Failed::Protocol);
    }
    let chain =
        session.peer_certificates().map(|chain| chain.iter().map(|one| one.clone().into_owned()).collect());
    let credential = match (chain, &tls.clients) {
        (None, _) => None,
        (Some::<Vec<_>>(chain), Some(clients)) => {
            // Asked a second time, a tenth of a millisecond: rustls does not pass on what
            // its verifier found, and whoever vouches is half of who the client is.
            let vouching = clients.vouching(&chain, UnixTime::now()).cloned();
            let credential = vouching.and_then(|authority| Credential::of(&authority, chain));
            Some(credential.map_err(Failed::Certificate)?)
        }
        (Some(_), None) => {
            return Err(Failed::Certificate(CertificateError::ApplicationVerificationFailure.into()));
        }
    };
    Ok(Shaken { stream: Box::new(stream), credential })
}

fn failed(error: io::Error) -> Failed {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(
            refused @ (TlsError::InvalidCertificate(_)
            | TlsError::InvalidCertRevocationList(_)
            | TlsError::NoCertificatesPresented),
        ) => Failed::Certificate(refused.clone()),
        _ => Failed::Tls(error),
    }
}
