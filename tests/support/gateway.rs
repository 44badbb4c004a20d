//! A running gateway: its process, its ports, and the sentences that tests say to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Process, run_to_end};
use super::settings::{self, ADMIN_KEY, Ports, Store};
use super::{Admin, Answer, Connection, PATIENCE, Request, Response, Upstream, eventually};

/// How many sets of ports are tried when one turns out to be taken.
const PORT_ATTEMPTS: usize = 5;

/// One of the gateway's own listeners.
#[derive(Clone, Copy, Debug)]
pub enum Interface {
    Http,
    Https,
    Admin,
    Control,
    Metrics,
}

/// How a gateway is to be started.
pub struct Builder {
    store: Store,
    settings: String,
    environment: Vec<(String, String)>,
    https: bool,
}

impl Builder {
    /// A declarative file instead of the embedded store.
    pub fn with_file(mut self, resources: &str) -> Self {
        self.store = Store::File(resources.to_owned());
        self
    }

    /// More lines for the settings file.
    pub fn with_settings(mut self, yaml: &str) -> Self {
        self.settings.push_str(yaml);
        self
    }

    /// One more environment variable.
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens over TLS, too.
    pub fn with_https(mut self) -> Self {
        self.https = true;
        self
    }

    /// Starts the gateway and waits until it says that it is ready.
    pub async fn start(self) -> Gateway {
        let folder = tempfile::tempdir().expect("make a folder for the gateway");
        let settings = settings::write(folder.path(), &self.store, &self.settings);
        let mut environment = settings::environment(folder.path());
        environment.extend(self.environment);
        for attempt in 1.. {
            let ports = Ports::reserve();
            let mut environment = environment.clone();
            if self.https {
                let address = ports.https.addr().to_string();
                environment.push(("CROSSWAY_LISTEN_HTTPS".to_owned(), address));
            }
            match run(&settings, &environment, &ports, folder.path()).await {
                Ok(process) => {
                    let marker = Upstream::start().await;
                    marker.script(|received| Answer::text(received.target.clone()));
                    let markers = AtomicU64::new(0);
                    return Gateway {
                        process,
                        ports,
                        folder,
                        settings,
                        environment,
                        marker,
                        markers,
                    };
                }
                Err(log) if attempt < PORT_ATTEMPTS && is_port_conflict(&log) => {
                    std::fs::remove_file(log_path(folder.path())).ok();
                }
                Err(log) => panic!("the gateway did not become ready; it printed:\n{log}"),
            }
        }
        unreachable!("the last attempt returns or fails");
    }
}

/// How a gateway ended after SIGTERM.
#[derive(Debug)]
pub struct Stopped {
    pub status: ExitStatus,
    pub took: Duration,
}

/// A gateway that runs until it is dropped. When a test fails, its output is shown; when a test
/// passes but the gateway panicked meanwhile, the test fails after all.
pub struct Gateway {
    process: Process,
    ports: Ports,
    folder: TempDir,
    settings: PathBuf,
    environment: Vec<(String, String)>,
    /// What marker routes lead to, see [`Gateway::settle`].
    marker: Upstream,
    markers: AtomicU64,
}

