//! Return codes of PKCS#11 (2.40 §11.1, 3.1 §5.1) as error classes: one table, and
//! the few readings that depend on what was being done.
//!
//! `CKR_GENERAL_ERROR`, `CKR_FUNCTION_FAILED` and `CKR_DEVICE_ERROR` mean anything
//! from a refused input to a lost device, and differ from module to module. The
//! table calls them [`Class::Broken`]; `Token::diagnose` then asks the token
//! whether it is still there, and only a token that is not becomes
//! [`Class::Reinitialize`]. `CKR_OBJECT_HANDLE_INVALID` is asked the same way:
//! some modules answer it for a lost token as well as for a lost key.

use cryptoki::{
    context::Function,
    error::{Error as Cryptoki, RvError},
};
use skms_backend::{Class, Error, Operation};

/// What becomes of an error of the module during `operation`, for `map_err`.
pub(crate) fn device(operation: Operation) -> impl Fn(Cryptoki) -> Error {
    move |error| {
        let mapped = match &error {
            Cryptoki::Pkcs11(rv, function) => {
                let (class, code) = reading(*rv, operation);
                // Nobody but a login speaks of a PIN, and only that is not done twice.
                let is_of_pin = class == Class::Pin && !matches!(function, Function::Login);
                // Nor can what begins without an input blame one.
                let has_no_input = matches!(
                    function,
                    Function::EncryptInit | Function::DecryptInit | Function::SignInit | Function::VerifyInit
                );
                let is_nonsense = is_of_pin || class == Class::Caller && has_no_input;
                let class = if is_nonsense { Class::Broken } else { class };
                let class = if operation == Operation::Open { opening(class) } else { class };
                let mapped = Error::new(class, operation).device_code(code);
                match rv {
                    RvError::VendorDefined(number) | RvError::UnknownErrorCode(number) => {
                        mapped.detail(format!("return code {number:#x}"))
                    }
                    _ => mapped,
                }
            }
            // The module has no such function: a device without it.
            Cryptoki::NullFunctionPointer | Cryptoki::NotSupported => {
                Error::new(Class::Unsupported, operation)
            }
            Cryptoki::LibraryLoading(_)
            | Cryptoki::TryFromInt(_)
            | Cryptoki::TryFromSlice(_)
            | Cryptoki::ParseInt(_)
            | Cryptoki::Utf8(_)
            | Cryptoki::NulError(_)
            | Cryptoki::MissingSymbol(_)
            | Cryptoki::InvalidValue
            | Cryptoki::PinNotSet => Error::new(Class::Broken, operation),
        };
        mapped.source(error)
    }
}

/// What a return code says where no work was asked for yet: of a key or an input there was
/// none, so the device does not answer as one that is well.
const fn opening(class: Class) -> Class {
    match class {
        Class::Caller
        | Class::Unsupported
        | Class::Key
        | Class::Handle
        | Class::StorageFull
        | Class::Broken => Class::Session,
        Class::Session
        | Class::Login
        | Class::Reinitialize
        | Class::Shrink
        | Class::Pin
        | Class::QueueFull
        | Class::Hung
        | Class::Timeout
        | Class::Cancelled
        | Class::Closed => class,
    }
}

/// The same of a device that was given nothing but what is well-formed: it is at fault,
/// whatever it calls that.
pub(crate) fn of_well_formed(error: Error) -> Error {
    match error.class() {
        Class::Caller => {
            let operation = error.operation();
            Error::new(Class::Broken, operation)
                .detail("the device refused what is well-formed")
                .source(error)
        }
        _ => error,
    }
}

/// Whether decryption began and then failed for what was to be decrypted, whatever the
/// module calls that; a token that is gone is told from it by asking (`Token::present`).
pub(crate) fn blames_ciphertext(error: &Cryptoki) -> bool {
    let Cryptoki::Pkcs11(rv, Function::Decrypt) = error else { return false };
    match reading(*rv, Operation::Decrypt).0 {
        Class::Caller | Class::Broken | Class::Key | Class::Unsupported => true,
        Class::StorageFull
        | Class::Session
        | Class::Login
        | Class::Handle
        | Class::Reinitialize
        | Class::Shrink
        | Class::Pin
        | Class::QueueFull
        | Class::Hung
        | Class::Timeout
        | Class::Cancelled
        | Class::Closed => false,
    }
}

