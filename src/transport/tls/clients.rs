//! Who vouches for client certificates.
//!
//! **Invariant:** the name of the authority that a certificate is taken for is that of
//! the roots that its chain ends in. No two authorities of a listener share a root, and
//! what one of them has revoked none of them takes.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tracing::warn;
use x509_parser::{parse_x509_certificate, parse_x509_crl, time::ASN1Time};

use super::{Error, credential, files::Files};

/// An authority of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its name in the configuration.
    pub name: String,
    /// Its certificates, in PEM.
    pub ca: PathBuf,
    /// Its lists of revoked certificates, in PEM.
    pub crls: Vec<PathBuf>,
}

/// Those whose certificates a listener takes.
#[derive(Debug)]
pub(super) struct Clients {
    authorities: Vec<Checking>,
    hints: Vec<DistinguishedName>,
    mandatory: bool,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Checking {
    name: Arc<str>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) fn read(
        files: &mut Files,
        authorities: &[Authority],
        mandatory: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let mut known: Vec<(&Authority, Arc<RootCertStore>)> = Vec::new();
        let mut checking = Vec::new();
        for authority in authorities {
            let roots = Arc::new(roots(files, authority)?);
            if let Some((other, _)) = known.iter().find(|(_, others)| share(others, &roots)) {
                return Err(Error::Shared { first: other.name.clone(), second: authority.name.clone() });
            }
            let verifier = verifier(files, authority, Arc::clone(&roots), provider)?;
            checking.push(Checking { name: authority.name.as_str().into(), verifier });
            known.push((authority, roots));
        }
        let hints = known.iter().flat_map(|(_, roots)| roots.subjects()).collect();
        Ok(Self { authorities: checking, hints, mandatory, provider: Arc::clone(provider) })
    }

    /// The name of the authority that vouches for the owner of a chain.
    pub(super) fn vouching(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<&Arc<str>, TlsError> {
        let (own, others) = chain.split_first().ok_or(TlsError::NoCertificatesPresented)?;
        credential::check(own)?;
        let mut vouching = None;
        let mut refused = CertificateError::UnknownIssuer.into();
        for Checking { name, verifier } in &self.authorities {
            match verifier.verify_client_cert(own, others, now) {
                // With cross certificates a chain can end in the roots of two. Then it is
                // the first by name, so that the same chain always means the same.
                Ok(_) => vouching = vouching.or(Some(name)),
                Err(error @ TlsError::InvalidCertificate(CertificateError::Revoked)) => return Err(error),
                // That it is not of this one says less than what another has against it.
                Err(TlsError::InvalidCertificate(
                    CertificateError::UnknownIssuer | CertificateError::BadSignature,
                )) => {}
                Err(error) => refused = error,
            }
        }
        vouching.ok_or(refused)
    }
}

fn roots(files: &mut Files, authority: &Authority) -> Result<RootCertStore, Error> {
    let refused = |problem| Error::content(&authority.ca, problem);
    let mut roots = RootCertStore::empty();
    for certificate in files.all::<CertificateDer<'static>>(&authority.ca, "certificate")? {
        let (_, parsed) =
            parse_x509_certificate(&certificate).map_err(|_| refused("a certificate is malformed"))?;
        // Whoever has the key of such a one could vouch for any name with it.
        if !parsed.is_ca() {
            return Err(refused("a certificate is not one of an authority (CA:TRUE)"));
        }
        drop(parsed);
        roots.add(certificate).map_err(|_| refused("a certificate cannot be used as a root"))?;
    }
    Ok(roots)
}

fn share(some: &RootCertStore, others: &RootCertStore) -> bool {
    some.roots.iter().any(|root| {
        let same = |other: &rustls::pki_types::TrustAnchor<'_>| {
            root.subject_public_key_info == other.subject_public_key_info
        };
        others.roots.iter().any(same)
    })
}

fn verifier(
    files: &mut Files,
    authority: &Authority,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    for path in &authority.crls {
        let crls: Vec<CertificateRevocationListDer<'static>> = files.all(path, "revocation list")?;
        for crl in &crls {
            let (_, parsed) =
                parse_x509_crl(crl).map_err(|_| Error::content(path, "a revocation list is malformed"))?;
            if parsed.next_update().is_none_or(|next| next < ASN1Time::now()) {
                warn!(
                    path = %path.display(),
                    "a revocation list is out of date; no certificate that it is about will be taken"
                );
            }
        }
        builder = builder.with_crls(crls);
    }
    // The whole chain is looked up, and what no list is about is refused: both are
    // defaults. That a list must be current is not.
    builder.enforce_revocation_expiration().build().map_err(|error| {
        let path = authority.crls.first().unwrap_or(&authority.ca);
        Error::content(path, error.to_string())
    })
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        let chain: Vec<_> = std::iter::once(own).chain(others).cloned().collect();
        self.vouching(&chain, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
