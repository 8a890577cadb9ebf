//! How many connections there may be at once, in all and of one address.
//!
//! One too many is taken and closed at once. Left in the backlog of the system it would
//! wait for its own patience to end, and fill the backlog for the others; closed, it
//! tries another gateway.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Connections;
use crate::telemetry::Crowded;

/// Room for connections. Listeners that tell of health have one of their own, so that
/// a crowd at the API does not keep probes out.
pub(super) struct Room {
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    addresses: Mutex<HashMap<Arc<str>, Address>>,
    per_address: usize,
    handshakes_per_address: usize,
}

/// What one address has.
struct Address {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

/// The place of one connection.
pub(super) struct Place {
    room: Arc<Room>,
    source: Arc<str>,
    /// Of its address.
    handshakes: Arc<Semaphore>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn api(bounds: &Connections) -> Arc<Self> {
        Self::new(bounds.total, bounds.per_address, bounds.handshakes)
    }

    /// For probes: a few nodes, one connection each.
    pub(super) fn health() -> Arc<Self> {
        Self::new(HEALTH, HEALTH / 4, HEALTH / 4)
    }

    fn new(total: usize, per_address: usize, handshakes: usize) -> Arc<Self> {
        Arc::new(Self {
            connections: Arc::new(Semaphore::new(total)),
            handshakes: Arc::new(Semaphore::new(handshakes)),
            addresses: Mutex::new(HashMap::new()),
            per_address,
            // So that one address that shakes hands slowly does not stop the others.
            handshakes_per_address: handshakes.div_ceil(4),
        })
    }

    /// A place for a connection of `source`, unless there are too many.
    pub(super) fn place(self: &Arc<Self>, source: &Arc<str>) -> Result<Place, Crowded> {
        let permit = Arc::clone(&self.connections).try_acquire_owned().map_err(|_| Crowded::Total)?;
        let mut addresses = self.addresses.lock();
        let address = addresses.entry(Arc::clone(source)).or_insert_with(|| Address {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(self.handshakes_per_address)),
        });
        // One that is just made has room, as there is room for at least one.
        if address.connections >= self.per_address {
            return Err(Crowded::Address);
        }
        address.connections += 1;
        Ok(Place {
            room: Arc::clone(self),
            source: Arc::clone(source),
            handshakes: Arc::clone(&address.handshakes),
            _permit: permit,
        })
    }
}

impl Place {
    /// Waits for its turn to shake hands, and holds it until the answer is dropped. What
    /// waits for its own address does not keep others waiting.
    pub(super) async fn turn(&self) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let own = Arc::clone(&self.handshakes).acquire_owned().await.ok()?;
        let of_all = Arc::clone(&self.room.handshakes).acquire_owned().await.ok()?;
        Some((own, of_all))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut addresses = self.room.addresses.lock();
        if let Some(address) = addresses.get_mut(&self.source) {
            address.connections -= 1;
            if address.connections == 0 {
                addresses.remove(&self.source);
            }
        }
    }
}

/// Connections that ask for health, at once.
const HEALTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_share_and_no_more() {
        let bounds = Connections { total: 3, per_address: 2, ..Connections::default() };
        let room = Room::api(&bounds);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let held = [room.place(&a).unwrap(), room.place(&a).unwrap()];
        assert_eq!(room.place(&a).err(), Some(Crowded::Address));
        let other = room.place(&b).unwrap();
        assert_eq!(room.place(&b).err(), Some(Crowded::Total));
        drop(held);
        assert!(room.place(&a).is_ok());
        drop(other);
        assert!(room.addresses.lock().is_empty(), "what has gone is forgotten");
    }

    #[tokio::test]
    async fn a_slow_address_leaves_turns_to_others() {
        let bounds = Connections { handshakes: 4, ..Connections::default() };
        let room = Room::api(&bounds);
        let (slow, quick): (Arc<str>, Arc<str>) = ("slow".into(), "quick".into());
        let places = [room.place(&slow).unwrap(), room.place(&slow).unwrap(), room.place(&quick).unwrap()];
        let _held = places[0].turn().await;
        assert!(futures_util::FutureExt::now_or_never(places[1].turn()).is_none());
        assert!(futures_util::FutureExt::now_or_never(places[2].turn()).is_some());
    }
}