impl Gateway {
    /// A gateway with an empty embedded store.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    pub fn builder() -> Builder {
        Builder {
            store: Store::Embedded,
            settings: String::new(),
            environment: Vec::new(),
            https: false,
        }
    }

    /// The address of one of its listeners.
    pub fn addr(&self, interface: Interface) -> SocketAddr {
        match interface {
            Interface::Http => self.ports.http.addr(),
            Interface::Https => self.ports.https.addr(),
            Interface::Admin => self.ports.admin.addr(),
            Interface::Control => self.ports.control.addr(),
            Interface::Metrics => self.ports.metrics.addr(),
        }
    }

    /// The process id, for tests that look at memory or threads.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The Admin API.
    pub fn admin(&self) -> Admin {
        Admin::new(self.ports.admin.addr(), ADMIN_KEY)
    }

    /// GET on the data plane; awaiting it gives the answer.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// Any request on the data plane.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.ports.http.addr(), method, target)
    }

    /// GET on the control API.
    pub fn control(&self, path: &str) -> Request {
        Request::new(self.ports.control.addr(), "GET", path)
    }

    /// The text of the metrics endpoint.
    pub async fn metrics(&self) -> String {
        let path = "/apisix/prometheus/metrics";
        Request::new(self.ports.metrics.addr(), "GET", path)
            .await
            .expect_status(200)
            .text()
    }

    /// A connection to the data plane.
    pub async fn connect(&self) -> Connection {
        Connection::open(self.ports.http.addr())
            .await
            .expect("connect to the data plane")
    }

    /// A connection to the data plane over TLS, asking for `sni`.
    pub async fn connect_tls(
        &self,
        sni: &str,
        config: impl Into<std::sync::Arc<rustls::ClientConfig>>,
    ) -> std::io::Result<Connection> {
        Connection::open_tls(self.ports.https.addr(), sni, config.into()).await
    }

    /// Writes these bytes on a new connection to the data plane and returns what comes back until
    /// it closes or half a second passes in silence (the first byte may take longer).
    pub async fn raw(&self, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        self.raw_to(Interface::Http, bytes).await
    }

    /// [`Gateway::raw`] for any listener.
    pub async fn raw_to(&self, interface: Interface, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut connection = Connection::open(self.addr(interface))
            .await
            .expect("connect");
        // A refusal may come, and close the connection, before everything was written.
        connection.write(bytes.as_ref()).await.ok();
        connection
            .read_until_quiet(Duration::from_millis(500))
            .await
    }

    /// Creates or replaces a document and waits until the data plane serves it.
    pub async fn put(&self, path: &str, document: Value) {
        self.put_all([(path, document)]).await;
    }

    /// [`Gateway::put`] for several documents, in this order.
    pub async fn put_all<const N: usize>(&self, documents: [(&str, Value); N]) {
        for (path, document) in documents {
            let answer = self.admin().put(path, &document).await;
            assert!(
                matches!(answer.status, 200 | 201),
                "PUT {path} {document}: {} {}",
                answer.status,
                answer.text()
            );
        }
        self.settle().await;
    }

    /// Changes a document by a merge patch and waits until the data plane serves it.
    pub async fn patch(&self, path: &str, change: Value) {
        self.admin().patch(path, &change).await.expect_status(200);
        self.settle().await;
    }

    /// Deletes a document and waits until the data plane no longer serves it.
    pub async fn remove(&self, path: &str) {
        self.admin().delete(path).await.expect_status(200);
        self.settle().await;
    }

    /// Waits until the data plane serves all writes that were acknowledged before this call: a
    /// marker route is written after them, and changes go live in order. The marker has a host of
    /// its own, so that no route of a test answers for it. Not for tests with global rules that
    /// refuse requests: those poll for what they expect.
    pub async fn settle(&self) {
        let number = self.markers.fetch_add(1, Ordering::Relaxed);
        let path = format!("/routes/marker-of-the-harness-{number}");
        let host = format!("marker-{number}.harness.test");
        let route = json!({
            "uri": "/marker", "host": host, "upstream": self.marker.document(),
        });
        self.admin().put(&path, &route).await.expect_status(201);
        let deadline = PATIENCE;
        eventually("the last write is live", deadline, async || {
            let answer = self.get("/marker").host(&host).await;
            answer.status == 200 && answer.text() == "/marker"
        })
        .await;
        self.admin().delete(&path).await.expect_status(200);
    }

    /// Replaces the declarative file in one step, as an editor or a deployment does.
    pub fn write_file(&self, resources: &str) {
        let path = settings::resources_path(self.folder.path());
        let beside = path.with_extension("new");
        std::fs::write(&beside, resources).expect("write the new resources file");
        std::fs::rename(&beside, &path).expect("move the new resources file into place");
    }

    /// Ends the process with SIGKILL. Documents and ports are kept for [`Gateway::restart`].
    pub fn kill9(&mut self) {
        self.process.kill();
    }

    /// Sends SIGTERM without waiting.
    pub fn ask_to_stop(&self) {
        self.process.ask_to_stop();
    }

    /// Sends any signal without waiting.
    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// Waits until the process has ended, at most `limit`.
    pub async fn ends_within(&mut self, limit: Duration) -> ExitStatus {
        self.process.wait(limit).await
    }

    /// Sends SIGTERM and waits for the end, at most `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> Stopped {
        let started = Instant::now();
        self.process.ask_to_stop();
        let status = self.process.wait(limit).await;
        Stopped {
            status,
            took: started.elapsed(),
        }
    }

    /// Starts it again with the same documents on the same ports and waits until it is ready.
    /// Returns how long that took.
    pub async fn restart(&mut self) -> Duration {
        self.process.kill();
        let started = Instant::now();
        let folder = self.folder.path();
        match run(&self.settings, &self.environment, &self.ports, folder).await {
            Ok(process) => self.process = process,
            Err(log) => panic!("the gateway did not become ready again; it printed:\n{log}"),
        }
        started.elapsed()
    }

    /// Runs another subcommand with this gateway's settings file: `crossway <arguments…> -c …`.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        let settings = self.settings.display().to_string();
        let mut all = arguments.to_vec();
        all.extend(["-c", settings.as_str()]);
        run_to_end(&all, self.folder.path()).await
    }

    /// Runs another subcommand as it stands.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        run_to_end(arguments, self.folder.path()).await
    }

    /// The folder with its settings file and data.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let log = self.process.log();
        if std::thread::panicking() {
            eprintln!("---- the gateway printed:\n{}", last_lines(&log, 200));
        } else {
            assert!(
                !log.contains("panicked at"),
                "the gateway panicked:\n{}",
                last_lines(&log, 60)
            );
        }
    }
}

/// Starts the process and waits until it is ready; else returns what it printed.
async fn run(
    settings: &Path,
    environment: &[(String, String)],
    ports: &Ports,
    folder: &Path,
) -> Result<Process, String> {
    let mut environment = environment.to_vec();
    for (name, value) in ports.environment() {
        // A test may want more addresses than one: `["{}", "127.0.0.1:20000"]`.
        match environment.iter_mut().find(|(other, _)| *other == name) {
            Some((_, own)) => *own = own.replace("{}", &value),
            None => environment.push((name, value)),
        }
    }
    let log = log_path(folder);
    let mut process = Process::start(settings, &environment, &log);
    let started = Instant::now();
    loop {
        if process.ended().is_some() || started.elapsed() > PATIENCE {
            return Err(process.log());
        }
        if is_ready(ports.control.addr()).await {
            return Ok(process);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("gateway.log")
}

async fn is_ready(control: SocketAddr) -> bool {
    let asked = Request::new(control, "GET", "/status/ready").within(Duration::from_secs(2));
    matches!(asked.send().await, Ok(Response { status: 200, .. }))
}

fn is_port_conflict(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    log.contains("address already in use") || log.contains("address in use")
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
