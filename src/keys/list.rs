//! Listing keys, a page at a time.

use super::{Availability, Call, Error, Filter, Keyring, Shown};
use crate::{
    gate::Subject,
    model::{Action, BackendName, KeyId, State},
};

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct List {
    /// How many at most.
    pub limit: usize,
    /// The last key of the page before.
    pub after: Option<KeyId>,
    /// Which keys.
    pub filter: Filter,
    /// Whether destroyed keys are listed too.
    pub show_destroyed: bool,
}

/// A page of keys.
#[derive(Debug)]
pub struct Page {
    /// The keys, ordered by id.
    pub keys: Vec<Shown>,
    /// After which key the next page begins; `None` on the last.
    pub next: Option<KeyId>,
    /// Backends that do not answer now.
    pub unreachable: Vec<BackendName>,
}

impl Keyring {
    /// Lists by id the keys that the caller may see.
    ///
    /// # Errors
    /// What the gate refuses.
    pub async fn list(&self, call: &Call, request: List) -> Result<Page, Error> {
        let (catalog, gate) = (self.catalog.clone(), self.gate.clone());
        self.gate
            .admit(call, Action::ListKeys, Subject::Gateway, move |permit| async move {
                let (keys, more) = catalog.page(request.after.as_ref(), request.limit, |key| {
                    (request.show_destroyed || key.state() != State::Destroyed)
                        && request.filter.accepts(key)
                        && permit.may(Action::GetKey, key)
                });
                let next = keys.last().filter(|_| more).map(|key| key.id.clone());
                let unreachable = permit
                    .backends()
                    .filter(|info| {
                        info.probed().is_some_and(|probed| probed.availability == Availability::Unavailable)
                    })
                    .map(|info| info.name().clone())
                    .collect();
                let keys = keys.into_iter().map(|key| Shown::new(&gate, key)).collect();
                Ok(Page { keys, next, unreachable })
            })
            .await
    }
}
