//! Listing keys, a page at a time.

use super::{Availability, Call, Error, Filter, Keyring, Shown};
use crate::{
    gate::Subject,
    model::{Action, BackendName, Order, Place, State},
};

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct List {
    /// How many at most.
    pub limit: usize,
    /// In what order.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<Place>,
    /// Which keys.
    pub filter: Filter,
    /// Whether destroyed keys are listed too.
    pub show_destroyed: bool,
}

/// A page of keys.
#[derive(Debug)]
pub struct Page {
    /// The keys, in the order that was asked for.
    pub keys: Vec<Shown>,
    /// Where this page ends; `None` on the last.
    pub next: Option<Place>,
    /// Backends that do not answer now.
    pub unreachable: Vec<BackendName>,
}

impl Keyring {
    /// Lists the keys that the caller may see.
    ///
    /// # Errors
    /// What the gate refuses.
    pub async fn list(&self, call: &Call, request: List) -> Result<Page, Error> {
        let keyring = self.clone();
        self.gate
            .admit(call, Action::ListKeys, Subject::Gateway, move |permit| async move {
                let order = request.order;
                let (keys, more) =
                    keyring.catalog.page(order, request.after.as_ref(), request.limit, |key| {
                        (request.show_destroyed || key.state() != State::Destroyed)
                            && request.filter.accepts(key)
                            && permit.may(Action::GetKey, key)
                    });
                let next = keys.last().filter(|_| more).map(|key| Place::of(key, order.by));
                let unreachable = permit
                    .backends()
                    .filter(|info| {
                        info.probed().is_some_and(|probed| probed.availability == Availability::Unavailable)
                    })
                    .map(|info| info.name().clone())
                    .collect();
                let keys =
                    keys.into_iter().map(|key| Shown::new(&keyring.gate, keyring.counted(key))).collect();
                Ok(Page { keys, next, unreachable })
            })
            .await
    }
}
