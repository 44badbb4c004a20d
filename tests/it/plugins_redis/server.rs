//! Redis processes that a test starts and stops.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{PATIENCE, Port, wait_until};

/// A `redis-server`, or a sentinel, in a folder of its own. Dropping it ends it.
pub struct Server {
    child: Child,
    port: Port,
    folder: TempDir,
    _bus: Option<Port>,
}

/// Whether there is a Redis to test with; a test without one says so and passes.
pub fn installed() -> bool {
    let found = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: redis-server is not installed (Debian: apt-get install redis-server)");
    }
    found
}

impl Server {
    /// A server with these lines of configuration besides its port.
    pub async fn start(lines: &[&str]) -> Self {
        Self::on(Port::reserve(), lines, &[], None).await
    }

    /// A node of a cluster to come.
    pub async fn of_cluster() -> Self {
        let bus = Port::reserve();
        let port = format!("cluster-port {}", bus.addr().port());
        let lines = ["cluster-enabled yes", "cluster-node-timeout 2000", &port];
        Self::on(Port::reserve(), &lines, &[], Some(bus)).await
    }

    /// A sentinel that watches `master` as `mymaster`.
    pub async fn sentinel(master: &Server) -> Self {
        let monitor = format!("sentinel monitor mymaster 127.0.0.1 {} 1", master.port());
        let lines = [
            monitor.as_str(),
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 3000",
        ];
        Self::on(Port::reserve(), &lines, &["--sentinel"], None).await
    }

    /// A server that speaks TLS alone, with the certificate and the key in `folder`.
    pub async fn tls(certificate: &Path, key: &Path) -> Self {
        let port = Port::reserve();
        let lines = [
            format!("tls-port {}", port.addr().port()),
            format!("tls-cert-file {}", certificate.display()),
            format!("tls-key-file {}", key.display()),
            format!("tls-ca-cert-file {}", certificate.display()),
            "tls-auth-clients no".to_owned(),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        Self::launch(port, 0, &lines, &[], None).await
    }

    /// A server at a port that another one had.
    pub async fn again(port: Port) -> Self {
        Self::on(port, &[], &[], None).await
    }

    async fn on(port: Port, lines: &[&str], flags: &[&str], bus: Option<Port>) -> Self {
        let plain = port.addr().port();
        Self::launch(port, plain, lines, flags, bus).await
    }

    async fn launch(
        port: Port,
        plain: u16,
        lines: &[&str],
        flags: &[&str],
        bus: Option<Port>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("make a folder for Redis");
        let file = folder.path().join("redis.conf");
        let mut text = format!("port {plain}\nbind 127.0.0.1\n");
        if !flags.contains(&"--sentinel") {
            text.push_str("save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n");
        }
        text.push_str(&lines.join("\n"));
        text.push('\n');
        std::fs::write(&file, text).expect("write Redis' configuration");
        let child = Command::new("redis-server")
            .arg(&file)
            .args(flags)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start redis-server");
        let server = Self {
            child,
            port,
            folder,
            _bus: bus,
        };
        let address = server.port.addr();
        wait_until("Redis listens", PATIENCE, || {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
        })
        .await;
        server
    }

    pub fn port(&self) -> u16 {
        self.port.addr().port()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Asks the server itself.
    pub fn ask<T: redis::FromRedisValue>(&self, command: &str) -> T {
        self.try_ask(command).expect("an answer of Redis")
    }

    pub fn try_ask<T: redis::FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", self.port()))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(2))?;
        let mut words = command.split(' ');
        let mut asked = redis::cmd(words.next().unwrap_or_default());
        for word in words {
            asked.arg(word);
        }
        asked.query(&mut connection)
    }

    fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.child);
        kill_process(id, signal).expect("a signal to redis-server");
    }

    /// Has the server stop in the middle of whatever it does; it keeps its connections.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends the server and gives its port back.
    pub fn stop(mut self) -> Port {
        self.end();
        std::mem::replace(&mut self.port, Port::reserve())
    }

    fn end(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Three masters that share all slots.
pub async fn cluster() -> [Server; 3] {
    let nodes = [
        Server::of_cluster().await,
        Server::of_cluster().await,
        Server::of_cluster().await,
    ];
    for (node, range) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        let _: String = node.ask(&format!("CLUSTER ADDSLOTSRANGE {range}"));
    }
    for other in &nodes[1..] {
        let bus = other._bus.as_ref().expect("a cluster port").addr().port();
        let _: String = nodes[0].ask(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port()));
    }
    wait_until("the cluster agrees on its slots", PATIENCE, || {
        nodes.iter().all(|node| {
            let info: String = node.ask("CLUSTER INFO");
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
        })
    })
    .await;
    nodes
}
