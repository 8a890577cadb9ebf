//! Response codes of TPM 2.0 (part 2, chapter 6.6) and of its software stack as error
//! classes: one table, and the few readings that depend on what was being done.
//!
//! The layer stands in the upper half of a code: 0 is the TPM itself, 11 and 12 a
//! resource manager, 7 ESYS, 10 the transport. Codes of format one say in some of their
//! bits which handle, session or parameter they mean; these are left out.

use bitfield::BitRange;
use skms_backend::{Class, Error, Operation};
use tss_esapi::{Error as Tss, WrapperErrorKind, constants::response_code::Tss2ResponseCode};

/// What becomes of an error of the TPM during `operation`, for `map_err`.
pub(crate) fn device(operation: Operation) -> impl Fn(Tss) -> Error {
    move |error| {
        let Some(code) = code(&error) else {
            return Error::new(Class::Broken, operation).source(Foreign(error));
        };
        let (class, name) = reading(code, operation);
        let mapped = Error::new(class, operation).device_code(name);
        match class {
            Class::Pin if operation != Operation::Open || code.is(LOCKOUT) => {
                mapped.detail("the TPM is in lockout; see `tpm2_dictionarylockout`")
            }
            Class::Pin => mapped.detail("the TPM refused the owner authorization"),
            Class::Shrink => mapped.detail("the TPM has no free slot for a key or a session"),
            _ => mapped.detail(format!("response code {:#x}", code.0)),
        }
    }
}

/// Whether the TPM asks for the same again, later.
pub(crate) fn asks_again(error: &Tss) -> bool {
    code(error).is_some_and(|code| [RETRY, YIELDED, TESTING, NV_RATE].into_iter().any(|busy| code.is(busy)))
}

/// Whether the TPM waits for TPM2_Startup, or was started already.
pub(crate) fn is_initialize(error: &Tss) -> bool {
    code(error).is_some_and(|code| code.is(INITIALIZE))
}

/// Whether a slot for an object is missing.
pub(crate) fn lacks_slot(error: &Tss) -> bool {
    code(error).is_some_and(|code| code.is(OBJECT_MEMORY) || code.is(OBJECT_HANDLES))
}

/// Whether it is what the caller gave that was refused, when everything else about a
/// command was right. libtpms answers `TPM_RC_FAILURE` to a bad ciphertext of RSAES-OAEP,
/// and is well.
pub(crate) fn blames_input(error: &Tss) -> bool {
    const INPUT: [u32; 6] = [VALUE, SIZE, SCHEME, ECC_POINT, FAILURE, NO_RESULT];
    code(error).is_some_and(|code| INPUT.into_iter().any(|refused| code.is(refused)))
}

/// Whether the TPM refused sensitive material for what it is.
pub(crate) fn blames_material(error: &Tss) -> bool {
    const MATERIAL: [u32; 7] = [VALUE, SIZE, BINDING, KEY, ECC_POINT, KEY_SIZE, RANGE];
    code(error).is_some_and(|code| MATERIAL.into_iter().any(|refused| code.is(refused)))
}

#[derive(Clone, Copy)]
struct Code(u32);

impl Code {
    /// Whether the TPM said this.
    fn is(self, known: u32) -> bool {
        self.of_tpm() == Some(known)
    }

    /// The code without what it is about, if the TPM or its resource manager said it.
    fn of_tpm(self) -> Option<u32> {
        const FORMAT_ONE: u32 = 0x080;
        let layer = self.0 >> 16;
        let bare = self.0 & 0xffff;
        let bare = if bare & FORMAT_ONE == 0 { bare } else { bare & 0x0bf };
        matches!(layer, 0 | 11 | 12).then_some(bare)
    }
}

