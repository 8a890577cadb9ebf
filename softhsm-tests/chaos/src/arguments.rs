//! What is done to the arguments of a call, by what they mean. Each kind stands for one or
//! more arguments that belong together.

use std::{ptr, slice};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SLOT_ID, CK_SLOT_INFO,
    CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CKF_TOKEN_PRESENT, CKR_DEVICE_REMOVED,
    CKR_KEY_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID, CKR_OK, CKR_PIN_LOCKED, CKR_SESSION_COUNT,
    CKR_TOKEN_NOT_PRESENT,
};

use crate::{call::Call, rules::Effect, state::State};

/// A part of the arguments of a call.
///
/// # Safety of its methods
/// The pointers are those of a caller who keeps to PKCS#11: each is null, or to a place of
/// the length that stands beside it.
pub(crate) trait Argument: Sized + Copy {
    /// Before the real module is asked.
    unsafe fn enter(self, _call: &Call) -> Result<Self, CK_RV> {
        Ok(self)
    }

    /// After it has answered.
    unsafe fn leave(self, _call: &Call, _answer: CK_RV) {}
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident($($type:ty),+);)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(crate) struct $kind($(pub(crate) $type),+);
    )+};
}

kinds! {
    /// A slot that must hold a token.
    Slot(CK_SLOT_ID);
    /// A slot, with or without one.
    AnySlot(CK_SLOT_ID);
    Session(CK_SESSION_HANDLE);
    /// A session that is closed by the call.
    Closing(CK_SESSION_HANDLE);
    /// A slot whose sessions are.
    ClosingAll(CK_SLOT_ID);
    /// Where the handle of a new session is written, of the slot that the call is about.
    Opened(*mut CK_SESSION_HANDLE);
    Key(CK_OBJECT_HANDLE);
    Object(CK_OBJECT_HANDLE);
    /// Where the handle of a new object is written.
    New(*mut CK_OBJECT_HANDLE);
    /// Where handles are written, how many at most, and how many there are.
    Found(*mut CK_OBJECT_HANDLE, CK_ULONG, *mut CK_ULONG);
    /// The attributes of a new object.
    Template(*mut CK_ATTRIBUTE, CK_ULONG);
    /// Where the values of attributes are written.
    Attributes(*mut CK_ATTRIBUTE, CK_ULONG);
    /// Where bytes are written, and how many there are.
    Output(*mut CK_BYTE, *mut CK_ULONG);
    /// Where so many bytes are written.
    Filled(*mut CK_BYTE, CK_ULONG);
    /// Whether only slots with a token are listed, where to, and how many there are.
    Slots(CK_BBOOL, *mut CK_SLOT_ID, *mut CK_ULONG);
    SlotInfo(*mut CK_SLOT_INFO);
    TokenInfo(*mut CK_TOKEN_INFO);
    /// The PIN of a login, which nobody looks at.
    Pin(CK_USER_TYPE, *mut CK_UTF8CHAR, CK_ULONG);
}

/// What passes as it is.
#[derive(Clone, Copy)]
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: Copy> Argument for Plain<T> {}

impl Argument for AnySlot {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        call.on.set(self.0);
        Ok(self)
    }
}

impl Argument for Slot {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        call.on.set(self.0);
        if State::get().is_removed() { Err(CKR_TOKEN_NOT_PRESENT) } else { Ok(self) }
    }
}

impl Argument for Session {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        call.on.set(self.0);
        if State::get().is_removed() { Err(CKR_DEVICE_REMOVED) } else { Ok(self) }
    }
}

impl Argument for Closing {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        call.on.set(self.0);
        if State::get().is_removed() { Err(CKR_DEVICE_REMOVED) } else { Ok(self) }
    }

    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer == CKR_OK {
            State::get().closed(self.0);
        }
    }
}

impl Argument for ClosingAll {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        call.on.set(self.0);
        if State::get().is_removed() { Err(CKR_TOKEN_NOT_PRESENT) } else { Ok(self) }
    }

    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer == CKR_OK {
            State::get().closed_all(self.0);
        }
    }
}

impl Argument for Opened {
    unsafe fn enter(self, _call: &Call) -> Result<Self, CK_RV> {
        if State::get().may_open() { Ok(self) } else { Err(CKR_SESSION_COUNT) }
    }

    unsafe fn leave(self, call: &Call, answer: CK_RV) {
        if answer == CKR_OK && !self.0.is_null() {
            // SAFETY: it answered CKR_OK, so the handle is there.
            State::get().opened(unsafe { *self.0 }, call.on.get());
        }
    }
}

impl Argument for Key {
    unsafe fn enter(self, _call: &Call) -> Result<Self, CK_RV> {
        State::get().meant(self.0).map(Self).ok_or(CKR_KEY_HANDLE_INVALID)
    }
}

impl Argument for Object {
    unsafe fn enter(self, _call: &Call) -> Result<Self, CK_RV> {
        State::get().meant(self.0).map(Self).ok_or(CKR_OBJECT_HANDLE_INVALID)
    }
}

impl Argument for New {
    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer == CKR_OK && !self.0.is_null() {
            // SAFETY: it answered CKR_OK, so the handle is there.
            unsafe { *self.0 = State::get().shown(*self.0) };
        }
    }
}

