//! SIGUSR2: another gateway, started from the binary and the settings that lie there now, takes the place of this one.
//!
//! It gets the listening sockets, so that no connection is refused, and the store once this one has let go of it. Until it serves,
//! this one does, and it goes on if nothing comes of it.

use super::{
    Failure,
    handover::{self, Channel, Word},
    sockets::Sockets,
};
use crate::store::{Store, StoreError};
use std::{
    ffi::OsString, io, os::fd::OwnedFd, path::PathBuf, process::Stdio, sync::Arc, time::Duration,
};
use tokio::{
    process::{Child, Command},
    signal::unix::{Signal, SignalKind, signal},
};

/// Tells the new gateway that it is one; the command line has it.
const TAKE_OVER: &str = "--take-over";
/// Between two attempts to have the store again.
const AGAIN: Duration = Duration::from_millis(500);

/// How this gateway is replaced.
pub(super) struct Upgrade {
    /// As it was at the start: the file may be another one by now.
    program: PathBuf,
    sockets: Arc<Sockets>,
    store: Arc<dyn Store>,
    asked: Signal,
}

impl Upgrade {
    /// Listens for the signal from now on. To be called inside a runtime.
    pub(super) fn new(
        program: PathBuf,
        sockets: Arc<Sockets>,
        store: Arc<dyn Store>,
    ) -> io::Result<Self> {
        Ok(Self {
            program,
            sockets,
            store,
            asked: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits until another gateway serves in the place of this one. When this is dropped, one that does not serve yet is ended.
    pub(super) async fn done(&mut self) {
        loop {
            if self.asked.recv().await.is_none() {
                // No signal will come any more.
                return std::future::pending().await;
            }
            tracing::info!(program = %self.program.display(), "another gateway is to take over");
            match self.attempt().await {
                Ok(process) => {
                    tracing::info!(process, "another gateway has taken over");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "no other gateway took over; this one serves on");
                }
            }
        }
    }

    /// The id of the process that has taken over.
    async fn attempt(&self) -> Result<u32, Failure> {
        self.possible()?;
        let (ours, theirs) = handover::pair().map_err(Failure::new)?;
        let sockets = self.sockets.copies().map_err(Failure::new)?;
        let mut started = Started::new(self.start(theirs)?);
        let process = started.process();
        let channel = Arc::new(ours);
        let mut released = false;
        let done = self.accompany(channel, sockets, &mut released).await;
        if let Err(failure) = done {
            started.end().await;
            if released {
                self.reclaim().await;
            }
            return Err(failure);
        }
        started.leave();
        Ok(process)
    }

    fn possible(&self) -> Result<(), Failure> {
        if std::process::id() == 1 {
            return Err(Failure(
                "this process is the first of its container, which ends with it: replace the container"
                    .to_owned(),
            ));
        }
        if self.store.name() == "memory" {
            return Err(Failure(
                "the store is in memory (store.kind) and would be lost".to_owned(),
            ));
        }
        Ok(())
    }

    fn start(&self, channel: OwnedFd) -> Result<Child, Failure> {
        let own = std::env::args_os().skip(1);
        let arguments = own.filter(|argument| argument != TAKE_OVER);
        let started = Command::new(&self.program)
            .args(arguments)
            .arg(OsString::from(TAKE_OVER))
            .stdin(Stdio::from(channel))
            .spawn();
        started.map_err(|e| Failure(format!("{}: {e}", self.program.display())))
    }

    /// Gives the new gateway what it asks for, until it serves.
    async fn accompany(
        &self,
        channel: Arc<Channel>,
        sockets: Vec<(String, OwnedFd)>,
        released: &mut bool,
    ) -> Result<(), Failure> {
        let mut words: Vec<Word> = sockets.into_iter().map(Word::Socket).collect();
        words.push(Word::Begin);
        say(&channel, words).await?;
        loop {
            let listening = channel.clone();
            match blocking(move || listening.hear()).await? {
                Some(Word::Store) => match self.store.release().await {
                    Ok(()) => {
                        *released = true;
                        say(&channel, vec![Word::Store]).await?;
                    }
                    Err(error) => {
                        say(&channel, vec![Word::Failed(error.to_string())]).await?;
                        return Err(Failure::new(error));
                    }
                },
                Some(Word::Serving) => return Ok(()),
                Some(Word::Failed(why)) => return Err(Failure(why)),
                None => return Err(Failure("it ended before it served".to_owned())),
                Some(Word::Socket(_) | Word::Begin) => {
                    return Err(Failure("it says something unexpected".to_owned()));
                }
            }
        }
    }

    /// Has the store again. The new gateway is gone, so nothing is in the way but a disk that fails.
    async fn reclaim(&self) {
        let mut told = false;
        while let Err(StoreError::Unavailable(error)) = self.store.reclaim().await {
            if !told {
                tracing::error!(
                    error,
                    "the store cannot be had again yet; changes are refused"
                );
                told = true;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn say(channel: &Arc<Channel>, words: Vec<Word>) -> Result<(), Failure> {
    let channel = channel.clone();
    blocking(move || words.iter().try_for_each(|word| channel.say(word))).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Failure::new)?.map_err(Failure::new)
}

/// A gateway that does not serve yet. It ends when nobody waits for it any more.
struct Started(Option<Child>);

impl Started {
    fn new(child: Child) -> Self {
        Self(Some(child))
    }

    fn process(&self) -> u32 {
        self.0.as_ref().and_then(Child::id).unwrap_or_default()
    }

    /// Ends it, and waits until it is gone.
    async fn end(&mut self) {
        if let Some(mut child) = self.0.take()
            && let Err(error) = child.kill().await
        {
            tracing::warn!(%error, "the other gateway could not be ended");
        }
    }

    /// Lets it go its own way.
    fn leave(&mut self) {
        drop(self.0.take());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take()
            && let Err(error) = child.start_kill()
        {
            tracing::warn!(%error, "the other gateway could not be ended");
        }
    }
}
