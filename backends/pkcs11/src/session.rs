//! A token, and the sessions with it: the [`Device`] behind the pool.
//!
//! What all sessions of a token share is in one [`Token`]: the module, the login,
//! the handles of its keys and the lock around its objects.
//!
//! **Invariant:** a session that met any error serves no further call; what an
//! error leaves behind in a session differs from module to module.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use cryptoki::{object::ObjectHandle, session::Session, slot::Slot, slot::TokenInfo};
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use quick_cache::sync::Cache;
use skms_backend::{Class, Device, Error, KeyTag, KeyType, Operation, Pin, Secret};

use crate::{
    TokenSelector,
    duty::Duty,
    error::device,
    keeper::{Keeper, Login},
    latch::Latch,
    module::{Generation, Module},
    quirks::Recipe,
    selector::TokenName,
    slots,
};

/// A private or secret key whose attributes were found in order.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(crate) object: ObjectHandle,
    pub(crate) key_type: KeyType,
    pub(crate) duty: Duty,
    /// Which key it is.
    pub(crate) pin: Pin,
    /// Whether that was shown by what the key does; else it is what the token says.
    pub(crate) proven: bool,
}

/// Keys whose handles are remembered. At about 200 bytes each this is the most
/// memory they take; a token with more keys searches for the others.
const HANDLES: usize = 65_536;

/// One token and what its sessions share.
pub(crate) struct Token {
    pub(crate) module: Arc<Module>,
    pub(crate) name: TokenName,
    /// `CKA_LABEL` of every object that this gateway makes.
    pub(crate) label: Vec<u8>,
    /// Whether the token tells private objects from public ones by a login.
    pub(crate) login_required: bool,
    /// How keys of each type and use are made and used, as found when the token was opened.
    pub(crate) recipes: Vec<Recipe>,
    keeper: Mutex<Keeper>,
    objects: Arc<RwLock<()>>,
    /// Counts logins: each gives the objects new handles.
    epoch: AtomicU64,
    handles: Cache<(u64, KeyTag), Arc<Handle>>,
}

/// What one worker needs: a session, or the wish for one after an error.
pub(crate) struct Context {
    module: Arc<Module>,
    link: Option<Link>,
}

/// An open session.
pub(crate) struct Link {
    pub(crate) session: Session,
    slot: Slot,
    generation: Generation,
    /// The login that it is of; handles of another are not of its objects.
    pub(crate) epoch: u64,
}

impl Token {
    /// The token in `slot`, not logged in yet.
    pub(crate) fn new(
        module: Arc<Module>,
        selector: TokenSelector,
        (slot, info): (Slot, &TokenInfo),
        generation: Generation,
        (pin, latch): (Secret, Latch),
        label: String,
    ) -> Self {
        let name = slots::name(info);
        let login_required = info.login_required();
        let pin = login_required.then_some(pin);
        Self {
            keeper: Mutex::new(Keeper::new(
                Arc::clone(&module),
                selector,
                name.clone(),
                (pin, latch),
                slot,
                generation,
            )),
            objects: module.objects_of(&name.serial),
            module,
            name,
            label: label.into_bytes(),
            login_required,
            recipes: Vec::new(),
            epoch: AtomicU64::new(0),
            handles: Cache::new(HANDLES),
        }
    }

    /// Runs `work` on a session of `context`, opened anew where the last one was
    /// retired, and retires it if the work fails.
    pub(crate) fn run<T>(
        &self,
        context: &mut Context,
        operation: Operation,
        work: impl FnOnce(&Link) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let generation = self.module.enter();
        let is_of_now = |link: &Link| link.generation == *generation && link.epoch == self.epoch();
        if context.link.as_ref().is_some_and(|link| !is_of_now(link)) {
            context.retire(*generation);
        }
        let link = match &mut context.link {
            Some(link) => link,
            none => none.insert(self.connect(*generation)?),
        };
        let outcome = work(link).map_err(|error| self.diagnose(link, operation, error));
        if outcome.is_err() {
            context.retire(*generation);
        }
        outcome
    }

    /// Opens a session. The caller is inside the module, at `generation`.
    ///
    /// The token may go and come back between the look at the login and the opening: the
    /// session is then of a token to which nobody is logged in, which shows no private
    /// object. So the login is looked at again, and where it ended another one is made, once.
    pub(crate) fn connect(&self, generation: Generation) -> Result<Link, Error> {
        self.try_connect(generation).or_else(|error| match error.class() {
            Class::Login => self.try_connect(generation),
            _ => Err(error),
        })
    }

