//! What a batch needs besides the use cases of its items.

use std::num::NonZeroU32;

use super::{Call, Error, Keyring, known};
use crate::model::{Action, KeyId, Rpc};

impl Keyring {
    /// Whether there is such a key, and the caller may do this with it, as of now.
    #[must_use]
    pub fn could(&self, call: &Call, action: Action, key: &KeyId) -> bool {
        let (found, subject) = self.find(key);
        found.is_ok() && self.gate.decide(&call.caller, action, &subject).allowed
    }

    /// Records an item that is at fault, and gives back what is to be answered.
    pub async fn refuse(&self, call: &Call, action: Action, error: Error) -> Error {
        self.gate.refuse(call, action, error).await
    }

    /// Does not do what another item has stopped, and gives back what is to be answered:
    /// that, or that the caller may not do it anyway.
    pub async fn abort(&self, call: &Call, action: Action, key: &KeyId) -> Error {
        let (found, subject) = self.find(key);
        let admitted = self.gate.admit(call, action, subject, |_| async move {
            known(found)?;
            Err::<(), _>(Error::BatchAborted)
        });
        admitted.await.err().unwrap_or(Error::BatchAborted)
    }

    /// Whether the caller of a stream could still prove who it is, and may take one more
    /// item of it. A token that is good for one change is good for one item.
    ///
    /// # Errors
    /// Its proof has ended, or its share is used up.
    pub fn charge_item(&self, call: &Call, rpc: Rpc, number: u32) -> Result<(), Error> {
        Ok(self.gate.charge_item(call, rpc, number)?)
    }

    /// Charges the caller for so many items.
    ///
    /// # Errors
    /// Its share is used up.
    pub fn charge_items(&self, call: &Call, items: NonZeroU32) -> Result<(), Error> {
        Ok(self.gate.charge_items(call, items)?)
    }
}
