//! Which slot holds the token that is meant.

use cryptoki::{
    error::Error as Cryptoki,
    slot::{Slot, TokenInfo},
};
use skms_backend::{Class, Error, Operation};
use tracing::debug;

use crate::{
    TokenSelector,
    error::device,
    module::Module,
    selector::{TokenName, unpadded},
};

/// The one token that `selector` names.
///
/// A slot that cannot be read is passed over: the tokens of other slots are not
/// to suffer from it.
pub(crate) fn choose(module: &Module, selector: &TokenSelector) -> Result<(Slot, TokenInfo), Error> {
    let slots = module.pkcs11.get_slots_with_token().map_err(device(Operation::Open))?;
    let mut there = Vec::new();
    let mut matches = Vec::new();
    for slot in slots {
        match module.pkcs11.get_token_info(slot) {
            Ok(info) if !info.token_initialized() => {}
            Ok(info) => {
                let name = name(&info);
                if selector.matches(&name) {
                    matches.push((slot, info));
                }
                there.push(name.to_string());
            }
            Err(error) => {
                debug!(%slot, %error, "token of a slot cannot be read");
                there.push(format!("a token that cannot be read in slot {slot}"));
            }
        }
    }
    // Absent today, perhaps there tomorrow: the class asks to look again.
    let refused = |detail: String| Error::new(Class::Reinitialize, Operation::Open).detail(detail);
    match (matches.len(), matches.pop()) {
        (1, Some(chosen)) => Ok(chosen),
        (_, None) if there.is_empty() => {
            Err(refused(format!("no token has {selector}; the module shows no token at all")))
        }
        (_, None) => Err(refused(format!("no token has {selector}; there are: {}", there.join("; ")))),
        (_, Some(last)) => {
            matches.push(last);
            let named: Vec<String> = matches.iter().map(|(_, info)| name(info).to_string()).collect();
            // Any of them may be the wrong one, now and later: a person must say.
            Err(Error::new(Class::Broken, Operation::Open)
                .detail(format!("more than one token has {selector}: {}; add `serial`", named.join("; "))))
        }
    }
}

/// What a token says of itself.
pub(crate) fn name(info: &TokenInfo) -> TokenName {
    TokenName {
        label: unpadded(info.label()).to_owned(),
        serial: unpadded(info.serial_number()).to_owned(),
        manufacturer: unpadded(info.manufacturer_id()).to_owned(),
        model: unpadded(info.model()).to_owned(),
    }
}

/// Asks the token in a slot whether it is still there and still the same.
pub(crate) fn present(
    module: &Module,
    slot: Slot,
    expected: &TokenName,
    operation: Operation,
) -> Result<(), Error> {
    match module.pkcs11.get_token_info(slot) {
        Ok(info) if name(&info).serial == expected.serial => Ok(()),
        Ok(info) => Err(Error::new(Class::Reinitialize, operation)
            .detail(format!("another token is in the slot: {}", name(&info)))),
        // The token did answer; its clock is no number.
        Err(Cryptoki::ParseInt(_) | Cryptoki::Utf8(_)) => Ok(()),
        Err(error) => {
            let cause = device(operation)(error);
            let lost = Error::new(Class::Reinitialize, operation).detail("the token does not answer");
            Err(match cause.code() {
                Some(code) => lost.device_code(code),
                None => lost,
            }
            .source(cause))
        }
    }
}