fn code(error: &Tss) -> Option<Code> {
    match error {
        Tss::Tss2Error(Tss2ResponseCode::FormatZero(code)) => Some(Code(code.bit_range(31, 0))),
        Tss::Tss2Error(Tss2ResponseCode::FormatOne(code)) => Some(Code(code.bit_range(31, 0))),
        Tss::Tss2Error(Tss2ResponseCode::Success) | Tss::WrapperError(_) => None,
    }
}

/// The class of a code and its symbolic name.
fn reading(code: Code, operation: Operation) -> (Class, &'static str) {
    // A key that is to be made, or one that is there.
    let makes = matches!(operation, Operation::Generate | Operation::Import);
    let of_key = if makes { Class::Unsupported } else { Class::Key };
    let auth = if operation == Operation::Open { Class::Pin } else { Class::Key };
    let Some(bare) = code.of_tpm() else {
        return match code.0 >> 16 {
            10 => (Class::Reinitialize, "TSS2_TCTI_RC"),
            // A context that has lost its transport answers so for ever.
            7 if code.0 & 0xffff == 7 => (Class::Reinitialize, "TSS2_ESYS_RC_BAD_SEQUENCE"),
            7 => (Class::Session, "TSS2_ESYS_RC"),
            _ => (Class::Broken, "TSS2_RC"),
        };
    };
    match bare {
        INITIALIZE => (Class::Reinitialize, "TPM_RC_INITIALIZE"),
        FAILURE => (Class::Broken, "TPM_RC_FAILURE"),
        DISABLED => (Class::Broken, "TPM_RC_DISABLED"),
        REBOOT => (Class::Broken, "TPM_RC_REBOOT"),
        COMMAND_CODE => (Class::Unsupported, "TPM_RC_COMMAND_CODE"),
        OBJECT_MEMORY => (Class::Shrink, "TPM_RC_OBJECT_MEMORY"),
        SESSION_MEMORY => (Class::Shrink, "TPM_RC_SESSION_MEMORY"),
        MEMORY => (Class::Shrink, "TPM_RC_MEMORY"),
        SESSION_HANDLES => (Class::Shrink, "TPM_RC_SESSION_HANDLES"),
        OBJECT_HANDLES => (Class::Shrink, "TPM_RC_OBJECT_HANDLES"),
        YIELDED => (Class::Session, "TPM_RC_YIELDED"),
        TESTING => (Class::Session, "TPM_RC_TESTING"),
        NV_RATE => (Class::Session, "TPM_RC_NV_RATE"),
        RETRY => (Class::Session, "TPM_RC_RETRY"),
        NV_UNAVAILABLE => (Class::Session, "TPM_RC_NV_UNAVAILABLE"),
        LOCKOUT => (Class::Pin, "TPM_RC_LOCKOUT"),
        // A handle or a session that the TPM does not know: it was reset.
        REFERENCE_H0..=REFERENCE_H6 => (Class::Reinitialize, "TPM_RC_REFERENCE_H0"),
        REFERENCE_S0..=REFERENCE_S6 => (Class::Reinitialize, "TPM_RC_REFERENCE_S0"),
        HANDLE => (Class::Reinitialize, "TPM_RC_HANDLE"),
        AUTH_FAIL => (auth, "TPM_RC_AUTH_FAIL"),
        BAD_AUTH => (auth, "TPM_RC_BAD_AUTH"),
        INTEGRITY => (of_key, "TPM_RC_INTEGRITY"),
        BINDING => (of_key, "TPM_RC_BINDING"),
        KEY => (of_key, "TPM_RC_KEY"),
        TYPE => (of_key, "TPM_RC_TYPE"),
        ATTRIBUTES => (of_key, "TPM_RC_ATTRIBUTES"),
        CURVE => (of_key, "TPM_RC_CURVE"),
        KEY_SIZE => (of_key, "TPM_RC_KEY_SIZE"),
        HASH => (of_key, "TPM_RC_HASH"),
        SCHEME => (of_key, "TPM_RC_SCHEME"),
        VALUE => (Class::Broken, "TPM_RC_VALUE"),
        SIZE => (Class::Broken, "TPM_RC_SIZE"),
        _ => (Class::Broken, "TPM_RC"),
    }
}

