//! The gateway under test: started here, ended here by its id, and looked at meanwhile.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::client::{Connection, Over};
use crate::payload::Payload;

const ADMIN_KEY: &str = "the-admin-key-of-the-soak";

/// How long it may take to become ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where it listens, over all its restarts.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) control: SocketAddr,
    metrics: SocketAddr,
}

/// A gateway that runs; it is killed when this is dropped.
pub(crate) struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    pub(crate) at: Addresses,
    child: Child,
    starts: usize,
}

impl Gateway {
    /// Starts it with an empty embedded store below `folder` and waits until it is ready.
    pub(crate) async fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let at = Addresses {
            http: free_port()?,
            https: free_port()?,
            admin: free_port()?,
            control: free_port()?,
            metrics: free_port()?,
        };
        let settings = "store:\n  kind: embedded\naccess_log:\n  path: access.log\nthreads: 2\n";
        let settings = settings.replace("access.log", &folder.join("access.log").to_string_lossy());
        fs::write(folder.join("crossway.yaml"), settings)?;
        let mut gateway = Self {
            child: spawn(program, folder, &at, 0)?,
            program: program.to_owned(),
            folder: folder.to_owned(),
            at,
            starts: 1,
        };
        gateway.wait_until_ready().await?;
        Ok(gateway)
    }

    /// Starts it again after it has ended, on the same ports with the same store.
    pub(crate) async fn start_again(&mut self) -> io::Result<()> {
        self.child = spawn(&self.program, &self.folder, &self.at, self.starts)?;
        self.starts += 1;
        self.wait_until_ready().await
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn terminate(&mut self) -> io::Result<ExitStatus> {
        if let Some(id) = self.pid() {
            kill_process(id, Signal::TERM)?;
        }
        let late = |_| Err(io::Error::other("it did not end after SIGTERM"));
        timeout(PATIENCE, self.child.wait())
            .await
            .unwrap_or_else(late)
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// All that its processes have printed.
    pub(crate) fn log(&self) -> String {
        let texts = (0..self.starts).map(|start| fs::read_to_string(log(&self.folder, start)));
        texts.filter_map(Result::ok).collect()
    }

    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.id()?).ok()?)
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && self.ended().is_none() {
            if let Ok(mut control) = Connection::open(self.at.control, &Over::Plain).await {
                let answer = control
                    .ask("GET", "/status/ready", &[], Payload::empty())
                    .await;
                if matches!(answer, Ok((200, _))) {
                    return Ok(());
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        let log = self.log();
        Err(io::Error::other(format!(
            "the gateway did not become ready; it printed:\n{log}"
        )))
    }
}

fn spawn(program: &Path, folder: &Path, at: &Addresses, start: usize) -> io::Result<Child> {
    let output = File::create(log(folder, start))?;
    Command::new(program)
        .arg("run")
        .arg("-c")
        .arg(folder.join("crossway.yaml"))
        .env("CROSSWAY_LISTEN_HTTP", at.http.to_string())
        .env("CROSSWAY_LISTEN_HTTPS", at.https.to_string())
        .env("CROSSWAY_ADMIN_LISTEN", at.admin.to_string())
        .env("CROSSWAY_CONTROL_LISTEN", at.control.to_string())
        .env("CROSSWAY_METRICS_LISTEN", at.metrics.to_string())
        .env("CROSSWAY_DATA_DIR", folder.join("data"))
        .env("CROSSWAY_ADMIN_KEY", ADMIN_KEY)
        .stdin(Stdio::null())
        .stderr(output.try_clone()?)
        .stdout(output)
        .kill_on_drop(true)
        .spawn()
}

fn log(folder: &Path, start: usize) -> PathBuf {
    folder.join(format!("gateway-{start}.log"))
}

/// An address on which nothing listens at this moment.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// The Admin API.
pub(crate) struct Admin(SocketAddr);

impl Admin {
    pub(crate) fn of(gateway: &Addresses) -> Self {
        Self(gateway.admin)
    }

    /// Sends a change; anything but success is an error that says what came back.
    pub(crate) async fn change(&self, method: &str, path: &str, body: String) -> io::Result<()> {
        let headers = [
            ("x-api-key", ADMIN_KEY),
            ("content-type", "application/json"),
        ];
        let target = format!("/apisix/admin{path}");
        let mut connection = Connection::open(self.0, &Over::Plain).await?;
        let body = Payload::sized(body.into(), 1);
        let (status, answer) = connection.ask(method, &target, &headers, body).await?;
        if matches!(status, 200 | 201) {
            return Ok(());
        }
        let answer = String::from_utf8_lossy(&answer);
        Err(io::Error::other(format!(
            "{method} {path} answered {status}: {answer}"
        )))
    }
}
