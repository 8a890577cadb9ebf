//! The login to a token: one owner for all sessions.
//!
//! A login belongs to the whole process and ends with its last session (PKCS#11
//! 2.40 §11.6), so one session is kept that does nothing else.
//!
//! **Invariant:** a PIN that the token refused is not tried again, nor after a restart; a token
//! that says one more wrong PIN would lock it is not tried at all.

use std::sync::Arc;

use cryptoki::{
    error::{Error as Cryptoki, RvError},
    session::{Session, SessionInfo, SessionState, UserType},
    slot::{Slot, TokenInfo},
    types::RawAuthPin,
};
use skms_backend::{Class, Error, Operation, Secret};
use tracing::{info, warn};

use crate::{
    TokenSelector,
    error::device,
    latch::Latch,
    module::{Generation, Module},
    selector::TokenName,
    slots,
};

/// Holds the login, and knows in which slot the token is.
pub(crate) struct Keeper {
    module: Arc<Module>,
    selector: TokenSelector,
    name: TokenName,
    pin: Option<Secret>,
    latch: Latch,
    slot: Slot,
    session: Option<Session>,
    generation: Generation,
    refused: Option<Error>,
    closed: bool,
}

/// Whether the login had to be made anew, which gives every object another handle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    Kept,
    New,
}

impl Keeper {
    /// A keeper that has no login yet. Without a PIN none is made.
    pub(crate) fn new(
        module: Arc<Module>,
        selector: TokenSelector,
        name: TokenName,
        (pin, latch): (Option<Secret>, Latch),
        slot: Slot,
        generation: Generation,
    ) -> Self {
        Self {
            module,
            selector,
            name,
            pin,
            latch,
            slot,
            session: None,
            generation,
            refused: None,
            closed: false,
        }
    }

    /// Makes sure of the login. The caller is inside the module, at `generation`.
    pub(crate) fn login(&mut self, generation: Generation) -> Result<(Slot, Login), Error> {
        if self.closed {
            return Err(Error::new(Class::Closed, Operation::Open));
        }
        if let Some(refused) = &self.refused {
            return Err(refused.clone());
        }
        if self.generation != generation {
            self.move_to(generation)?;
        }
        slots::present(&self.module, self.slot, &self.name, Operation::Open)?;
        if let Some(session) = &self.session {
            match session.get_session_info() {
                Ok(info) if self.is_login(&info) => return Ok((self.slot, Login::Kept)),
                Ok(_) => warn!(token = %self.name, "the login to the token was lost"),
                Err(error) => warn!(token = %self.name, %error, "the session of the login was lost"),
            }
        }
        self.session = None;
        let session = self.module.pkcs11.open_rw_session(self.slot).map_err(device(Operation::Open))?;
        if let Some(pin) = &self.pin {
            let info = self.module.pkcs11.get_token_info(self.slot).map_err(device(Operation::Open))?;
            safe_to_try(&info)?;
            if let Some(path) = self.latch.holds(&self.name.serial, pin.expose()) {
                let why = format!(
                    "the token refused this PIN before, and it is not tried again: configure the right one; or, if it was set on the token since, remove `{}`",
                    path.display()
                );
                let error = Error::new(Class::Pin, Operation::Open).detail(why);
                self.refused = Some(error.clone());
                return Err(error);
            }
            let raw = RawAuthPin::new(Box::new(pin.expose().to_vec()));
            match session.login_with_raw(UserType::User, &raw) {
                Ok(()) => {
                    self.latch.clear();
                    info!(token = %self.name, "logged in");
                }
                Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => {
                    let error = device(Operation::Open)(error);
                    if error.class() == Class::Pin {
                        self.latch.set(&self.name.serial, pin.expose());
                        let error = error.detail("the PIN will not be tried again");
                        self.refused = Some(error.clone());
                        return Err(error);
                    }
                    return Err(error);
                }
            }
        }
        self.session = Some(session);
        Ok((self.slot, Login::New))
    }

    /// Whether the login is still the one that [`Keeper::login`] made sure of.
    pub(crate) fn holds(&self) -> bool {
        let info = self.session.as_ref().map(Session::get_session_info);
        info.is_some_and(|info| info.is_ok_and(|info| self.is_login(&info)))
    }

    fn is_login(&self, info: &SessionInfo) -> bool {
        self.pin.is_none() || info.session_state() == SessionState::RwUser
    }

    /// Ends the login, if no other session of this process holds it.
    ///
    /// There is no `C_Logout`: it would log out every other backend of this
    /// process that uses the same token.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.drop_session();
    }

    /// The module was initialised again: slots have new numbers and the session
    /// is gone, its number perhaps another's.
    fn move_to(&mut self, generation: Generation) -> Result<(), Error> {
        if let Some(session) = self.session.take() {
            std::mem::forget(session);
        }
        let (slot, info) = slots::choose(&self.module, &self.selector)?;
        let found = slots::name(&info);
        if found.serial != self.name.serial {
            return Err(Error::new(Class::Reinitialize, Operation::Open)
                .detail(format!("another token came back: {found} instead of {}", self.name)));
        }
        self.slot = slot;
        self.generation = generation;
        Ok(())
    }

    fn drop_session(&mut self) {
        let Some(session) = self.session.take() else { return };
        if *self.module.enter() == self.generation {
            drop(session);
        } else {
            std::mem::forget(session);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.drop_session();
    }
}

/// Refuses a login that could lock the PIN for good, or cannot succeed.
fn safe_to_try(info: &TokenInfo) -> Result<(), Error> {
    let problem = if info.user_pin_locked() {
        "the user PIN is locked; have it reset by the security officer of the token"
    } else if info.user_pin_final_try() {
        "one more wrong PIN would lock the token; log in once with another tool to clear its counter"
    } else if !info.user_pin_initialized() {
        "the token has no user PIN yet"
    } else {
        return Ok(());
    };
    Err(Error::new(Class::Pin, Operation::Open).detail(problem))
}
