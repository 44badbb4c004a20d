//! The word that it is time to end.

use pingora_core::server::ShutdownWatch;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::watch;

/// Tells a connection whether it should come to its end.
#[derive(Clone, Debug)]
pub struct Stop {
    word: watch::Receiver<bool>,
    successor: Arc<AtomicBool>,
}

/// Gives the word.
#[derive(Debug)]
pub struct Stopping {
    word: watch::Sender<bool>,
    successor: Arc<AtomicBool>,
}

impl Stop {
    /// A word that has not been given yet, and who gives it. Gone without a word, it counts as given.
    pub fn new() -> (Stopping, Self) {
        let (sender, receiver) = watch::channel(false);
        let successor = Arc::new(AtomicBool::new(false));
        let stopping = Stopping {
            word: sender,
            successor: successor.clone(),
        };
        let stop = Self {
            word: receiver,
            successor,
        };
        (stopping, stop)
    }

    /// Whether the word was given.
    pub fn is_given(&self) -> bool {
        *self.word.borrow()
    }

    /// Whether another process has the listening sockets, too, and goes on with them.
    pub fn has_successor(&self) -> bool {
        self.successor.load(Ordering::Acquire)
    }

    /// Waits for the word.
    pub async fn given(&mut self) {
        // An error is a sender that is gone.
        drop(self.word.wait_for(|stopping| *stopping).await);
    }

    /// The same in Pingora's terms.
    pub fn as_pingora(&self) -> &ShutdownWatch {
        &self.word
    }
}

impl Stopping {
    /// Gives the word.
    pub fn give(&self) {
        self.word.send_replace(true);
    }

    /// Gives the word, since another process goes on with the same listening sockets.
    pub fn hand_over(&self) {
        self.successor.store(true, Ordering::Release);
        self.give();
    }
}
