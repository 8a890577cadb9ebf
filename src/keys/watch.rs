//! Following what becomes of keys: how they are, then every change, and from time to time
//! that there was none.

use std::{future::Future, pin::pin, sync::Arc, time::Instant};

use tokio::time::{Instant as Timer, sleep_until};

use super::{Call, Error, Filter, GateError, Keyring, Shown};
use crate::{
    catalog::{Changed, Kind, Moment, State},
    gate::{Gate, Permit, Subject},
    model::{self, Action, Key, Order, Place},
};

/// What to follow.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The keys that it accepts, before a change or after it.
    pub filter: Filter,
    /// From where on.
    pub begin: Begin,
}

/// Where following begins.
#[derive(Clone, Copy, Debug)]
pub enum Begin {
    /// With every key as it is.
    AllKeys,
    /// With the next change.
    Now,
    /// Behind what was told before.
    After(Moment),
}

/// What is told to somebody who follows.
#[derive(Clone, Debug)]
pub enum Told {
    /// A key as it is at the beginning.
    Initial(Shown),
    /// There are no more of those.
    InitialDone(Moment),
    /// A change.
    Changed {
        /// What was done.
        kind: Kind,
        /// To which version; 0: to the key.
        version: u32,
        /// The key after it.
        shown: Shown,
        /// The moment after it.
        moment: Moment,
    },
    /// Everything up to then was told.
    Bookmark(Moment),
}

/// How many keys of all are looked at before others get a turn.
const PORTION: usize = 256;

impl Keyring {
    /// Tells the caller what becomes of the keys that it may see, for as long as `give` takes
    /// it.
    ///
    /// # Errors
    /// What the gate refuses; what `give` does; the caller could not prove any more who it
    /// is; [`Error::WatchExpired`] and [`Error::WatchTooSlow`].
    pub async fn watch<Given>(
        &self,
        call: &Call,
        request: Watch,
        give: impl FnMut(Told) -> Given + Send + 'static,
    ) -> Result<(), Error>
    where
        Given: Future<Output = Result<(), Error>> + Send + 'static,
    {
        let (catalog, begin) = (Arc::clone(&self.catalog), request.begin);
        // It is on record when it begins: it may go on for long.
        let permit = self
            .gate
            .admit(call, Action::ListKeys, Subject::Gateway, move |permit| async move {
                if let Begin::After(moment) = begin {
                    catalog.history(moment).await?.ok_or(Error::WatchExpired)?;
                }
                Ok::<_, Error>(permit)
            })
            .await?;
        let watching = Watching {
            keyring: self.clone(),
            call: call.clone(),
            permit,
            filter: request.filter,
            give,
            last: Instant::now(),
        };
        let mut watching = pin!(watching.follow(begin));
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(GateError::Closing.into()),
            () = sleep_until(call.deadline.into()) => Err(GateError::Deadline.into()),
            ended = &mut watching => ended,
        }
    }
}

/// One who follows.
struct Watching<G> {
    keyring: Keyring,
    call: Call,
    permit: Permit,
    filter: Filter,
    give: G,
    /// When a moment was told last.
    last: Instant,
}

impl<G, Given> Watching<G>
where
    G: FnMut(Told) -> Given,
    Given: Future<Output = Result<(), Error>>,
{
    async fn follow(mut self, begin: Begin) -> Result<(), Error> {
        let mut changes = self.keyring.catalog.follow();
        let state = self.keyring.catalog.state();
        let mut moment = match begin {
            Begin::After(moment) => moment,
            Begin::Now => state.moment(),
            Begin::AllKeys => {
                self.tell_all(&state).await?;
                state.moment()
            }
        };
        drop(state);
        let mut keeps_up = false;
        loop {
            changes.borrow_and_update();
            match self.keyring.catalog.recent(moment) {
                Some(recent) => {
                    for changed in recent {
                        self.tell(&changed).await?;
                        moment = changed.moment;
                    }
                    if !keeps_up {
                        keeps_up = true;
                        self.bookmark(moment).await?;
                    }
                }
                None if keeps_up => return Err(Error::WatchTooSlow),
                // It is still at what was before it came.
                None => {
                    let past = self.keyring.catalog.history(moment).await?.ok_or(Error::WatchExpired)?;
                    for changed in past {
                        self.tell(&changed).await?;
                        moment = changed.moment;
                    }
                    continue;
                }
            }
            let bookmark = Timer::from(self.last + self.keyring.limits.watch_bookmark_interval);
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(bookmark) => self.bookmark(moment).await?,
            }
        }
    }

    /// Tells every key as it is.
    async fn tell_all(&mut self, state: &State) -> Result<(), Error> {
        let (order, mut after) = (Order::default(), None);
        loop {
            Gate::stands(&self.call)?;
            let (keys, more) = state.page(order, after.as_ref(), PORTION, |key| {
                is_there(key) && self.filter.accepts(key) && self.permit.may(Action::GetKey, key)
            });
            after = keys.last().map(|key| Place::of(key, order.by));
            for key in keys {
                let shown = self.shown(key);
                (self.give)(Told::Initial(shown)).await?;
            }
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.last = Instant::now();
        (self.give)(Told::InitialDone(state.moment())).await
    }

    /// Tells a change, if it is one for this caller.
    async fn tell(&mut self, changed: &Changed) -> Result<(), Error> {
        Gate::stands(&self.call)?;
        let Changed { moment, kind, version, before, key: Some(key) } = changed else { return Ok(()) };
        // Where it is not known what a key was, it may have been one of those asked for.
        let was_wanted = before.as_ref().is_none_or(|before| self.filter.accepts(before));
        let is_told = *kind != Kind::Nothing && (was_wanted || self.filter.accepts(key));
        if !is_told || !self.permit.may(Action::GetKey, key) {
            return Ok(());
        }
        self.last = Instant::now();
        let shown = self.shown(Arc::clone(key));
        (self.give)(Told::Changed { kind: *kind, version: *version, shown, moment: *moment }).await
    }

    async fn bookmark(&mut self, moment: Moment) -> Result<(), Error> {
        Gate::stands(&self.call)?;
        self.last = Instant::now();
        (self.give)(Told::Bookmark(moment)).await
    }

    fn shown(&self, key: Arc<Key>) -> Shown {
        Shown::new(&self.keyring.gate, self.keyring.counted(key))
    }
}

/// Whether it is a key, and not one that is about to be made, or was one.
fn is_there(key: &Key) -> bool {
    !matches!(
        key.state(),
        model::State::PendingGeneration | model::State::PendingImport | model::State::Destroyed
    )
}
