//! How many connections there may be, in total and of one client.

use super::counters::Reason;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

const SHARDS: usize = 64;

/// The connections that are open.
#[derive(Debug)]
pub(super) struct Crowd {
    open: AtomicUsize,
    clients: Box<[Mutex<HashMap<IpAddr, u32>>]>,
    hasher: RandomState,
}

impl Crowd {
    /// Nobody is there yet.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            clients: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        })
    }

    /// Lets a connection in, as one of at most `most`; 0 for no bound.
    pub(super) fn enter(self: &Arc<Self>, most: usize) -> Result<Place, Reason> {
        let place = Place(self.clone());
        // Counted first, so that two at once do not both take the last place.
        let before = self.open.fetch_add(1, Relaxed);
        if most > 0 && before >= most {
            return Err(Reason::Connections);
        }
        Ok(place)
    }

    /// Counts a connection of a client, whom a PROXY header may have named: one of at most `most`; 0 for no bound. It is counted
    /// in any case, for a bound that may come.
    pub(super) fn of_client(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        most: u32,
    ) -> Result<Option<PlaceOfClient>, Reason> {
        let Some(client) = client.map(whose) else {
            return Ok(None);
        };
        let Some(shard) = self.shard(client) else {
            return Ok(None);
        };
        let mut clients = shard.lock();
        let count = clients.entry(client).or_insert(0);
        // Not zero, as the bound is not: nothing is left behind by a refusal.
        if most > 0 && *count >= most {
            return Err(Reason::ConnectionsPerClient);
        }
        *count += 1;
        Ok(Some(PlaceOfClient(self.clone(), client)))
    }

    fn shard(&self, client: IpAddr) -> Option<&Mutex<HashMap<IpAddr, u32>>> {
        let hash = self.hasher.hash_one(client) as usize;
        self.clients.get(hash % SHARDS)
    }
}

/// An IPv6 client has a /64 to choose addresses from.
fn whose(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// A connection's place; it is free again when this is dropped, be it by a panic.
#[derive(Debug)]
pub(super) struct Place(Arc<Crowd>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}

/// As [`Place`], of a client.
#[derive(Debug)]
pub(super) struct PlaceOfClient(Arc<Crowd>, IpAddr);

impl Drop for PlaceOfClient {
    fn drop(&mut self) {
        let Some(shard) = self.0.shard(self.1) else {
            return;
        };
        let mut clients = shard.lock();
        if let Some(count) = clients.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_it_is_left() {
        let crowd = Crowd::new();
        let (first, _second) = (crowd.enter(2).unwrap(), crowd.enter(2).unwrap());
        assert_eq!(crowd.enter(2).unwrap_err(), Reason::Connections);
        drop(first);
        assert!(crowd.enter(2).is_ok());
    }

    #[test]
    fn clients_are_counted_apart_and_ipv6_ones_by_their_network() {
        let crowd = Crowd::new();
        let enter = |address: &str| crowd.of_client(Some(address.parse().unwrap()), 1);
        let first = enter("10.0.0.1").unwrap();
        assert!(enter("10.0.0.1").is_err());
        assert!(enter("::ffff:10.0.0.1").is_err(), "the same client");
        assert!(enter("10.0.0.2").is_ok());
        drop(first);
        assert!(enter("10.0.0.1").is_ok());
        let _one = enter("2001:db8::1").unwrap();
        assert!(enter("2001:db8::2").is_err(), "the same /64");
        assert!(enter("2001:db8:0:1::2").is_ok());
        assert!(crowd.of_client(None, 1).unwrap().is_none());
    }

    #[test]
    fn a_bound_that_comes_later_counts_those_who_are_there() {
        let crowd = Crowd::new();
        let client = Some("10.0.0.1".parse().unwrap());
        let places = [crowd.of_client(client, 0), crowd.of_client(client, 0)];
        assert!(places.iter().all(Result::is_ok));
        assert!(crowd.of_client(client, 2).is_err());
        drop(places);
        assert!(crowd.of_client(client, 2).is_ok());
    }
}
