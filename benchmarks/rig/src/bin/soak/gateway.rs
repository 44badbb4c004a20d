//! The gateway under test: started here, upgraded and ended here by its id, and looked at meanwhile.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::sleep;

use crate::admin::ADMIN_KEY;
use crate::client::{Connection, Over};
use crate::payload::Payload;
use crate::process::{End, Process};

/// How long it may take to become ready, to be replaced, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is under way in a process that was replaced has so long to end.
pub(crate) const DRAIN: Duration = Duration::from_secs(10);

/// Limits are short, so that hostile clients meet them.
fn settings(access_log: &Path, at: &Addresses) -> String {
    format!(
        "store:\n  kind: embedded\n\
         access_log:\n  path: {}\n\
         threads: 2\n\
         shutdown:\n  drain_timeout: {}\n\
         limits:\n  header_timeout: 5\n  tls_handshake_timeout: 5\n\
         stream:\n  tcp: [\"{}\", {{addr: \"{}\", tls: true}}]\n  udp: \"{}\"\n",
        access_log.display(),
        DRAIN.as_secs(),
        at.tcp,
        at.tls,
        at.udp
    )
}

/// Where it listens, over all its restarts and upgrades.
#[derive(Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: SocketAddr,
    pub(crate) https: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) udp: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) control: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// A gateway that runs; it is killed when this is dropped.
pub(crate) struct Gateway {
    program: PathBuf,
    folder: PathBuf,
    pub(crate) at: Addresses,
    process: Process,
    starts: usize,
}

impl Gateway {
    /// Starts it with an empty embedded store below `folder` and waits until it is ready.
    pub(crate) async fn start(program: &Path, folder: &Path) -> io::Result<Self> {
        let at = Addresses {
            http: free_port()?,
            https: free_port()?,
            tcp: free_port()?,
            tls: free_port()?,
            udp: free_port()?,
            admin: free_port()?,
            control: free_port()?,
            metrics: free_port()?,
        };
        let settings = settings(&folder.join("access.log"), &at);
        fs::write(folder.join("crossway.yaml"), settings)?;
        let mut gateway = Self {
            process: spawn(program, folder, &at, 0)?,
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
        self.process = spawn(&self.program, &self.folder, &self.at, self.starts)?;
        self.starts += 1;
        self.wait_until_ready().await
    }

    /// SIGTERM, then waits for the end.
    pub(crate) async fn terminate(&mut self) -> io::Result<End> {
        self.process.signal(Signal::TERM)?;
        let end = self.process.ends_within(PATIENCE).await;
        end.ok_or_else(|| io::Error::other("it did not end after SIGTERM"))
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.process.signal(Signal::KILL)?;
        let end = self.process.ends_within(PATIENCE).await;
        end.map(drop)
            .ok_or_else(|| io::Error::other("it did not end after SIGKILL"))
    }

    /// SIGUSR2, then waits until another process serves. The old one is given back; it drains.
    pub(crate) async fn upgrade(&mut self) -> io::Result<Process> {
        self.process.signal(Signal::USR2)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            if let Some(id) = self.serving().await
                && id != self.process.id()
            {
                return Ok(std::mem::replace(&mut self.process, Process::find(id)?));
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(io::Error::other("no other process has taken over"))
    }

    /// The id of the process that serves now.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<End> {
        self.process.ended()
    }

    /// All that its processes have printed.
    pub(crate) fn log(&self) -> String {
        let texts = (0..self.starts).map(|start| fs::read_to_string(log(&self.folder, start)));
        texts.filter_map(Result::ok).collect()
    }

    /// The id of the process that answers the control API.
    async fn serving(&self) -> Option<u32> {
        let answer = self.ask_control("/v1/status").await?;
        let text = String::from_utf8(answer).ok()?;
        let (_, rest) = text.split_once("\"pid\":")?;
        let digits = rest.trim_start();
        let digits = digits.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    }

    async fn wait_until_ready(&mut self) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && self.ended().is_none() {
            if self.ask_control("/status/ready").await.is_some() {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
        let log = self.log();
        Err(io::Error::other(format!(
            "the gateway did not become ready; it printed:\n{log}"
        )))
    }

    async fn ask_control(&self, path: &str) -> Option<Vec<u8>> {
        let opened = Connection::open(self.at.control, &Over::Plain).await;
        let asked = opened.ok()?.ask("GET", path, &[], Payload::empty()).await;
        asked
            .ok()
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.body)
    }
}

fn spawn(program: &Path, folder: &Path, at: &Addresses, start: usize) -> io::Result<Process> {
    let output = File::create(log(folder, start))?;
    Process::start(
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
            .stdout(output),
    )
}

fn log(folder: &Path, start: usize) -> PathBuf {
    folder.join(format!("gateway-{start}.log"))
}

/// An address on which nothing listens at this moment.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
