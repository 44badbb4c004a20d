//! One run of the gateway's binary: started by us, ended by its id, its output kept.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// The binary under test: the one that was built with the tests, or the one that
/// `GATEWAY_UNDER_TEST` names (a release build, say). Settings in the environment of whoever runs
/// the tests are kept from it.
fn binary() -> Command {
    let built = env!("CARGO_BIN_EXE_crossway").into();
    let mut command = Command::new(std::env::var_os("GATEWAY_UNDER_TEST").unwrap_or(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CROSSWAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the binary to its end; for subcommands that answer and stop.
pub async fn run_to_end(arguments: &[&str], folder: &Path) -> Output {
    let mut command = binary();
    command
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("the blocking task")
        .expect("run the gateway's binary")
}

/// A gateway process with its output in a file. Dropping it kills it.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `crossway run -c settings`; output is appended to `log`.
    pub fn start(settings: &Path, environment: &[(String, String)], log: &Path) -> Self {
        let output = append_to(log);
        let errors = output.try_clone().expect("share the log file");
        let child = binary()
            .arg("run")
            .arg("-c")
            .arg(settings)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("start the gateway's binary");
        Self {
            child,
            log: log.to_owned(),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the exit status")
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        // Only the id of our own, not yet reaped child is ever signalled.
        self.child.kill().ok();
        self.child.wait().expect("reap the gateway");
    }

    /// Sends SIGTERM, does not wait.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process id"), signal).expect("send a signal");
    }

    /// Waits for the end; fails the test when it does not come within `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                started.elapsed() < limit,
                "the gateway still runs after {limit:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has printed so far, over all its runs.
    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

fn append_to(log: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("open the log file")
}