/// Whether a template was refused for what is in it, so that one without its
/// optional attributes may be taken.
pub(crate) const fn blames_template(error: &Cryptoki) -> bool {
    matches!(
        error,
        Cryptoki::Pkcs11(
            RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::AttributeReadOnly
                | RvError::TemplateInconsistent,
            _
        )
    )
}

/// The class of a return code and its symbolic name.
#[expect(clippy::too_many_lines, reason = "one row a return code")]
fn reading(rv: RvError, operation: Operation) -> (Class, &'static str) {
    // A new object found no room; anything else found no room to compute in.
    let memory = match operation {
        Operation::Generate | Operation::Import => Class::StorageFull,
        _ => Class::Shrink,
    };
    // The size of a key that is to be made, or of one that is there.
    let uses = matches!(
        operation,
        Operation::Sign | Operation::Encrypt | Operation::Decrypt | Operation::Mac | Operation::Agree
    );
    let size = if uses { Class::Key } else { Class::Unsupported };
    // A key is only used with mechanisms that the token lists, so it is the
    // key that does not allow it (`CKA_ALLOWED_MECHANISMS`).
    let mechanism = size;
    match rv {
        RvError::Cancel => (Class::Session, "CKR_CANCEL"),
        RvError::HostMemory => (memory, "CKR_HOST_MEMORY"),
        RvError::SlotIdInvalid => (Class::Reinitialize, "CKR_SLOT_ID_INVALID"),
        RvError::GeneralError => (Class::Broken, "CKR_GENERAL_ERROR"),
        RvError::FunctionFailed => (Class::Broken, "CKR_FUNCTION_FAILED"),
        RvError::ArgumentsBad => (Class::Broken, "CKR_ARGUMENTS_BAD"),
        RvError::NoEvent => (Class::Broken, "CKR_NO_EVENT"),
        RvError::NeedToCreateThreads => (Class::Broken, "CKR_NEED_TO_CREATE_THREADS"),
        RvError::CantLock => (Class::Broken, "CKR_CANT_LOCK"),
        RvError::AttributeReadOnly => (Class::Unsupported, "CKR_ATTRIBUTE_READ_ONLY"),
        RvError::AttributeSensitive => (Class::Unsupported, "CKR_ATTRIBUTE_SENSITIVE"),
        RvError::AttributeTypeInvalid => (Class::Unsupported, "CKR_ATTRIBUTE_TYPE_INVALID"),
        RvError::AttributeValueInvalid => (Class::Unsupported, "CKR_ATTRIBUTE_VALUE_INVALID"),
        RvError::ActionProhibited => (Class::Key, "CKR_ACTION_PROHIBITED"),
        RvError::DataInvalid => (Class::Caller, "CKR_DATA_INVALID"),
        RvError::DataLenRange => (Class::Caller, "CKR_DATA_LEN_RANGE"),
        RvError::DeviceError => (Class::Broken, "CKR_DEVICE_ERROR"),
        RvError::DeviceMemory => (memory, "CKR_DEVICE_MEMORY"),
        RvError::DeviceRemoved => (Class::Reinitialize, "CKR_DEVICE_REMOVED"),
        RvError::EncryptedDataInvalid => (Class::Caller, "CKR_ENCRYPTED_DATA_INVALID"),
        RvError::EncryptedDataLenRange => (Class::Caller, "CKR_ENCRYPTED_DATA_LEN_RANGE"),
        RvError::FunctionCanceled => (Class::Session, "CKR_FUNCTION_CANCELED"),
        RvError::FunctionNotParallel => (Class::Broken, "CKR_FUNCTION_NOT_PARALLEL"),
        RvError::FunctionNotSupported => (Class::Unsupported, "CKR_FUNCTION_NOT_SUPPORTED"),
        RvError::CurveNotSupported => (Class::Unsupported, "CKR_CURVE_NOT_SUPPORTED"),
        RvError::KeyHandleInvalid => (Class::Handle, "CKR_KEY_HANDLE_INVALID"),
        RvError::KeySizeRange => (size, "CKR_KEY_SIZE_RANGE"),
        RvError::KeyTypeInconsistent => (Class::Key, "CKR_KEY_TYPE_INCONSISTENT"),
        RvError::KeyNotNeeded => (Class::Broken, "CKR_KEY_NOT_NEEDED"),
        RvError::KeyChanged => (Class::Broken, "CKR_KEY_CHANGED"),
        RvError::KeyNeeded => (Class::Broken, "CKR_KEY_NEEDED"),
        RvError::KeyIndigestible => (Class::Key, "CKR_KEY_INDIGESTIBLE"),
        RvError::KeyFunctionNotPermitted => (Class::Key, "CKR_KEY_FUNCTION_NOT_PERMITTED"),
        RvError::KeyNotWrappable => (Class::Key, "CKR_KEY_NOT_WRAPPABLE"),
        RvError::KeyUnextractable => (Class::Key, "CKR_KEY_UNEXTRACTABLE"),
        RvError::MechanismInvalid => (mechanism, "CKR_MECHANISM_INVALID"),
        RvError::MechanismParamInvalid => (Class::Unsupported, "CKR_MECHANISM_PARAM_INVALID"),
        RvError::ObjectHandleInvalid => (Class::Handle, "CKR_OBJECT_HANDLE_INVALID"),
        RvError::OperationActive => (Class::Session, "CKR_OPERATION_ACTIVE"),
        RvError::OperationNotInitialized => (Class::Session, "CKR_OPERATION_NOT_INITIALIZED"),
        RvError::PinIncorrect => (Class::Pin, "CKR_PIN_INCORRECT"),
        RvError::PinInvalid => (Class::Pin, "CKR_PIN_INVALID"),
        RvError::PinLenRange => (Class::Pin, "CKR_PIN_LEN_RANGE"),
        RvError::PinExpired => (Class::Pin, "CKR_PIN_EXPIRED"),
        RvError::PinLocked => (Class::Pin, "CKR_PIN_LOCKED"),
        RvError::SessionClosed => (Class::Session, "CKR_SESSION_CLOSED"),
        RvError::SessionCount => (Class::Shrink, "CKR_SESSION_COUNT"),
        RvError::SessionHandleInvalid => (Class::Session, "CKR_SESSION_HANDLE_INVALID"),
        RvError::SessionParallelNotSupported => (Class::Broken, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"),
        RvError::SessionReadOnly => (Class::Broken, "CKR_SESSION_READ_ONLY"),
        RvError::SessionExists => (Class::Broken, "CKR_SESSION_EXISTS"),
        RvError::SessionReadOnlyExists => (Class::Broken, "CKR_SESSION_READ_ONLY_EXISTS"),
        RvError::SessionReadWriteSoExists => (Class::Broken, "CKR_SESSION_READ_WRITE_SO_EXISTS"),
        RvError::SignatureInvalid => (Class::Caller, "CKR_SIGNATURE_INVALID"),
        RvError::SignatureLenRange => (Class::Caller, "CKR_SIGNATURE_LEN_RANGE"),
        RvError::TemplateIncomplete => (Class::Unsupported, "CKR_TEMPLATE_INCOMPLETE"),
        RvError::TemplateInconsistent => (Class::Unsupported, "CKR_TEMPLATE_INCONSISTENT"),
        RvError::TokenNotPresent => (Class::Reinitialize, "CKR_TOKEN_NOT_PRESENT"),
        RvError::TokenNotRecognized => (Class::Reinitialize, "CKR_TOKEN_NOT_RECOGNIZED"),
        RvError::TokenWriteProtected => (Class::Unsupported, "CKR_TOKEN_WRITE_PROTECTED"),
        RvError::UnwrappingKeyHandleInvalid => (Class::Handle, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"),
        RvError::UnwrappingKeySizeRange => (Class::Key, "CKR_UNWRAPPING_KEY_SIZE_RANGE"),
        RvError::UnwrappingKeyTypeInconsistent => (Class::Key, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT"),
        RvError::UserAlreadyLoggedIn => (Class::Broken, "CKR_USER_ALREADY_LOGGED_IN"),
        RvError::UserNotLoggedIn => (Class::Login, "CKR_USER_NOT_LOGGED_IN"),
        RvError::UserPinNotInitialized => (Class::Pin, "CKR_USER_PIN_NOT_INITIALIZED"),
        RvError::UserTypeInvalid => (Class::Broken, "CKR_USER_TYPE_INVALID"),
        RvError::UserAnotherAlreadyLoggedIn => (Class::Broken, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"),
        RvError::UserTooManyTypes => (Class::Broken, "CKR_USER_TOO_MANY_TYPES"),
        RvError::WrappedKeyInvalid => (Class::Caller, "CKR_WRAPPED_KEY_INVALID"),
        RvError::WrappedKeyLenRange => (Class::Caller, "CKR_WRAPPED_KEY_LEN_RANGE"),
        RvError::WrappingKeyHandleInvalid => (Class::Handle, "CKR_WRAPPING_KEY_HANDLE_INVALID"),
        RvError::WrappingKeySizeRange => (Class::Key, "CKR_WRAPPING_KEY_SIZE_RANGE"),
        RvError::WrappingKeyTypeInconsistent => (Class::Key, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT"),
        RvError::RandomSeedNotSupported => (Class::Unsupported, "CKR_RANDOM_SEED_NOT_SUPPORTED"),
        RvError::RandomNoRng => (Class::Unsupported, "CKR_RANDOM_NO_RNG"),
        RvError::DomainParamsInvalid => (Class::Unsupported, "CKR_DOMAIN_PARAMS_INVALID"),
        RvError::BufferTooSmall => (Class::Broken, "CKR_BUFFER_TOO_SMALL"),
        RvError::SavedStateInvalid => (Class::Broken, "CKR_SAVED_STATE_INVALID"),
        RvError::InformationSensitive => (Class::Broken, "CKR_INFORMATION_SENSITIVE"),
        RvError::StateUnsaveable => (Class::Broken, "CKR_STATE_UNSAVEABLE"),
        RvError::CryptokiNotInitialized => (Class::Reinitialize, "CKR_CRYPTOKI_NOT_INITIALIZED"),
        RvError::CryptokiAlreadyInitialized => (Class::Broken, "CKR_CRYPTOKI_ALREADY_INITIALIZED"),
        RvError::MutexBad => (Class::Broken, "CKR_MUTEX_BAD"),
        RvError::MutexNotLocked => (Class::Broken, "CKR_MUTEX_NOT_LOCKED"),
        RvError::NewPinMode => (Class::Pin, "CKR_NEW_PIN_MODE"),
        RvError::NextOtp => (Class::Pin, "CKR_NEXT_OTP"),
        RvError::ExceededMaxIterations => (Class::Broken, "CKR_EXCEEDED_MAX_ITERATIONS"),
        RvError::FipsSelfTestFailed => (Class::Broken, "CKR_FIPS_SELF_TEST_FAILED"),
        RvError::LibraryLoadFailed => (Class::Broken, "CKR_LIBRARY_LOAD_FAILED"),
        RvError::PinTooWeak => (Class::Pin, "CKR_PIN_TOO_WEAK"),
        RvError::PublicKeyInvalid => (Class::Broken, "CKR_PUBLIC_KEY_INVALID"),
        RvError::FunctionRejected => (Class::Broken, "CKR_FUNCTION_REJECTED"),
        RvError::VendorDefined(_) => (Class::Broken, "CKR_VENDOR_DEFINED"),
        RvError::UnknownErrorCode(_) => (Class::Broken, "CKR_(unknown)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(rv: RvError, function: Function, operation: Operation) -> Class {
        device(operation)(Cryptoki::Pkcs11(rv, function)).class()
    }

    #[test]
    fn codes_lead_to_the_next_step() {
        for (rv, expected) in [
            (RvError::SessionHandleInvalid, Class::Session),
            (RvError::OperationActive, Class::Session),
            (RvError::UserNotLoggedIn, Class::Login),
            (RvError::ObjectHandleInvalid, Class::Handle),
            (RvError::KeyHandleInvalid, Class::Handle),
            (RvError::CryptokiNotInitialized, Class::Reinitialize),
            (RvError::DeviceRemoved, Class::Reinitialize),
            (RvError::TokenNotPresent, Class::Reinitialize),
            (RvError::SessionCount, Class::Shrink),
            (RvError::DataLenRange, Class::Caller),
            (RvError::GeneralError, Class::Broken),
            (RvError::VendorDefined(0x8000_0001), Class::Broken),
        ] {
            assert_eq!(class(rv, Function::Sign, Operation::Sign), expected, "{rv:?}");
        }
    }

    #[test]
    fn a_pin_is_refused_by_a_login_and_an_input_by_what_was_given_one() {
        for rv in [RvError::PinIncorrect, RvError::PinLocked, RvError::PinExpired] {
            assert_eq!(class(rv, Function::Login, Operation::Open), Class::Pin, "{rv:?}");
            assert_eq!(class(rv, Function::Sign, Operation::Sign), Class::Broken, "{rv:?}");
            assert_eq!(class(rv, Function::OpenSession, Operation::Open), Class::Session, "{rv:?}");
        }
        for function in [Function::DecryptInit, Function::EncryptInit, Function::SignInit] {
            assert_eq!(class(RvError::DataInvalid, function, Operation::Decrypt), Class::Broken);
        }
        assert_eq!(class(RvError::DataInvalid, Function::Decrypt, Operation::Decrypt), Class::Caller);
        // Before any key is used there is none that could be wrong.
        for rv in [RvError::KeyTypeInconsistent, RvError::AttributeTypeInvalid, RvError::GeneralError] {
            assert_eq!(class(rv, Function::OpenSession, Operation::Open), Class::Session, "{rv:?}");
        }
    }

    #[test]
    fn a_bad_ciphertext_is_told_from_a_lost_session_and_from_a_bad_key() {
        let blames = |rv, function| blames_ciphertext(&Cryptoki::Pkcs11(rv, function));
        for rv in [
            RvError::GeneralError,
            RvError::FunctionFailed,
            RvError::DeviceError,
            RvError::ArgumentsBad,
            RvError::DataInvalid,
            RvError::EncryptedDataInvalid,
            RvError::EncryptedDataLenRange,
            RvError::VendorDefined(0x8000_0001),
        ] {
            assert!(blames(rv, Function::Decrypt), "{rv:?}");
            assert!(!blames(rv, Function::DecryptInit), "{rv:?}");
        }
        for rv in [
            RvError::SessionHandleInvalid,
            RvError::UserNotLoggedIn,
            RvError::KeyHandleInvalid,
            RvError::DeviceRemoved,
            RvError::CryptokiNotInitialized,
            RvError::HostMemory,
        ] {
            assert!(!blames(rv, Function::Decrypt), "{rv:?}");
        }
    }

    #[test]
    fn a_full_token_is_told_from_a_busy_one() {
        for rv in [RvError::DeviceMemory, RvError::HostMemory] {
            assert_eq!(class(rv, Function::GenerateKeyPair, Operation::Generate), Class::StorageFull);
            assert_eq!(class(rv, Function::Sign, Operation::Sign), Class::Shrink);
        }
    }

    #[test]
    fn errors_carry_the_name_of_the_code() {
        let error = device(Operation::Sign)(Cryptoki::Pkcs11(RvError::DeviceError, Function::Sign));
        assert_eq!(error.code(), Some("CKR_DEVICE_ERROR"));
        assert_eq!(error.to_string(), "sign: the device failed (CKR_DEVICE_ERROR)");
        let error =
            device(Operation::Sign)(Cryptoki::Pkcs11(RvError::VendorDefined(0x8000_0042), Function::Sign));
        assert!(error.to_string().contains("0x80000042"), "{error}");
    }
}