    fn try_connect(&self, generation: Generation) -> Result<Link, Error> {
        let (slot, epoch) = {
            let mut keeper = self.keeper.lock();
            let (slot, login) = keeper.login(generation)?;
            if login == Login::New {
                self.epoch.fetch_add(1, Ordering::Release);
            }
            (slot, self.epoch())
        };
        // Not under the lock: where this hangs, the others go on opening theirs.
        let session = self.module.pkcs11.open_rw_session(slot).map_err(device(Operation::Open))?;
        let keeper = self.keeper.lock();
        if self.epoch() != epoch || !keeper.holds() {
            let why = "it ended while a session was opened";
            return Err(Error::new(Class::Login, Operation::Open).detail(why));
        }
        Ok(Link { session, slot, generation, epoch })
    }

    /// Whether the token is still there and still the same one.
    pub(crate) fn present(&self, link: &Link, operation: Operation) -> Result<(), Error> {
        slots::present(&self.module, link.slot, &self.name, operation)
    }

    /// Tells a token that is gone from one that refused: the return code alone
    /// does not say.
    fn diagnose(&self, link: &Link, operation: Operation, error: Error) -> Error {
        let Some(code) = error.code() else { return error };
        match error.class() {
            Class::Broken | Class::Handle | Class::Session => match self.present(link, operation) {
                Ok(()) => error,
                Err(lost) => lost.device_code(code).source(error),
            },
            _ => error,
        }
    }

    /// The handle of a key, if it is known since the login that `link` is of.
    pub(crate) fn known(&self, link: &Link, tag: KeyTag) -> Option<Arc<Handle>> {
        self.handles.get(&(link.epoch, tag))
    }

    /// Remembers the handle of a key that was found with a session of the login `epoch`.
    pub(crate) fn remember(&self, epoch: u64, tag: KeyTag, handle: Arc<Handle>) {
        self.handles.insert((epoch, tag), handle);
    }

    /// Forgets the handle of a key.
    pub(crate) fn forget(&self, link: &Link, tag: KeyTag) {
        self.handles.remove(&(link.epoch, tag));
    }

    /// The number of the login that holds now.
    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Keeps objects from being made or removed while they are looked for.
    pub(crate) fn reading(
        &self,
        operation: Operation,
        deadline: Instant,
    ) -> Result<RwLockReadGuard<'_, ()>, Error> {
        self.objects.try_read_until(deadline).ok_or_else(|| Error::new(Class::Timeout, operation))
    }

    /// Keeps objects from being looked for while some are made or removed.
    pub(crate) fn writing(
        &self,
        operation: Operation,
        deadline: Instant,
    ) -> Result<RwLockWriteGuard<'_, ()>, Error> {
        self.objects.try_write_until(deadline).ok_or_else(|| Error::new(Class::Timeout, operation))
    }

    /// How keys of a type are made and used here for a duty.
    pub(crate) fn recipe(&self, key_type: KeyType, duty: Duty) -> Option<&Recipe> {
        self.recipes.iter().find(|recipe| recipe.key_type == key_type && recipe.duty() == duty)
    }

    /// Gives up the login; no session is opened any more.
    pub(crate) fn close(&self) {
        self.keeper.lock().close();
    }
}

impl Device for Token {
    type Context = Context;

    /// Opens a session; where the token is gone, after having initialised the
    /// module again, because some modules find a token that came back only then.
    fn open(&self) -> Result<Context, Error> {
        let attempt = || {
            let generation = self.module.enter();
            (*generation, self.connect(*generation))
        };
        let link = match attempt() {
            (seen, Err(error)) if error.class() == Class::Reinitialize => {
                if !self.module.revive(seen)? {
                    return Err(error);
                }
                attempt().1?
            }
            (_, outcome) => outcome?,
        };
        Ok(Context { module: Arc::clone(&self.module), link: Some(link) })
    }
}

impl Context {
    /// Gives up the session; the next call opens another. The caller is inside
    /// the module, at `generation`.
    fn retire(&mut self, generation: Generation) {
        match self.link.take() {
            Some(link) if link.generation == generation => drop(link),
            Some(link) => std::mem::forget(link),
            None => {}
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let module = Arc::clone(&self.module);
        self.retire(*module.enter());
    }
}
