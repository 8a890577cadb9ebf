//! TLS of a listener: 1.3 only, by rustls with aws-lc-rs, the key exchange that a
//! quantum computer does not break (X25519MLKEM768) preferred.
//!
//! There is no resumption, not even without client certificates: rustls would take
//! the chain of the first handshake for granted, past its end and its revocation;
//! and connections live long enough to pay for a whole handshake.
//!
//! **Invariant:** what is in use was read whole and fits together. What cannot be
//! used is refused, and what was in use stays in use.

mod clients;
mod credential;
mod error;
mod files;
mod handshake;
mod identity;

use std::{path::PathBuf, sync::Arc, time::SystemTime};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::NoServerSessionStorage,
    version::TLS13,
};
use skms_backend::SecretRef;
use tokio::sync::watch;

pub use self::{clients::Authority, error::Error};
use self::{clients::Clients, files::Files, identity::Identity};
pub(super) use self::{
    credential::Credential,
    handshake::{Failed, shake},
};
use super::{ClientCertificates, Name, config::Config};
use crate::telemetry::metrics;

/// What TLS of a listener is made of, read again when it changes. Cheap to clone.
#[derive(Clone)]
pub struct Live(Arc<Inside>);

struct Inside {
    listener: Name,
    sources: Sources,
    current: watch::Sender<Arc<Tls>>,
}

/// Where it is read from.
struct Sources {
    certificate: PathBuf,
    key: SecretRef,
    clients: ClientCertificates,
    authorities: Vec<Authority>,
}

/// What connections are made with, until there is another.
pub(super) struct Tls {
    config: Arc<ServerConfig>,
    /// Who checks client certificates, where clients are asked for them.
    clients: Option<Arc<Clients>>,
    expires: SystemTime,
    /// Of all that was read but the key, which belongs to its certificate.
    digest: Vec<u8>,
}

impl Live {
    /// Reads what a listener is configured with; none where it speaks no TLS. Blocks.
    /// `authorities` are all that there are.
    ///
    /// # Errors
    /// A file cannot be read or used, or the key is of another certificate.
    pub fn open(listener: &Name, config: &Config, authorities: &[Authority]) -> Result<Option<Self>, Error> {
        let (Some(certificate), Some(key)) = (&config.certificate, &config.key) else { return Ok(None) };
        let asked = |authority: &&Authority| {
            config.authorities.is_empty() || config.authorities.contains(&authority.name)
        };
        let authorities = match config.client_certificates {
            ClientCertificates::None => Vec::new(),
            _ => authorities.iter().filter(asked).cloned().collect(),
        };
        let sources = Sources {
            certificate: certificate.clone(),
            key: key.clone(),
            clients: config.client_certificates,
            authorities,
        };
        let tls = sources.read()?;
        metrics().certificate_expires(listener.as_str(), tls.expires);
        let current = watch::Sender::new(Arc::new(tls));
        Ok(Some(Self(Arc::new(Inside { listener: listener.clone(), sources, current }))))
    }

    /// The files that [`Self::reload`] reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let Sources { certificate, key, clients: _, authorities } = &self.0.sources;
        let mut files = vec![certificate.clone()];
        // The others change with a restart only.
        if let SecretRef::File(path) = key {
            files.push(path.clone());
        }
        for authority in authorities {
            files.push(authority.ca.clone());
            files.extend_from_slice(&authority.crls);
        }
        files
    }

    /// Reads the files again and tells whether they say something else. New connections
    /// are made with it, and those whose client certificate it would not take end.
    /// Blocks.
    ///
    /// # Errors
    /// A file cannot be read or used. Then nothing has changed.
    pub fn reload(&self) -> Result<bool, Error> {
        let tls = self.0.sources.read()?;
        if tls.digest == self.0.current.borrow().digest {
            return Ok(false);
        }
        metrics().certificate_expires(self.0.listener.as_str(), tls.expires);
        self.0.current.send_replace(Arc::new(tls));
        Ok(true)
    }

    /// What connections are made with, now and later.
    pub(super) fn current(&self) -> watch::Receiver<Arc<Tls>> {
        self.0.current.subscribe()
    }
}

impl Sources {
    fn read(&self) -> Result<Tls, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut files = Files::new();
        let identity = Identity::read(&mut files, &self.certificate, &self.key, &provider)?;
        let clients = match self.clients {
            ClientCertificates::None => None,
            ClientCertificates::Optional | ClientCertificates::Required => {
                let mandatory = self.clients == ClientCertificates::Required;
                Some(Arc::new(Clients::read(&mut files, &self.authorities, mandatory, &provider)?))
            }
        };
        let expires = identity.expires;
        let config = config(identity, clients.clone(), provider)?;
        Ok(Tls { config: Arc::new(config), clients, expires, digest: files.digest() })
    }
}

fn config(
    identity: Identity,
    clients: Option<Arc<Clients>>,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| Error::Setup { source })?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(identity.resolver);
    config.alpn_protocols = vec![HTTP2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    // What is sent early can be sent again by anybody. Zero is the default; it is said
    // here so that nobody has to look it up.
    config.max_early_data_size = 0;
    Ok(config)
}

/// The one protocol that is spoken in it (RFC 9113 §3.2).
const HTTP2: &[u8] = b"h2";
