//! The module that is forwarded to.

use std::{ptr, sync::OnceLock};

use cryptoki_sys::{CK_C_GetFunctionList, CK_FUNCTION_LIST, CKR_OK};
use libloading::Library;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Open for those who call the real module in the name of the caller.
static CALLS: RwLock<()> = RwLock::new(());

/// Held over a call of the real module.
pub(crate) fn calling() -> RwLockReadGuard<'static, ()> {
    CALLS.read()
}

/// Held over what takes sessions from their owners: the real module need not bear that one
/// of them is at work meanwhile, and SoftHSM does not.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    CALLS.write()
}

/// The functions of the real module; `None` where it cannot be loaded.
pub(crate) fn functions() -> Option<&'static CK_FUNCTION_LIST> {
    static FUNCTIONS: OnceLock<Option<CK_FUNCTION_LIST>> = OnceLock::new();
    FUNCTIONS.get_or_init(load).as_ref()
}

fn load() -> Option<CK_FUNCTION_LIST> {
    let path = std::env::var_os("SKMS_CHAOS_MODULE")?;
    // SAFETY: whoever sets the variable names a PKCS#11 module, whose initialisers are
    // those of any library.
    let library = unsafe { Library::new(path) }.ok()?;
    // SAFETY: every PKCS#11 module exports this function, of this type.
    let list = unsafe { library.get::<CK_C_GetFunctionList>(b"C_GetFunctionList\0") }.ok()?;
    let mut functions: *mut CK_FUNCTION_LIST = ptr::null_mut();
    let get = (*list)?;
    // SAFETY: the pointer is to a place for the answer.
    if unsafe { get(&raw mut functions) } != CKR_OK || functions.is_null() {
        return None;
    }
    // It stays loaded for as long as the process lives.
    std::mem::forget(library);
    // SAFETY: it answered CKR_OK, so the list is there, and it is never unloaded.
    Some(unsafe { *functions })
}
