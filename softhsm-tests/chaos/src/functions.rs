//! The functions of PKCS#11, each with what its arguments mean.
#![expect(non_snake_case, reason = "their names are those of PKCS#11")]

use std::ffi::c_void;

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BBOOL, CK_BYTE, CK_FLAGS, CK_FUNCTION_LIST, CK_INFO, CK_MECHANISM, CK_MECHANISM_INFO,
    CK_MECHANISM_TYPE, CK_NOTIFY, CK_OBJECT_HANDLE, CK_RV, CK_SESSION_HANDLE, CK_SESSION_INFO, CK_SLOT_ID,
    CK_SLOT_INFO, CK_TOKEN_INFO, CK_ULONG, CK_USER_TYPE, CK_UTF8CHAR, CK_VERSION, CKR_ARGUMENTS_BAD,
    CKR_FUNCTION_NOT_SUPPORTED, CKR_OK,
};

use crate::{
    arguments::{
        AnySlot, Argument, Attributes, Closing, ClosingAll, Filled, Found, Key, New, Object, Opened, Output,
        Pin, Plain, Session, Slot, SlotInfo, Slots, Template, TokenInfo,
    },
    call::Call,
    real,
};

/// The version of PKCS#11 whose functions these are.
const VERSION: CK_VERSION = CK_VERSION { major: 2, minor: 40 };

macro_rules! functions {
    ($($name:ident($($kind:ident($($argument:ident: $type:ty),+)),*);)+) => {
        $(unsafe extern "C" fn $name($($($argument: $type),+),*) -> CK_RV {
            let call = Call::begin(stringify!($name));
            let Some(real) = real::functions().and_then(|functions| functions.$name) else {
                return call.end(CKR_FUNCTION_NOT_SUPPORTED);
            };
            $(
                // SAFETY: the arguments are those of the caller, as PKCS#11 has them.
                let $kind($($argument),+) = match unsafe { $kind($($argument),+).enter(&call) } {
                    Ok(kind) => kind,
                    Err(answer) => return call.end(answer),
                };
            )*
            if let Some(answer) = call.before() {
                return call.end(answer);
            }
            let calling = real::calling();
            // SAFETY: the arguments are those of the caller, or in the place of such and kept
            // in `call`.
            let answer = unsafe { real($($($argument),+),*) };
            drop(calling);
            $(
                // SAFETY: as above; the real module has written what it had to.
                unsafe { $kind($($argument),+).leave(&call, answer) };
            )*
            let answer = call.after(answer);
            call.end(answer)
        })+

        static FUNCTIONS: CK_FUNCTION_LIST = CK_FUNCTION_LIST {
            version: VERSION,
            C_GetFunctionList: Some(C_GetFunctionList),
            $($name: Some($name),)+
        };
    };
}

/// Gives out the functions of this module.
///
/// # Safety
/// The pointer is null, or to a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(list: *mut *mut CK_FUNCTION_LIST) -> CK_RV {
    if list.is_null() {
        return CKR_ARGUMENTS_BAD;
    }
    // SAFETY: not null. Nobody writes to what it points to.
    unsafe { *list = (&raw const FUNCTIONS).cast_mut() };
    CKR_OK
}

