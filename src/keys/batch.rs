//! What a batch needs besides the use cases of its items.

use std::{num::NonZeroU32, sync::Arc};

use super::{Call, Error, GateError, Keyring, known};
use crate::{
    gate::Subject,
    model::{Action, Key, KeyId, Rpc},
};

impl Keyring {
    /// Whether there is such a key, and the caller may do this with it, as of now.
    #[must_use]
    pub fn could(&self, call: &Call, action: Action, key: &KeyId) -> bool {
        let (found, subject) = self.find(key);
        found.is_ok() && self.gate.decide(&call.caller, action, &subject).allowed
    }

    /// Records an item that is at fault, and gives back what is to be answered.
    pub async fn refuse(&self, call: &Call, action: Action, error: Error) -> Error {
        self.gate.refuse(call, action, Subject::Gateway, error).await
    }

    /// What became of a stream that was admitted; recorded, where it did not come to its end
    /// for a reason that is one of its own.
    pub(super) async fn ended<T>(
        &self,
        call: &Call,
        action: Action,
        key: &Arc<Key>,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        match outcome {
            Ok(_) | Err(Error::Gate { source: GateError::Closing | GateError::Deadline }) => outcome,
            Err(error) => {
                let subject = Subject::Key(Arc::clone(key), key.id.clone());
                Err(self.gate.refuse(call, action, subject, error).await)
            }
        }
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
