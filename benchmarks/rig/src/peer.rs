//! The programs that are measured, and how each is started for a scenario.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{During, Failure};
use crate::http::Connection;
use crate::identity::Identity;
use crate::processes::{Processes, Running, pause};
use crate::scenario::{Over, Scenario};
use crate::settings::{self, Addresses};

/// A forwarder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Gateway,
    Bare,
    Nginx,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "crossway",
            Self::Bare => "bare",
            Self::Nginx => "nginx",
        }
    }
}

/// Where things are and on which processors they run.
pub(crate) struct Bench {
    pub(crate) processes: Processes,
    /// The folder with the release binaries.
    pub(crate) binaries: PathBuf,
    pub(crate) nginx: Option<PathBuf>,
    /// A folder of our own for configurations and logs.
    pub(crate) folder: PathBuf,
    /// Whether forwarders are pinned to processor 0, and the origin and the load to processor 1.
    pub(crate) pinned: bool,
    pub(crate) origin: SocketAddr,
    /// What is served over TLS.
    pub(crate) identity: Identity,
}

/// A forwarder that answers.
pub(crate) struct Up {
    pub(crate) running: Running,
    pub(crate) addr: SocketAddr,
    /// Of the gateway only.
    pub(crate) admin: Option<SocketAddr>,
    /// From the start of the process to its first answer through the last route.
    pub(crate) took: Duration,
}

/// What runs a forwarder: the processor itself, or valgrind that writes its count to this file.
#[derive(Clone, Copy)]
pub(crate) enum Under<'a> {
    Nothing,
    Callgrind(&'a Path),
}

impl Bench {
    /// A command for the load's side of the machine.
    pub(crate) fn beside(&self, program: &str) -> Command {
        self.pin(1, program.as_ref(), Under::Nothing)
    }

    fn pin(&self, processor: usize, program: &Path, under: Under) -> Command {
        let mut words: Vec<PathBuf> = Vec::new();
        if self.pinned {
            words.extend(["taskset".into(), "-c".into(), processor.to_string().into()]);
        }
        if let Under::Callgrind(counts) = under {
            let file = format!("--callgrind-out-file={}", counts.display());
            words.extend(["valgrind".into(), "--tool=callgrind".into(), file.into()]);
        }
        words.push(program.to_owned());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }

    /// Starts the origin on [`Bench::origin`].
    pub(crate) fn start_origin(&self) -> Result<Running, Failure> {
        let mut command = self.pin(1, &self.binaries.join("origin"), Under::Nothing);
        command.arg(self.origin.to_string());
        let log = self.folder.join("origin.log");
        let running = self.processes.start(&mut command, &log)?;
        self.wait(&running, &|| Connection::open(self.origin), "/", "", &log)?;
        Ok(running)
    }

    /// Starts a forwarder for a scenario and waits until it forwards.
    pub(crate) fn start(
        &self,
        peer: Peer,
        scenario: &Scenario,
        under: Under,
    ) -> Result<Up, Failure> {
        let name = format!("{}-{}", peer.name(), scenario.name);
        let log = self.folder.join(format!("{name}.log"));
        let addr = free_port()?;
        let mut admin = None;
        let mut command = match peer {
            Peer::Bare => {
                let mut command = self.pin(0, &self.binaries.join("bare"), under);
                command.arg(addr.to_string()).arg(self.origin.to_string());
                command
            }
            Peer::Nginx => {
                let program = self.nginx.as_deref().unwrap_or(Path::new("nginx"));
                let conf = self.folder.join("nginx.conf");
                let text = settings::nginx(
                    &self.folder,
                    addr,
                    self.origin,
                    scenario.over,
                    &self.identity,
                );
                std::fs::write(&conf, text).during("write nginx.conf")?;
                let mut command = self.pin(0, program, under);
                command.arg("-c").arg(&conf).arg("-p").arg(&self.folder);
                command
            }
            Peer::Gateway => {
                let resources = self.folder.join(format!("{name}.yaml"));
                std::fs::write(&resources, scenario.resources(self.origin, &self.identity))
                    .during("write the resources file")?;
                let addresses = match scenario.over {
                    Over::Plain => Addresses::choose(addr)?,
                    Over::Tls | Over::Http2 => Addresses::choose_with_tls(addr)?,
                };
                admin = Some(addresses.admin);
                let folder = self.folder.join(&name);
                let mut command = self.pin(0, &self.binaries.join("crossway"), under);
                settings::gateway(&mut command, &folder, Some(&resources), &addresses)?;
                command
            }
        };
        let started = Instant::now();
        let running = self.processes.start(&mut command, &log)?;
        let last = Scenario::target(scenario.routes);
        let open = || self.connect(scenario, addr);
        self.wait(&running, &open, &last, &scenario.lines(), &log)?;
        Ok(Up {
            running,
            addr,
            admin,
            took: started.elapsed(),
        })
    }

    /// Starts the gateway with its embedded store, empty.
    pub(crate) fn start_embedded(&self) -> Result<Up, Failure> {
        let folder = self.folder.join("embedded");
        let log = self.folder.join("embedded.log");
        let addresses = Addresses::choose(free_port()?)?;
        let mut command = self.pin(0, &self.binaries.join("crossway"), Under::Nothing);
        settings::gateway(&mut command, &folder, None, &addresses)?;
        let started = Instant::now();
        let running = self.processes.start(&mut command, &log)?;
        let open = || Connection::open(addresses.control);
        self.wait(&running, &open, "/status/ready", "", &log)?;
        Ok(Up {
            running,
            addr: addresses.http,
            admin: Some(addresses.admin),
            took: started.elapsed(),
        })
    }

    /// A connection to a peer of this scenario, with HTTP/1.1 in any case.
    pub(crate) fn connect(&self, scenario: &Scenario, to: SocketAddr) -> io::Result<Connection> {
        match scenario.over {
            Over::Plain => Connection::open(to),
            Over::Tls | Over::Http2 => {
                let session = self.identity.session().map_err(io::Error::other)?;
                Connection::open_tls(to, session)
            }
        }
    }

    fn wait(
        &self,
        running: &Running,
        open: &dyn Fn() -> io::Result<Connection>,
        target: &str,
        lines: &str,
        log: &Path,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        let mut last = String::new();
        while started.elapsed() < Duration::from_secs(180) && running.is_alive() {
            match open().and_then(|mut connection| connection.ask("GET", target, lines, "")) {
                Ok(200) => return Ok(()),
                Ok(status) => last = format!("status {status}"),
                Err(error) => last = error.to_string(),
            }
            pause(Duration::from_millis(2));
        }
        let printed = std::fs::read_to_string(log).unwrap_or_default();
        Err(Failure::said(format!(
            "{} does not answer {target} ({last}); it printed:\n{printed}",
            log.display()
        )))
    }
}

/// An address on which nothing listens at this moment.
pub(crate) fn free_port() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("look for a free port")?;
    listener.local_addr().during("look for a free port")
}
