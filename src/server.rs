//! The composition root: builds everything from the bottom up, binds, serves, and
//! takes it down again in the opposite order.

mod config;
pub(crate) mod witnesses;

use std::{io, sync::Arc, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::RoutesBuilder;
use tracing::{info, warn};

pub use self::config::Config;
use crate::{
    admin::{self, Admin},
    audit,
    auth::{self, Authenticator},
    backends::{self, Availability, BackendInfo, Backends},
    catalog::{self, Catalog},
    config::Config as Everything,
    gate::Gate,
    health::{self, Condition, Readiness},
    keys::Keyring,
    layers::{Bounds, Guards, Stack},
    model::Reason,
    policy::{self, Policies},
    proto,
    rates::Rates,
    reload::{self, Reloadable},
    rpc,
    telemetry::{Pool, Reloaded, metrics},
    transport::{self, BindError, ListenAddress, Listener, Passed, PassedError, tls},
};

/// The longest question about health or about the API, in bytes: a name.
const QUESTION_BYTES: usize = 4 * 1024;

/// A gateway that serves.
pub struct Server {
    addresses: Vec<ListenAddress>,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

impl Server {
    /// Builds the gateway and serves until `stop` is cancelled. When this
    /// returns, calls are being answered. `reloadable` is what its caller wants to
    /// have read again besides what the gateway itself is made of.
    ///
    /// # Errors
    /// Whatever keeps it from serving, named.
    pub async fn start(
        config: Everything,
        mut reloadable: Vec<Reloadable>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let (mut listeners, mut addresses) = (Vec::new(), Vec::new());
        let mut live = Vec::new();
        let mut passed = Passed::take()?;
        for (name, listener) in config.listeners.iter() {
            let tls = certified(name, listener, &config.auth).await?;
            live.extend(tls.clone());
            let listener = Listener::bind(name, listener, tls, &mut passed).await?;
            addresses.push(listener.address().map_err(|source| Error::Address { source })?);
            listeners.push(listener);
        }
        passed.finish()?;
        let admin = Admin::bind(&config.admin).await?;

        let (authenticator, policies, catalog, devices, infos, log) = {
            let (catalog, backends, audit) =
                (config.catalog.clone(), config.backends.clone(), config.audit.clone());
            let (auth, policy) = (config.auth.clone(), config.policy.clone());
            // Opening files and devices blocks.
            tokio::task::spawn_blocking(move || -> Result<_, Error> {
                let authenticator = Authenticator::open(&auth)?;
                let policies = Policies::load(&policy)?;
                let kept = Arc::new(Catalog::open(&catalog)?);
                let log = audit::Log::open_with(&audit, witnesses::of(&audit, &catalog, &kept)?)?;
                let (devices, infos) =
                    backends::open(&backends, (kept.instance(), &catalog.path), |name| kept.sealed(name))?;
                Ok((authenticator, policies, kept, devices, infos, log))
            })
            .await
            .map_err(|source| Error::Panicked { source })??
        };
        let rates = Rates::new(&config.rates);
        let gate = Gate::new(devices, Arc::clone(&infos), policies.clone(), rates.clone(), log.clone());
        let keyring = Keyring::new(catalog, gate.clone(), config.limits.clone());
        // Before anybody can ask for a key that a crash left half made.
        keyring.sweep().await.map_err(|source| Error::Sweep { source: Box::new(source) })?;

        let (reporter, health_service) = tonic_health::server::health_reporter();
        let recorded = Condition { name: "audit", holds: log.healthy() };
        let readiness = Arc::new(Readiness::new(Arc::clone(&infos), vec![recorded]));
        health::probe_all(&config.health, &readiness, &reporter).await;
        let shown = Arc::downgrade(&infos);
        metrics().pools_from(move || shown.upgrade().map_or_else(Vec::new, |infos| pools(&infos)));
        let recording = log.clone();
        metrics().audit_from(move || recording.state());
        let mut routes = rpc::services(&keyring);
        routes.add_service(health_service.max_decoding_message_size(QUESTION_BYTES));
        if config.server.reflection {
            reflection(&mut routes)?;
        }
        // The longest use case is making a key; the gate gives up its caller then.
        let longest = config.limits.generate_timeout.max(config.limits.operation_timeout);
        let bounds = Bounds {
            longest,
            stream: config.limits.stream_timeout,
            payload: config.limits.message_bytes,
            batch: rpc::BATCH_BYTES,
            chunk: rpc::CHUNK_BYTES,
        };
        let guards = Guards {
            authenticator: authenticator.clone(),
            policies: policies.clone(),
            rates: rates.clone(),
            log: log.clone(),
        };
        let stack = Stack::new(routes.routes(), guards, bounds);

        let background = CancellationToken::new();
        reloadable.extend(reloadables(live, &authenticator, &policies));
        let reloading =
            reload::watch(reloadable, background.clone()).map_err(|source| Error::Signals { source })?;
        let (fetching, stopped) = (authenticator.clone(), background.clone());
        let fetching = tokio::spawn(async move { fetching.refresh(stopped).await });
        let forgetting = tokio::spawn(forget(rates, background.clone()));
        // Answers until the very end: who waits for the gateway to be gone asks there.
        let asked = CancellationToken::new();
        let admin = admin.map(|admin| admin.serve(Arc::clone(&readiness), asked.clone()));
        for (listener, address) in listeners.iter().zip(&addresses) {
            info!(listener = %listener.name(), %address, "serving");
        }
        let probing =
            tokio::spawn(health::watch(config.health, Arc::clone(&readiness), reporter, background.clone()));
        let (scheduling, stopped) = (keyring.clone(), background.clone());
        let scheduling =
            tokio::spawn(async move { stopped.run_until_cancelled(scheduling.keep_schedule()).await });
        let closing = keyring.clone();
        let sweeping = tokio::spawn(sweep(keyring, config.catalog.sweep_interval, background.clone()));
        let (grace, bounds) = (config.server.drain_grace, config.connections);
        let stopped = stop.clone();
        let served = tokio::spawn(async move {
            let draining = CancellationToken::new();
            let recording = TaskTracker::new();
            let refused = on_record(log.clone(), recording.clone());
            let serving = transport::serve(listeners, bounds, stack, refused, draining.clone(), grace);
            let serving = tokio::spawn(serving);
            stopped.cancelled().await;
            // Balancers hear of it before the first call is refused.
            background.cancel();
            let reporter = probing.await;
            draining.cancel();
            closing.stop_streams();
            // It ends at once; what it was doing at a device the gate waits for.
            let _ = tokio::join!(sweeping, scheduling, reloading, fetching, forgetting);
            if let Ok(reporter) = reporter {
                health::end(reporter, &readiness).await;
            }
            if !serving.await.unwrap_or(false) {
                warn!("calls were still being answered when the grace was over");
            }
            // A device that hangs must not keep the process for ever.
            if tokio::time::timeout(grace, gate.close()).await.is_err() {
                warn!("a backend was still at work when the grace was over");
            }
            closing.return_operations().await;
            recording.close();
            recording.wait().await;
            // Last, so that everything is in it: signed, anchored, on the disk.
            log.close().await;
            asked.cancel();
            if let Some(admin) = admin {
                let _ = admin.await;
            }
            info!("stopped");
        });
        Ok(Self { addresses, stop, served })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Asks it to stop.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until it has stopped and everything is closed.
    ///
    /// # Errors
    /// When it ended by a panic.
    pub async fn stopped(self) -> Result<(), Error> {
        self.served.await.map_err(|source| Error::Panicked { source })
    }
}

/// What TLS of a listener is made of.
async fn certified(
    name: &transport::Name,
    listener: &transport::Config,
    auth: &auth::Config,
) -> Result<Option<tls::Live>, Error> {
    let (name, listener, authorities) = (name.clone(), listener.clone(), authorities(auth));
    // Reading files blocks.
    let open = tokio::task::spawn_blocking(move || tls::Live::open(&name, &listener, &authorities));
    Ok(open.await.map_err(|source| Error::Panicked { source })??)
}

/// Whose client certificates there are.
fn authorities(auth: &auth::Config) -> Vec<tls::Authority> {
    let authority = |(name, authority): (&auth::Name, &auth::Authority)| tls::Authority {
        name: name.to_string(),
        ca: authority.ca.clone(),
        crls: authority.crls.clone(),
    };
    auth.certificates.iter().map(authority).collect()
}

/// What is read again while the gateway runs.
fn reloadables(live: Vec<tls::Live>, authenticator: &Authenticator, policies: &Policies) -> Vec<Reloadable> {
    let (files, callers) = (authenticator.clone(), authenticator.clone());
    let (watched, policies) = (policies.clone(), policies.clone());
    let mut all = vec![
        Reloadable::new(Reloaded::Callers, move || files.files(), move || callers.reload()),
        // A file that is added changes the directory.
        Reloadable::new(
            Reloaded::Policies,
            move || [vec![watched.directory()], watched.files()].concat(),
            move || policies.reload(),
        ),
    ];
    all.extend(live.into_iter().map(|live| {
        let watched = live.clone();
        Reloadable::new(Reloaded::Certificate, move || watched.files(), move || live.reload())
    }));
    all
}

/// Puts on record whose client certificate is not taken: they never come to a call, so
/// nobody else hears of them.
fn on_record(log: audit::Log, recording: TaskTracker) -> transport::Refused {
    Arc::new(move |peer, detail| {
        let (log, peer) = (log.clone(), peer.clone());
        recording.spawn(async move {
            let refused = audit::Refused {
                source: &peer.source,
                caller: None,
                peer: &peer.address,
                certificate: None,
                // There is no call.
                request_id: "-",
                rpc: "handshake",
                reason: Reason::ClientCertificateRequired,
                detail,
                // Handshakes are not timed.
                latency: Duration::ZERO,
            };
            log.refused(&refused).await;
        });
    })
}

/// Lets go of the shares of those who have not called for a while.
async fn forget(rates: Rates, stop: CancellationToken) {
    let mut interval = tokio::time::interval(FORGET);
    let forgetting = async {
        loop {
            interval.tick().await;
            rates.tidy();
        }
    };
    stop.run_until_cancelled(forgetting).await;
}

/// A share that is full again is forgotten at the latest after this.
const FORGET: Duration = Duration::from_secs(60);

/// What the metrics say of the backends.
fn pools(backends: &Backends) -> Vec<Pool> {
    let pool = |info: &BackendInfo| Pool {
        backend: info.name().as_str().into(),
        up: info.probed().is_some_and(|probed| probed.availability != Availability::Unavailable),
        status: info.status(),
    };
    backends.iter().map(pool).collect()
}

fn reflection(routes: &mut RoutesBuilder) -> Result<(), Error> {
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let failed = |source| Error::Reflection { source };
    // Tools are split between the two.
    let (v1, v1alpha) = (builder().build_v1().map_err(failed)?, builder().build_v1alpha().map_err(failed)?);
    routes.add_service(v1.max_decoding_message_size(QUESTION_BYTES));
    routes.add_service(v1alpha.max_decoding_message_size(QUESTION_BYTES));
    Ok(())
}

async fn sweep(keyring: Keyring, every: Duration, stop: CancellationToken) {
    // The start has just swept.
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let sweeping = async {
        loop {
            interval.tick().await;
            if let Err(error) = keyring.sweep().await {
                warn!(%error, "cannot sweep");
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = sweeping => {}
    }
}

/// Reads what a gateway of this configuration would read before it opens a device, a
/// catalog or a socket: certificates and their keys, the keys of issuers, the list of
/// whom to deny, the policies. Blocks.
///
/// # Errors
/// What cannot be read or used.
pub fn check(config: &Everything) -> Result<(), Error> {
    for (name, listener) in config.listeners.iter() {
        tls::Live::open(name, listener, &authorities(&config.auth))?;
    }
    Authenticator::open(&config.auth)?;
    Policies::load(&config.policy)?;
    Ok(())
}

impl Error {
    /// Whether starting again will fail in the same way until somebody has changed
    /// the configuration or a secret.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        match self {
            Self::Tls(_) | Self::Auth(_) | Self::Policy(_) | Self::Passed(_) => true,
            Self::Backend(error) => error.needs_a_person(),
            _ => false,
        }
    }
}

/// Why the gateway does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A socket that was passed cannot be served.
    #[error(transparent)]
    Passed(#[from] PassedError),
    /// The certificate of a listener, or whom it takes those of clients from, cannot be
    /// used.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// The address for those who run it cannot be had.
    #[error(transparent)]
    Admin(#[from] admin::BindError),
    /// The system does not say where it listens.
    #[error("cannot find out the address")]
    Address {
        /// Why.
        source: io::Error,
    },
    /// The catalog cannot be opened.
    #[error(transparent)]
    Catalog(#[from] catalog::Error),
    /// The key that signs the audit log cannot be had.
    #[error(transparent)]
    Witness(#[from] witnesses::KeyError),
    /// The audit log cannot be opened.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The keys of an issuer, or the list of whom to deny, cannot be read.
    #[error(transparent)]
    Auth(#[from] auth::Error),
    /// The policies cannot be used.
    #[error(transparent)]
    Policy(#[from] policy::Error),
    /// A backend cannot be opened.
    #[error(transparent)]
    Backend(#[from] backends::Error),
    /// What a crash left cannot be swept.
    #[error("cannot sweep what an earlier run left half made")]
    Sweep {
        /// Why.
        source: Box<crate::keys::Error>,
    },
    /// The system does not let us listen for signals.
    #[error("cannot listen for SIGHUP")]
    Signals {
        /// Why.
        source: io::Error,
    },
    /// The descriptors are unreadable.
    #[error("cannot offer reflection")]
    Reflection {
        /// Why.
        source: tonic_reflection::server::Error,
    },
    /// Something panicked.
    #[error("the gateway failed")]
    Panicked {
        /// What.
        source: tokio::task::JoinError,
    },
}
