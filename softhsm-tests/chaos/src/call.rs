//! One call, from its beginning to its answer.

use std::{
    cell::{Cell, RefCell},
    thread,
    time::Duration,
};

use cryptoki_sys::{CK_ATTRIBUTE, CK_RV, CK_SESSION_HANDLE, CK_ULONG};

use crate::{real, rules::Effect, state::State};

/// A call, and what is to happen at it.
pub(crate) struct Call {
    function: &'static str,
    pub(crate) effects: Vec<Effect>,
    /// How often was released before it.
    releases: u64,
    /// The session, or the slot.
    pub(crate) on: Cell<u64>,
    /// Templates and values that were put in the place of others, and must be there until
    /// the real module has answered. What is in them never moves.
    pub(crate) templates: RefCell<Vec<Vec<CK_ATTRIBUTE>>>,
    pub(crate) values: RefCell<Vec<Vec<u8>>>,
    /// How long the places for the values of attributes are.
    pub(crate) places: RefCell<Vec<CK_ULONG>>,
}

impl Call {
    pub(crate) fn begin(function: &'static str) -> Self {
        let (effects, releases) = State::get().called(function);
        Self {
            function,
            effects,
            releases,
            on: Cell::new(0),
            templates: RefCell::default(),
            values: RefCell::default(),
            places: RefCell::default(),
        }
    }

    /// What happens before the real module is asked; the answer, where it is not asked at
    /// all.
    pub(crate) fn before(&self) -> Option<CK_RV> {
        let mut answer = None;
        for effect in &self.effects {
            match effect {
                Effect::Answer(code) => answer = Some(*code),
                Effect::Sleep(milliseconds) => thread::sleep(Duration::from_millis(*milliseconds)),
                Effect::Hang => State::get().hang(self.releases),
                Effect::Crash => std::process::abort(),
                Effect::CloseSessions => State::get().close_sessions(),
                Effect::Logout => logout(self.on.get()),
                Effect::Renumber => State::get().renumber(),
                Effect::AnswerAfter(_)
                | Effect::Length(_)
                | Effect::Empty
                | Effect::Flip
                | Effect::Drop(_)
                | Effect::Set(..)
                | Effect::Lie(..) => {}
            }
        }
        answer
    }

    /// The answer of the real module, or another one in its place.
    pub(crate) fn after(&self, answer: CK_RV) -> CK_RV {
        let other = self.effects.iter().find_map(|effect| match effect {
            Effect::AnswerAfter(code) => Some(*code),
            _ => None,
        });
        other.unwrap_or(answer)
    }

    /// Writes the call down.
    pub(crate) fn end(self, answer: CK_RV) -> CK_RV {
        State::get().answered(self.function, self.on.get(), answer);
        answer
    }
}

fn logout(session: CK_SESSION_HANDLE) {
    if let Some(logout) = real::functions().and_then(|functions| functions.C_Logout) {
        let _alone = real::alone();
        // SAFETY: takes a number, and any number.
        unsafe { logout(session) };
    }
}
