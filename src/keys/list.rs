//! Listing keys, a page at a time.

use super::{Availability, Call, Error, Filter, Keyring, Shown};
use crate::{
    gate::{Gate, Subject},
    model::{Action, BackendName, Key, Order, Place, State},
};

/// A page of which keys to list.
#[derive(Clone, Debug)]
pub struct List {
    /// How many at most.
    pub limit: usize,
    /// In what order.
    pub order: Order,
    /// Where the page before ended.
    pub after: Option<Place>,
    /// Which keys.
    pub which: Which,
}

/// Which keys to list.
#[derive(Clone, Debug)]
pub struct Which {
    /// Those that it accepts.
    pub filter: Filter,
    /// Destroyed keys, too.
    pub show_destroyed: bool,
}

impl Which {
    fn wants(&self, key: &Key) -> bool {
        (self.show_destroyed || key.state() != State::Destroyed) && self.filter.accepts(key)
    }
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

/// How many keys of all are looked at before others get a turn.
const PORTION: usize = 256;

impl Keyring {
    /// Gives the caller all keys that it may see, one by one in the order of their ids, for
    /// as long as `give` takes them.
    ///
    /// # Errors
    /// What the gate refuses; what `give` does; the caller could not prove any more who it
    /// is.
    pub async fn list_all<Given>(
        &self,
        call: &Call,
        which: Which,
        mut give: impl FnMut(Shown) -> Given + Send + 'static,
    ) -> Result<(), Error>
    where
        Given: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (keyring, asked) = (self.clone(), call.clone());
        self.gate
            .admit(call, Action::ListKeys, Subject::Gateway, move |permit| async move {
                let (order, mut after) = (Order::default(), None);
                loop {
                    Gate::stands(&asked)?;
                    let (keys, more) = keyring.catalog.page(order, after.as_ref(), PORTION, |key| {
                        which.wants(key) && permit.may(Action::GetKey, key)
                    });
                    after = keys.last().map(|key| Place::of(key, order.by));
                    for key in keys {
                        give(Shown::new(&keyring.gate, keyring.counted(key))).await?;
                    }
                    if !more {
                        return Ok(());
                    }
                    tokio::task::yield_now().await;
                }
            })
            .await
    }

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
                        request.which.wants(key) && permit.may(Action::GetKey, key)
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
