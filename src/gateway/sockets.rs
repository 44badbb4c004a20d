//! The listening sockets of the process, by name: those that it was given at its start, and those that it can give away.

use super::Failure;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

/// A socket and what it is called, e.g. `tcp:127.0.0.1:9080`.
pub(super) type Named = (String, OwnedFd);

/// The listening sockets.
#[derive(Default)]
pub(super) struct Sockets {
    inherited: Mutex<HashMap<String, OwnedFd>>,
    /// Copies: a listener that closes its own leaves the address open until these are closed, too.
    open: Mutex<Vec<Named>>,
}

pub(super) fn tcp(address: SocketAddr) -> String {
    format!("tcp:{address}")
}

pub(super) fn udp(address: SocketAddr) -> String {
    format!("udp:{address}")
}

pub(super) fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

impl Sockets {
    pub(super) fn new(inherited: Vec<Named>) -> Self {
        Self {
            inherited: Mutex::new(inherited.into_iter().collect()),
            open: Mutex::default(),
        }
    }

    /// The socket that this process was given under that name.
    pub(super) fn take(&self, name: &str) -> Option<OwnedFd> {
        self.inherited.lock().remove(name)
    }

    /// Remembers a socket for a process that takes over.
    pub(super) fn keep(&self, name: String, socket: &impl AsFd) -> Result<(), Failure> {
        let copy = socket.as_fd().try_clone_to_owned().map_err(Failure::new)?;
        self.open.lock().push((name, copy));
        Ok(())
    }

    /// Closes those that it was given and does not need: nobody would accept there.
    pub(super) fn close_unused(&self) {
        self.inherited.lock().clear();
    }

    /// Copies of all, for a process that takes over.
    pub(super) fn copies(&self) -> io::Result<Vec<Named>> {
        let open = self.open.lock();
        open.iter()
            .map(|(name, socket)| Ok((name.clone(), socket.try_clone()?)))
            .collect()
    }

    /// Closes the copies, so that an address closes with its listener.
    pub(super) fn close(&self) {
        self.open.lock().clear();
    }
}
