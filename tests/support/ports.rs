//! Ports for servers that someone else binds: taken so that neither another test of this process,
//! nor another test process on this machine, nor an outgoing connection can hold the same one.
//!
//! Asking the kernel for port 0 and handing the number over is not enough: the number comes from
//! the range of outgoing connections, so a busy machine takes it back between the two steps, or
//! while a gateway restarts. These ports lie below that range, and each test process owns a slot
//! of them through a file lock that the kernel releases when the process ends.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex, PoisonError};

const FIRST: u16 = 20_000;
const SLOTS: u16 = 60;
const PER_SLOT: u16 = 200;

/// A port of 127.0.0.1 that is this test's until it is dropped. Nothing listens on it yet.
#[derive(Debug)]
pub struct Port(u16);

impl Port {
    /// Takes a port on which nothing listens.
    pub fn reserve() -> Self {
        let mut slot = SLOT.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..PER_SLOT {
            let port = slot.first + slot.next % PER_SLOT;
            slot.next = slot.next.wrapping_add(1) % PER_SLOT;
            let free = !slot.used.contains(&port)
                && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
            if free {
                slot.used.insert(port);
                return Self(port);
            }
        }
        panic!("all {PER_SLOT} ports of this test process are in use");
    }

    /// `127.0.0.1` and this port.
    pub fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.0).into()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        SLOT.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .used
            .remove(&self.0);
    }
}

struct Slot {
    first: u16,
    next: u16,
    used: BTreeSet<u16>,
    /// Held for the life of the process: the lock is what makes the slot ours.
    _lock: File,
}

static SLOT: LazyLock<Mutex<Slot>> = LazyLock::new(|| Mutex::new(Slot::take()));

impl Slot {
    fn take() -> Self {
        let folder = std::env::temp_dir().join("crossway-test-ports");
        std::fs::create_dir_all(&folder).expect("create the folder of port locks");
        // Start at a slot of our own choice, so that many processes do not queue at slot 0.
        let start = (std::process::id() % u32::from(SLOTS)) as u16;
        for step in 0..SLOTS {
            let slot = (start + step) % SLOTS;
            let path = folder.join(slot.to_string());
            let Ok(lock) = OpenOptions::new().create(true).append(true).open(&path) else {
                continue;
            };
            if lock.try_lock().is_ok() {
                let first = FIRST + slot * PER_SLOT;
                return Self {
                    first,
                    next: 0,
                    used: BTreeSet::new(),
                    _lock: lock,
                };
            }
        }
        panic!("{SLOTS} test processes run already: every slot of ports is locked");
    }
}
