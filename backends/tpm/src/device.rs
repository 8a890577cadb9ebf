//! The TPM behind the one thread that uses it: how it is reached, and reached again.
//!
//! A context of the software stack that has met a broken transport answers nothing but
//! `BAD_SEQUENCE` from then on, and a TPM that was reset has forgotten every handle. So a
//! connection is dropped with the first error of either kind and made anew, once for each
//! call; and when that fails the pool tries again, later and later.
//!
//! **Invariant:** a connection is used only after its storage key was held against the one
//! that the backend was opened with: a TPM that was cleared, or another one in its place,
//! is not used.
//!
//! **Invariant:** whatever a connection has loaded is flushed when it is dropped, and what
//! an earlier one has left behind before a new one is used, unless a resource manager does
//! both.

use std::{
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use skms_backend::{Class, Device, Error, Operation, Secret};
use tracing::{debug, info, warn};
use tss_esapi::{
    Context,
    attributes::SessionAttributesBuilder,
    constants::{CapabilityType, SessionType, StartupType},
    handles::{KeyHandle, ObjectHandle, SessionHandle},
    interface_types::{
        algorithm::HashingAlgorithm, resource_handles::Hierarchy, session_handles::AuthSession,
    },
    structures::{Auth, CapabilityData, SymmetricDefinition},
};

use crate::{
    blob::NAME_BYTES,
    config::Tcti,
    error::{asks_again, device, is_initialize, lacks_slot},
    kept::KeptKeys,
    loaded::Loaded,
    template,
};

/// How often a command is given to a TPM that asks for it again.
const TRIES: u32 = 8;
/// How long is waited before the second time; each further wait is twice as long, so that
/// all of them take 2.5 s.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Handles asked for at once: more than any TPM has slots.
const HANDLES: u32 = 64;
/// The first handles of transient objects, of loaded and of saved sessions
/// (TPM 2.0 part 2, chapter 7.2).
const TRANSIENT: u32 = 0x8000_0000;
const LOADED_SESSIONS: u32 = 0x0200_0000;
const SAVED_SESSIONS: u32 = 0x0300_0000;

/// How a command is authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Not at all.
    None,
    /// With the authorization value itself, in the clear: of the storage key, which is
    /// empty, or where the way to the TPM is trusted.
    Plain,
    /// With a proof that whoever sends the command knows the value.
    Proof,
    /// With such a proof for the first of two keys; the second is an attestation key, whose
    /// value is empty.
    ProofOfFirst,
    /// With such a proof, and the first parameter of command and response encrypted.
    Sealed,
}

/// What the thread needs to make connections.
pub(crate) struct Tpm {
    tcti: Tcti,
    owner_auth: Option<Secret>,
    pub(crate) trusted_path: bool,
    /// The digest of the Name of the storage key, once it was seen.
    storage: OnceLock<[u8; NAME_BYTES]>,
    pub(crate) kept: KeptKeys,
}

/// The connection of the thread; none between two.
pub(crate) struct Link {
    connection: Option<Connection>,
}

/// A TPM that is ready for use.
pub(crate) struct Connection {
    pub(crate) context: Context,
    /// The key under which all others are wrapped.
    pub(crate) parent: KeyHandle,
    /// The digest of its Name.
    pub(crate) parent_name: [u8; NAME_BYTES],
    /// Salted with the storage key, and kept for as long as the connection is: making one
    /// costs six times what it then saves.
    session: AuthSession,
    pub(crate) loaded: Loaded,
}

impl Device for Tpm {
    type Context = Link;

    fn open(&self) -> Result<Link, Error> {
        Ok(Link { connection: Some(self.connect()?) })
    }
}

impl Tpm {
    pub(crate) fn new(tcti: Tcti, owner_auth: Option<Secret>, trusted_path: bool) -> Self {
        Self { tcti, owner_auth, trusted_path, storage: OnceLock::new(), kept: KeptKeys::new() }
    }