functions! {
    C_Initialize(Plain(a: *mut c_void));
    C_Finalize(Plain(a: *mut c_void));
    C_GetInfo(Plain(a: *mut CK_INFO));
    C_GetSlotList(Slots(a: CK_BBOOL, b: *mut CK_SLOT_ID, c: *mut CK_ULONG));
    C_GetSlotInfo(AnySlot(a: CK_SLOT_ID), SlotInfo(b: *mut CK_SLOT_INFO));
    C_GetTokenInfo(Slot(a: CK_SLOT_ID), TokenInfo(b: *mut CK_TOKEN_INFO));
    C_GetMechanismList(Slot(a: CK_SLOT_ID), Plain(b: *mut CK_MECHANISM_TYPE), Plain(c: *mut CK_ULONG));
    C_GetMechanismInfo(Slot(a: CK_SLOT_ID), Plain(b: CK_MECHANISM_TYPE), Plain(c: *mut CK_MECHANISM_INFO));
    C_InitToken(Slot(a: CK_SLOT_ID), Plain(b: *mut CK_UTF8CHAR), Plain(c: CK_ULONG), Plain(d: *mut CK_UTF8CHAR));
    C_InitPIN(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_UTF8CHAR), Plain(c: CK_ULONG));
    C_SetPIN(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_UTF8CHAR), Plain(c: CK_ULONG), Plain(d: *mut CK_UTF8CHAR), Plain(e: CK_ULONG));
    C_OpenSession(Slot(a: CK_SLOT_ID), Plain(b: CK_FLAGS), Plain(c: *mut c_void), Plain(d: CK_NOTIFY), Opened(e: *mut CK_SESSION_HANDLE));
    C_CloseSession(Closing(a: CK_SESSION_HANDLE));
    C_CloseAllSessions(ClosingAll(a: CK_SLOT_ID));
    C_GetSessionInfo(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_SESSION_INFO));
    C_GetOperationState(Session(a: CK_SESSION_HANDLE), Output(b: *mut CK_BYTE, c: *mut CK_ULONG));
    C_SetOperationState(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Key(d: CK_OBJECT_HANDLE), Key(e: CK_OBJECT_HANDLE));
    C_Login(Session(a: CK_SESSION_HANDLE), Pin(b: CK_USER_TYPE, c: *mut CK_UTF8CHAR, d: CK_ULONG));
    C_Logout(Session(a: CK_SESSION_HANDLE));
    C_CreateObject(Session(a: CK_SESSION_HANDLE), Template(b: *mut CK_ATTRIBUTE, c: CK_ULONG), New(d: *mut CK_OBJECT_HANDLE));
    C_CopyObject(Session(a: CK_SESSION_HANDLE), Object(b: CK_OBJECT_HANDLE), Template(c: *mut CK_ATTRIBUTE, d: CK_ULONG), New(e: *mut CK_OBJECT_HANDLE));
    C_DestroyObject(Session(a: CK_SESSION_HANDLE), Object(b: CK_OBJECT_HANDLE));
    C_GetObjectSize(Session(a: CK_SESSION_HANDLE), Object(b: CK_OBJECT_HANDLE), Plain(c: *mut CK_ULONG));
    C_GetAttributeValue(Session(a: CK_SESSION_HANDLE), Object(b: CK_OBJECT_HANDLE), Attributes(c: *mut CK_ATTRIBUTE, d: CK_ULONG));
    C_SetAttributeValue(Session(a: CK_SESSION_HANDLE), Object(b: CK_OBJECT_HANDLE), Plain(c: *mut CK_ATTRIBUTE), Plain(d: CK_ULONG));
    C_FindObjectsInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_ATTRIBUTE), Plain(c: CK_ULONG));
    C_FindObjects(Session(a: CK_SESSION_HANDLE), Found(b: *mut CK_OBJECT_HANDLE, c: CK_ULONG, d: *mut CK_ULONG));
    C_FindObjectsFinal(Session(a: CK_SESSION_HANDLE));
    C_EncryptInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_Encrypt(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_EncryptUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_EncryptFinal(Session(a: CK_SESSION_HANDLE), Output(b: *mut CK_BYTE, c: *mut CK_ULONG));
    C_DecryptInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_Decrypt(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DecryptUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DecryptFinal(Session(a: CK_SESSION_HANDLE), Output(b: *mut CK_BYTE, c: *mut CK_ULONG));
    C_DigestInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM));
    C_Digest(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DigestUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG));
    C_DigestKey(Session(a: CK_SESSION_HANDLE), Key(b: CK_OBJECT_HANDLE));
    C_DigestFinal(Session(a: CK_SESSION_HANDLE), Output(b: *mut CK_BYTE, c: *mut CK_ULONG));
    C_SignInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_Sign(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_SignUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG));
    C_SignFinal(Session(a: CK_SESSION_HANDLE), Output(b: *mut CK_BYTE, c: *mut CK_ULONG));
    C_SignRecoverInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_SignRecover(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_VerifyInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_Verify(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Plain(d: *mut CK_BYTE), Plain(e: CK_ULONG));
    C_VerifyUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG));
    C_VerifyFinal(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG));
    C_VerifyRecoverInit(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE));
    C_VerifyRecover(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DigestEncryptUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DecryptDigestUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_SignEncryptUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_DecryptVerifyUpdate(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG), Output(d: *mut CK_BYTE, e: *mut CK_ULONG));
    C_GenerateKey(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Template(c: *mut CK_ATTRIBUTE, d: CK_ULONG), New(e: *mut CK_OBJECT_HANDLE));
    C_GenerateKeyPair(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Template(c: *mut CK_ATTRIBUTE, d: CK_ULONG), Template(e: *mut CK_ATTRIBUTE, f: CK_ULONG), New(g: *mut CK_OBJECT_HANDLE), New(h: *mut CK_OBJECT_HANDLE));
    C_WrapKey(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE), Key(d: CK_OBJECT_HANDLE), Output(e: *mut CK_BYTE, f: *mut CK_ULONG));
    C_UnwrapKey(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE), Plain(d: *mut CK_BYTE), Plain(e: CK_ULONG), Template(f: *mut CK_ATTRIBUTE, g: CK_ULONG), New(h: *mut CK_OBJECT_HANDLE));
    C_DeriveKey(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_MECHANISM), Key(c: CK_OBJECT_HANDLE), Template(d: *mut CK_ATTRIBUTE, e: CK_ULONG), New(f: *mut CK_OBJECT_HANDLE));
    C_SeedRandom(Session(a: CK_SESSION_HANDLE), Plain(b: *mut CK_BYTE), Plain(c: CK_ULONG));
    C_GenerateRandom(Session(a: CK_SESSION_HANDLE), Filled(b: *mut CK_BYTE, c: CK_ULONG));
    C_GetFunctionStatus(Session(a: CK_SESSION_HANDLE));
    C_CancelFunction(Session(a: CK_SESSION_HANDLE));
    C_WaitForSlotEvent(Plain(a: CK_FLAGS), Plain(b: *mut CK_SLOT_ID), Plain(c: *mut c_void));
}