impl Argument for Found {
    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer != CKR_OK || self.0.is_null() || self.2.is_null() {
            return;
        }
        // SAFETY: it answered CKR_OK, so the count is there, and so many handles, which
        // are at most as many as there is room for.
        let found = unsafe { slice::from_raw_parts_mut(self.0, length(*self.2).min(length(self.1))) };
        for handle in found {
            *handle = State::get().shown(*handle);
        }
    }
}

impl Argument for Template {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        let is_altered = |effect: &Effect| matches!(effect, Effect::Drop(_) | Effect::Set(..));
        if self.0.is_null() || !call.effects.iter().any(is_altered) {
            return Ok(self);
        }
        // SAFETY: not null, and so long.
        let mut template = unsafe { slice::from_raw_parts(self.0, length(self.1)) }.to_vec();
        for effect in &call.effects {
            match effect {
                Effect::Drop(kind) => template.retain(|attribute| attribute.type_ != *kind),
                Effect::Set(kind, value) => {
                    let mut value = value.clone();
                    for attribute in template.iter_mut().filter(|attribute| attribute.type_ == *kind) {
                        attribute.pValue = value.as_mut_ptr().cast();
                        attribute.ulValueLen = count(value.len());
                    }
                    call.values.borrow_mut().push(value);
                }
                _ => {}
            }
        }
        let altered = Self(template.as_mut_ptr(), count(template.len()));
        call.templates.borrow_mut().push(template);
        Ok(altered)
    }
}

impl Argument for Attributes {
    unsafe fn enter(self, call: &Call) -> Result<Self, CK_RV> {
        if !self.0.is_null() {
            // SAFETY: not null, and so long.
            let attributes = unsafe { slice::from_raw_parts(self.0, length(self.1)) };
            *call.places.borrow_mut() = attributes.iter().map(|attribute| attribute.ulValueLen).collect();
        }
        Ok(self)
    }

    unsafe fn leave(self, call: &Call, _answer: CK_RV) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: not null, and so long.
        let attributes = unsafe { slice::from_raw_parts_mut(self.0, length(self.1)) };
        let places = call.places.borrow();
        for effect in &call.effects {
            let Effect::Lie(kind, value) = effect else { continue };
            for (attribute, place) in attributes.iter_mut().zip(places.iter()) {
                if attribute.type_ != *kind {
                    continue;
                }
                if !attribute.pValue.is_null() && value.len() <= length(*place) {
                    // SAFETY: the place is not null, and as long as the value at least.
                    unsafe { ptr::copy_nonoverlapping(value.as_ptr(), attribute.pValue.cast(), value.len()) };
                }
                attribute.ulValueLen = count(value.len());
            }
        }
    }
}

impl Argument for Output {
    unsafe fn leave(self, call: &Call, answer: CK_RV) {
        if answer != CKR_OK || self.1.is_null() {
            return;
        }
        // SAFETY: it answered CKR_OK, so the length is there.
        let told = unsafe { &mut *self.1 };
        for effect in &call.effects {
            match effect {
                Effect::Flip if !self.0.is_null() && *told > 0 => {
                    // SAFETY: there is one byte at least.
                    unsafe { *self.0 ^= 1 };
                }
                Effect::Length(delta) => *told = told.saturating_add_signed(*delta),
                Effect::Empty => *told = 0,
                _ => {}
            }
        }
    }
}

impl Argument for Filled {
    unsafe fn leave(self, call: &Call, answer: CK_RV) {
        if answer == CKR_OK && !self.0.is_null() && self.1 > 0 && call.effects.contains(&Effect::Flip) {
            // SAFETY: there is one byte at least.
            unsafe { *self.0 ^= 1 };
        }
    }
}

impl Argument for Slots {
    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer == CKR_OK && self.0 != 0 && !self.2.is_null() && State::get().is_removed() {
            // SAFETY: it answered CKR_OK, so the count is there.
            unsafe { *self.2 = 0 };
        }
    }
}

impl Argument for SlotInfo {
    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        if answer == CKR_OK && !self.0.is_null() && State::get().is_removed() {
            // SAFETY: it answered CKR_OK, so the structure is there.
            unsafe { (*self.0).flags &= !CKF_TOKEN_PRESENT };
        }
    }
}

impl Argument for TokenInfo {
    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        let serial = State::get().serial().filter(|_| answer == CKR_OK && !self.0.is_null());
        if let Some(serial) = serial {
            // SAFETY: it answered CKR_OK, so the structure is there.
            let told = unsafe { &mut (*self.0).serialNumber };
            let padded = serial.bytes().chain(std::iter::repeat(b' '));
            for (place, byte) in told.iter_mut().zip(padded) {
                *place = byte;
            }
        }
    }
}

impl Argument for Pin {
    unsafe fn enter(self, _call: &Call) -> Result<Self, CK_RV> {
        if State::get().is_pin_locked() { Err(CKR_PIN_LOCKED) } else { Ok(self) }
    }

    unsafe fn leave(self, _call: &Call, answer: CK_RV) {
        State::get().logged_in(answer);
    }
}

/// A length in memory.
fn length(count: CK_ULONG) -> usize {
    usize::try_from(count).unwrap_or_default()
}

fn count(length: usize) -> CK_ULONG {
    CK_ULONG::try_from(length).unwrap_or_default()
}
