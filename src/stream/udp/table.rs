//! The sessions of a UDP listener, by client. There are never more than allowed.

use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map},
    net::SocketAddr,
    sync::Arc,
};
use tokio::sync::mpsc;

/// Datagrams that may wait for their session.
const QUEUE: usize = 32;

type Sessions = Mutex<HashMap<SocketAddr, mpsc::Sender<Bytes>>>;

#[derive(Default)]
pub(super) struct Table {
    sessions: Arc<Sessions>,
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// Its session has it.
    Taken,
    /// Its session is too slow, or about to end.
    Full,
    /// There is no session of that client.
    Unknown(Bytes),
}

/// A session's place in the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    sessions: Arc<Sessions>,
    client: SocketAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.client);
    }
}

impl Table {
    /// Hands a datagram to the session of its client.
    pub(super) fn give(&self, client: SocketAddr, datagram: Bytes) -> Given {
        match self.sessions.lock().get(&client) {
            None => Given::Unknown(datagram),
            Some(session) => match session.try_send(datagram) {
                Ok(()) => Given::Taken,
                Err(_) => Given::Full,
            },
        }
    }

    /// A place for a new session, one of at most `most`, and where its datagrams come; `None` when there are too many, or one of
    /// this client.
    pub(super) fn enter(
        &self,
        client: SocketAddr,
        most: usize,
    ) -> Option<(Place, mpsc::Receiver<Bytes>)> {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= most {
            return None;
        }
        let hash_map::Entry::Vacant(vacant) = sessions.entry(client) else {
            return None;
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        vacant.insert(sender);
        let place = Place {
            sessions: self.sessions.clone(),
            client,
        };
        Some((place, receiver))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn client(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    #[test]
    fn there_are_never_more_than_allowed_and_places_come_back() {
        let table = Table::default();
        let (one, _datagrams) = table.enter(client(1), 2).unwrap();
        let _two = table.enter(client(2), 2).unwrap();
        assert!(table.enter(client(1), 2).is_none(), "it has one");
        assert!(table.enter(client(3), 2).is_none(), "too many");
        drop(one);
        assert!(table.enter(client(3), 2).is_some());
    }

    #[test]
    fn a_datagram_finds_its_session_or_is_dropped() {
        let table = Table::default();
        let datagram = Bytes::from_static(b"a");
        let unknown = Given::Unknown(datagram.clone());
        assert_eq!(table.give(client(1), datagram.clone()), unknown);
        let (_place, mut datagrams) = table.enter(client(1), 2).unwrap();
        for _ in 0..QUEUE {
            assert_eq!(table.give(client(1), datagram.clone()), Given::Taken);
        }
        assert_eq!(table.give(client(1), datagram.clone()), Given::Full);
        assert_eq!(datagrams.try_recv().unwrap(), datagram);
        assert_eq!(table.give(client(1), datagram), Given::Taken);
    }
}