    /// Runs `work` with a connection; with another one when the TPM has forgotten the first.
    ///
    /// # Errors
    /// Those of `work`, and whatever keeps the TPM from being reached.
    pub(crate) fn run<T>(
        &self,
        link: &mut Link,
        mut work: impl FnMut(&mut Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if let Some(connection) = &mut link.connection {
            match work(connection) {
                Err(error) if is_lost(error.class()) => {
                    debug!(%error, "connection to the TPM dropped");
                    link.connection = None;
                }
                done => return done,
            }
        }
        let connection = link.connection.insert(self.connect()?);
        let done = work(connection);
        if done.as_ref().is_err_and(|error| is_lost(error.class())) {
            link.connection = None;
        }
        done
    }

    /// Reaches the TPM, cleans up behind an earlier connection, and makes the storage key.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        let begun = Instant::now();
        let unreachable = |error: Error| {
            let why = format!("no TPM answers at `{}`", self.tcti.text());
            Error::new(Class::Reinitialize, Operation::Open).detail(why).source(error)
        };
        let failed = device(Operation::Open);
        let mut context =
            Context::new(self.tcti.conf()).map_err(|error| unreachable(device(Operation::Open)(error)))?;
        if let Err(error) = handles(&mut context, TRANSIENT) {
            if !is_initialize(&error) {
                let mapped = failed(error);
                return Err(if is_lost(mapped.class()) { unreachable(mapped) } else { mapped });
            }
            // Whoever is between here and the TPM may have done it meanwhile.
            match context.startup(StartupType::Clear) {
                Err(error) if !is_initialize(&error) => return Err(failed(error)),
                _ => info!("TPM started"),
            }
        }
        if !self.tcti.is_managed() {
            clean(&mut context).map_err(&failed)?;
        }
        let (parent, parent_name) = self.storage_key(&mut context)?;
        let known = self.storage.get_or_init(|| parent_name);
        if *known != parent_name {
            let why = format!(
                "the TPM was cleared, or is another one: its storage key is {}, and was {}",
                hex::encode(parent_name),
                hex::encode(known)
            );
            return Err(Error::new(Class::Key, Operation::Open).detail(why));
        }
        let session = start_session(&mut context, Some(parent)).map_err(&failed)?;
        let loaded = Loaded::new(&mut context).map_err(&failed)?;
        debug!(took = ?begun.elapsed(), "connected to the TPM");
        Ok(Connection { context, parent, parent_name, session, loaded })
    }

    /// Makes the storage key, which a TPM makes of its seed and the template.
    fn storage_key(&self, context: &mut Context) -> Result<(KeyHandle, [u8; NAME_BYTES]), Error> {
        let failed = device(Operation::Open);
        if let Some(secret) = &self.owner_auth {
            let auth = Auth::try_from(secret.expose()).map_err(|_| {
                Error::new(Class::Pin, Operation::Open).detail("the owner authorization is too long")
            })?;
            context.tr_set_auth(Hierarchy::Owner.into(), auth).map_err(&failed)?;
        }
        // There is no key yet to salt it with; that it proves the value and does not send it
        // is what it is for.
        let session = start_session(context, None).map_err(&failed)?;
        let made = patiently(|| {
            context.execute_with_session(Some(session), |context| {
                context.create_primary(Hierarchy::Owner, template::storage()?, None, None, None, None)
            })
        });
        let flushed = context.flush_context(SessionHandle::from(session).into());
        let parent = made.map_err(&failed)?.key_handle;
        flushed.map_err(&failed)?;
        let name = context.tr_get_name(parent.into()).map_err(&failed)?;
        // Two bytes say that the rest is of SHA-256.
        let digest = name.value().last_chunk().filter(|_| name.value().len() == 2 + NAME_BYTES);
        let digest =
            digest.ok_or_else(|| Error::new(Class::Broken, Operation::Open).detail("a Name is too short"))?;
        Ok((parent, *digest))
    }
}

