//! A process by a handle of the kernel's, which never means another one: also one that somebody else started and that became ours.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, pidfd_open,
    pidfd_send_signal, set_child_subreaper, waitid,
};
use tokio::time::sleep;

/// Makes this process the parent of all whose own has gone, so that it learns how they end.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With status 0.
    Well,
    /// As these words say.
    Otherwise(String),
}

/// A process that is killed when this is dropped.
pub(crate) struct Process {
    id: u32,
    handle: OwnedFd,
    end: Option<End>,
}

impl Process {
    /// Starts one.
    #[allow(
        clippy::zombie_processes,
        reason = "it is waited for through its handle"
    )]
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        Self::find(command.spawn()?.id())
    }

    /// One that runs already.
    pub(crate) fn find(id: u32) -> io::Result<Self> {
        let raw = i32::try_from(id).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or_else(|| io::Error::other("not the id of a process"))?;
        Ok(Self {
            id,
            handle: pidfd_open(raw, PidfdFlags::empty())?,
            end: None,
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.handle, signal)?)
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<End> {
        if self.end.is_none() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
            self.end = match waitid(WaitId::PidFd(self.handle.as_fd()), options) {
                Ok(status) => status.map(|status| end(&status)),
                // Its parent is another process, so far.
                Err(Errno::CHILD) if runs(self.id) => None,
                Err(Errno::CHILD) => Some(End::Otherwise("reaped by its parent".to_owned())),
                Err(error) => Some(End::Otherwise(error.to_string())),
            };
        }
        self.end.clone()
    }

    /// Waits for its end.
    pub(crate) async fn ends_within(&mut self, patience: Duration) -> Option<End> {
        let started = Instant::now();
        loop {
            let end = self.ended();
            if end.is_some() || started.elapsed() >= patience {
                return end;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended().is_none() {
            self.signal(Signal::KILL).ok();
        }
    }
}

fn end(status: &WaitIdStatus) -> End {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(0), _) => End::Well,
        (Some(code), _) => End::Otherwise(format!("exit status {code}")),
        (None, Some(signal)) => End::Otherwise(format!("signal {signal}")),
        (None, None) => End::Otherwise("in an unknown way".to_owned()),
    }
}

/// Whether it has not ended. What waits to be reaped has.
fn runs(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

#[cfg(test)]
mod tests {
    use super::{End, Process, runs};
    use rustix::process::Signal;
    use std::process::Command;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn ends_are_told_apart() {
        let mut well = Process::start(&mut Command::new("true")).unwrap();
        assert_eq!(well.ends_within(PATIENCE).await, Some(End::Well));
        let mut badly = Process::start(&mut Command::new("false")).unwrap();
        let end = badly.ends_within(PATIENCE).await;
        assert_eq!(end, Some(End::Otherwise("exit status 1".to_owned())));

        let mut killed = Process::start(Command::new("sleep").arg("60")).unwrap();
        assert!(runs(killed.id()) && killed.ended().is_none());
        killed.signal(Signal::KILL).unwrap();
        let end = killed.ends_within(PATIENCE).await;
        assert_eq!(end, Some(End::Otherwise("signal 9".to_owned())));
        assert!(!runs(killed.id()));
    }
}