/// What the wrapper around the stack found wrong; `Display` of the original names types.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the TPM software stack refused the call: {}", self.kind())]
struct Foreign(Tss);

impl Foreign {
    const fn kind(&self) -> &'static str {
        match self.0 {
            Tss::WrapperError(WrapperErrorKind::WrongValueFromTpm) => "the TPM gave a wrong value",
            Tss::WrapperError(WrapperErrorKind::WrongParamSize) => "a value has a wrong size",
            Tss::WrapperError(WrapperErrorKind::InvalidHandleState) => "a handle is not open",
            Tss::WrapperError(_) => "a value cannot be used",
            Tss::Tss2Error(_) => "it gave no reason",
        }
    }
}

// Format zero, errors.
const INITIALIZE: u32 = 0x100;
const FAILURE: u32 = 0x101;
const DISABLED: u32 = 0x120;
const REBOOT: u32 = 0x130;
const COMMAND_CODE: u32 = 0x143;
const NO_RESULT: u32 = 0x154;
// Format zero, warnings.
const OBJECT_MEMORY: u32 = 0x902;
const SESSION_MEMORY: u32 = 0x903;
const MEMORY: u32 = 0x904;
const SESSION_HANDLES: u32 = 0x905;
const OBJECT_HANDLES: u32 = 0x906;
const YIELDED: u32 = 0x908;
const TESTING: u32 = 0x90a;
const REFERENCE_H0: u32 = 0x910;
const REFERENCE_H6: u32 = 0x916;
const REFERENCE_S0: u32 = 0x918;
const REFERENCE_S6: u32 = 0x91e;
const NV_RATE: u32 = 0x920;
const LOCKOUT: u32 = 0x921;
const RETRY: u32 = 0x922;
const NV_UNAVAILABLE: u32 = 0x923;
// Format one.
const ATTRIBUTES: u32 = 0x082;
const HASH: u32 = 0x083;
const VALUE: u32 = 0x084;
const KEY_SIZE: u32 = 0x087;
const TYPE: u32 = 0x08a;
const HANDLE: u32 = 0x08b;
const RANGE: u32 = 0x08d;
const AUTH_FAIL: u32 = 0x08e;
const SCHEME: u32 = 0x092;
const SIZE: u32 = 0x095;
const KEY: u32 = 0x09c;
const INTEGRITY: u32 = 0x09f;
const BAD_AUTH: u32 = 0x0a2;
const BINDING: u32 = 0x0a5;
const CURVE: u32 = 0x0a6;
const ECC_POINT: u32 = 0x0a7;

#[cfg(test)]
mod tests {
    use super::*;

    /// As swtpm was seen to answer, and as other layers do.
    #[test]
    fn codes_are_read_without_what_they_are_about() {
        let class = |code, operation| reading(Code(code), operation).0;
        for (code, operation, expected) in [
            (0x0000_0921, Operation::Sign, Class::Pin),
            (0x0000_098e, Operation::Sign, Class::Key),
            (0x0000_09a2, Operation::Open, Class::Pin),
            (0x0000_01df, Operation::Sign, Class::Key),
            (0x0000_0910, Operation::Sign, Class::Reinitialize),
            (0x0000_018b, Operation::Sign, Class::Reinitialize),
            (0x0000_0100, Operation::Probe, Class::Reinitialize),
            (0x000a_000a, Operation::Sign, Class::Reinitialize),
            (0x0007_0007, Operation::Sign, Class::Reinitialize),
            (0x000b_0902, Operation::Sign, Class::Shrink),
            (0x0000_02e6, Operation::Generate, Class::Unsupported),
            (0x0000_0922, Operation::Sign, Class::Session),
        ] {
            assert_eq!(class(code, operation), expected, "{code:#x}");
        }
    }
}
