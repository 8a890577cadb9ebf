//! A PKCS#11 module in this process: loaded once, shared by every token behind it.
//!
//! A module is one instance in a process however often it is loaded, so that one
//! backend that finalizes it takes it from all. Hence one [`Module`] a path, kept
//! for as long as the process lives, with a gate before it: whoever calls the
//! module holds the gate open, and [`Module::revive`] closes it.
//!
//! `C_Finalize` is never called at the end: another backend may still use the
//! module, a call that hangs may still be inside it, and a process that ends
//! frees what it had.
//!
//! **Invariant:** a session or handle of an older generation is never used and
//! never closed, because its number has been given to another since.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as Cryptoki, RvError},
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use skms_backend::{Error, Operation};
use tracing::{debug, info, warn};

use crate::error::device;

/// How often a module was initialised by this process.
pub(crate) type Generation = u64;

/// A loaded and initialised module.
pub(crate) struct Module {
    pub(crate) pkcs11: Pkcs11,
    pub(crate) path: PathBuf,
    gate: RwLock<Generation>,
    /// When that was last tried.
    revived: Mutex<Option<Instant>>,
    objects: Mutex<BTreeMap<String, Arc<RwLock<()>>>>,
}

/// Modules in this process by the file they come from.
static LOADED: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());

/// A module is initialised again at most this often: each time every session of
/// every token behind it is lost, and a token that is away stays away meanwhile.
const REVIVE_EVERY: Duration = Duration::from_secs(1);
/// How long a revival waits for the calls that are inside the module. New calls
/// wait behind it, so this is the longest pause that it can cause to other tokens.
const REVIVE_WAIT: Duration = Duration::from_millis(100);

impl Module {
    /// The module at `path`, loaded and initialised if it is not yet.
    pub(crate) fn load(path: &Path) -> Result<Arc<Self>, Error> {
        // A bare name is left to the search path of the dynamic linker.
        let file = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut loaded = LOADED.lock();
        if let Some(module) = loaded.get(&file) {
            return Ok(Arc::clone(module));
        }
        let pkcs11 = Pkcs11::new(&file).map_err(|error| {
            device(Operation::Open)(error).detail(format!("cannot load the module `{}`", path.display()))
        })?;
        initialize(&pkcs11)?;
        let module = Arc::new(Self {
            pkcs11,
            path: path.to_owned(),
            gate: RwLock::new(0),
            revived: Mutex::new(None),
            objects: Mutex::new(BTreeMap::new()),
        });
        loaded.insert(file, Arc::clone(&module));
        Ok(module)
    }

    /// Keeps the module as it is for as long as the guard lives. Whoever calls
    /// the module holds one.
    pub(crate) fn enter(&self) -> RwLockReadGuard<'_, Generation> {
        self.gate.read()
    }

    /// Finalizes and initialises the module, if that was not done since `seen`:
    /// some modules find a token that was away only then. Answers whether the
    /// module is another than it was at `seen`.
    pub(crate) fn revive(&self, seen: Generation) -> Result<bool, Error> {
        let mut tried = self.revived.lock();
        let now = *self.enter();
        if now != seen {
            return Ok(true);
        }
        if tried.is_some_and(|at| at.elapsed() < REVIVE_EVERY) {
            return Ok(false);
        }
        *tried = Some(Instant::now());
        let Some(mut generation) = self.gate.try_write_for(REVIVE_WAIT) else {
            debug!(module = %self.path.display(), "calls are inside the module; not initialised again");
            return Ok(false);
        };
        // Counted first: whatever becomes of the next calls, old numbers are dead.
        *generation += 1;
        if let Err(error) = self.pkcs11.clone().finalize() {
            warn!(module = %self.path.display(), %error, "cannot finalize the module");
        }
        initialize(&self.pkcs11)?;
        info!(module = %self.path.display(), generation = *generation, "module initialised again");
        Ok(true)
    }

    /// The lock between those who make or remove objects of a token (write) and
    /// those who look for them (read), for every backend of this process: a
    /// search beside a creation makes SoftHSM 2.6 fail the creation and leave
    /// half of it behind.
    pub(crate) fn objects_of(&self, serial: &str) -> Arc<RwLock<()>> {
        Arc::clone(self.objects.lock().entry(serial.to_owned()).or_default())
    }
}

fn initialize(pkcs11: &Pkcs11) -> Result<(), Error> {
    match pkcs11.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        Err(error) => {
            Err(device(Operation::Open)(error).detail("cannot initialise the module with its own locking"))
        }
    }
}