impl Connection {
    /// Gives the TPM one command, again where it asks for that, and with fewer keys loaded
    /// where it has no slot for what the command needs.
    ///
    /// # Errors
    /// As the stack has them, for those who look at the code.
    pub(crate) fn ask<T>(
        &mut self,
        guard: Guard,
        mut command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> tss_esapi::Result<T> {
        let session = match guard {
            Guard::None => None,
            Guard::Plain => Some(AuthSession::Password),
            Guard::Proof | Guard::ProofOfFirst | Guard::Sealed => Some(self.session),
        };
        let second = (guard == Guard::ProofOfFirst).then_some(AuthSession::Password);
        if session == Some(self.session) {
            let sealed = guard == Guard::Sealed;
            let (attributes, mask) = SessionAttributesBuilder::new()
                .with_continue_session(true)
                .with_decrypt(sealed)
                .with_encrypt(sealed)
                .build();
            self.context.tr_sess_set_attributes(self.session, attributes, mask)?;
        }
        loop {
            let context = &mut self.context;
            match patiently(|| context.execute_with_sessions((session, second, None), &mut command)) {
                Err(error) if lacks_slot(&error) => match self.loaded.oldest() {
                    Some(oldest) => self.flush(oldest),
                    None => return Err(error),
                },
                done => return done,
            }
        }
    }

    /// The same, with the error of `operation`.
    pub(crate) fn call<T>(
        &mut self,
        guard: Guard,
        operation: Operation,
        command: impl FnMut(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, Error> {
        self.ask(guard, command).map_err(device(operation))
    }

    /// Forgets a handle, at the TPM and here.
    pub(crate) fn flush(&mut self, handle: ObjectHandle) {
        if let Err(error) = self.context.flush_context(handle) {
            warn!(%error, "cannot flush a handle of the TPM");
        }
    }
}

/// Whether the connection is of no use any more.
const fn is_lost(class: Class) -> bool {
    matches!(class, Class::Reinitialize | Class::Session)
}

/// Repeats a command for as long as the TPM asks for that, within bounds.
fn patiently<T>(mut command: impl FnMut() -> tss_esapi::Result<T>) -> tss_esapi::Result<T> {
    let mut wait = FIRST_WAIT;
    for _ in 1..TRIES {
        match command() {
            Err(error) if asks_again(&error) => {
                thread::sleep(wait);
                wait *= 2;
            }
            done => return done,
        }
    }
    command()
}

fn start_session(context: &mut Context, salt: Option<KeyHandle>) -> tss_esapi::Result<AuthSession> {
    let (symmetric, hash) = (SymmetricDefinition::AES_128_CFB, HashingAlgorithm::Sha256);
    let session = context.execute_without_session(|context| {
        context.start_auth_session(salt, None, None, SessionType::Hmac, symmetric, hash)
    })?;
    session.ok_or(tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm))
}

/// Flushes what an earlier connection, of a process that is gone, has left behind.
fn clean(context: &mut Context) -> tss_esapi::Result<()> {
    for first in [TRANSIENT, LOADED_SESSIONS, SAVED_SESSIONS] {
        for left in handles(context, first)? {
            let handle = context.execute_without_session(|context| context.tr_from_tpm_public(left))?;
            // The wrapper wants to close what it has not loaded itself, and says so after
            // the TPM has flushed it.
            let flushed = context.flush_context(handle);
            debug!(?left, ?flushed, "flushed what was left in the TPM");
        }
    }
    Ok(())
}

/// The handles that the TPM has from `first` on.
pub(crate) fn handles(
    context: &mut Context,
    first: u32,
) -> tss_esapi::Result<Vec<tss_esapi::handles::TpmHandle>> {
    let (data, _) = context
        .execute_without_session(|context| context.get_capability(CapabilityType::Handles, first, HANDLES))?;
    match data {
        CapabilityData::Handles(handles) => Ok(handles.into_inner()),
        _ => Ok(Vec::new()),
    }
}
