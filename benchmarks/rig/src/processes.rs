//! The processes of a measurement: started here, ended here by their ids, and nothing else ended.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::{During, Failure};

/// How long a process may take to end after SIGTERM before it gets SIGKILL.
const END_WITHIN: Duration = Duration::from_secs(20);

/// SIGTERM is sent again as often. nginx looks whether it was told to end before it waits for events and not while it does: what
/// comes between is seen at the next signal or event. Under valgrind, which hands signals over before a system call, that is
/// the rule.
const REMIND_AFTER: Duration = Duration::from_secs(1);

/// All children that are alive. Cloning shares them.
#[derive(Clone, Default)]
pub(crate) struct Processes {
    children: Arc<Mutex<Vec<Child>>>,
    closed: Arc<AtomicBool>,
}

/// One child; dropping it ends it.
pub(crate) struct Running {
    id: u32,
    processes: Processes,
}

impl Processes {
    /// Starts a server whose output goes to `log`.
    pub(crate) fn start(&self, command: &mut Command, log: &Path) -> Result<Running, Failure> {
        let output = File::create(log).during(format!("create {}", log.display()))?;
        let errors = output.try_clone().during("share a log file")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        self.spawn(command, |_| ()).map(|(running, ())| running)
    }

    /// Runs a command to its end and returns its output, standard output first.
    pub(crate) fn run(&self, command: &mut Command) -> Result<String, Failure> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (running, (out, err)) =
            self.spawn(command, |child| (child.stdout.take(), child.stderr.take()))?;
        // What is run here writes little to standard error, so reading in turn cannot block.
        let mut text = String::new();
        if let Some(mut out) = out {
            out.read_to_string(&mut text)
                .during("read the output of a command")?;
        }
        if let Some(mut err) = err {
            err.read_to_string(&mut text)
                .during("read the errors of a command")?;
        }
        drop(running);
        if self.closed.load(Ordering::SeqCst) {
            Err(Failure::Stopped)
        } else {
            Ok(text)
        }
    }

    /// Kills everything that still runs and lets nothing start any more.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        for mut child in self.children().drain(..) {
            end(&mut child, Duration::ZERO);
        }
    }

    fn spawn<T>(
        &self,
        command: &mut Command,
        take: impl FnOnce(&mut Child) -> T,
    ) -> Result<(Running, T), Failure> {
        // Under the lock, so that `close` either sees the child or prevents it.
        let mut children = self.children();
        if self.closed.load(Ordering::SeqCst) {
            return Err(Failure::Stopped);
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().during(format!("start {program}"))?;
        let running = Running {
            id: child.id(),
            processes: self.clone(),
        };
        let taken = take(&mut child);
        children.push(child);
        Ok((running, taken))
    }

    fn children(&self) -> MutexGuard<'_, Vec<Child>> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Whether it has not ended by itself.
    pub(crate) fn is_alive(&self) -> bool {
        let mut children = self.processes.children();
        let child = children.iter_mut().find(|child| child.id() == self.id);
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = {
            let mut children = self.processes.children();
            let place = children.iter().position(|child| child.id() == self.id);
            place.map(|place| children.swap_remove(place))
        };
        if let Some(mut child) = child {
            end(&mut child, END_WITHIN);
        }
    }
}

/// Asks our own, not yet reaped child to end, and makes it end when `patience` is over.
fn end(child: &mut Child, patience: Duration) {
    if !matches!(child.try_wait(), Ok(None)) {
        return;
    }
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let started = Instant::now();
    let mut reminders = 0;
    while started.elapsed() < patience {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        if let Some(id) = id
            && started.elapsed() >= REMIND_AFTER * reminders
        {
            kill_process(id, Signal::TERM).ok();
            reminders += 1;
        }
        pause(Duration::from_millis(10));
    }
    child.kill().ok();
    child.wait().ok();
}

/// Waits. The rig measures one thing at a time on a thread of its own; nothing else waits with it.
#[allow(
    clippy::disallowed_methods,
    reason = "no runtime here whose worker could be blocked"
)]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
