//! The word that it is time to end.

use pingora_core::server::ShutdownWatch;
use tokio::sync::watch;

/// Tells a connection whether it should come to its end.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Gives the word.
#[derive(Debug)]
pub struct Stopping(watch::Sender<bool>);

impl Stop {
    /// A word that has not been given yet, and who gives it. Gone without a word, it counts as given.
    pub fn new() -> (Stopping, Self) {
        let (sender, receiver) = watch::channel(false);
        (Stopping(sender), Self(receiver))
    }

    /// Whether the word was given.
    pub fn is_given(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the word.
    pub async fn given(&mut self) {
        // An error is a sender that is gone.
        drop(self.0.wait_for(|stopping| *stopping).await);
    }

    /// The same in Pingora's terms.
    pub fn as_pingora(&self) -> &ShutdownWatch {
        &self.0
    }
}

impl Stopping {
    /// Gives the word.
    pub fn give(&self) {
        self.0.send_replace(true);
    }
}
