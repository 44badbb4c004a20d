//! Starts the binary with a declarative file and sees its plugin and its balancer at work; and one whose plugin panics.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that meets the unexpected should fail where it stands"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::Stdio,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    task::JoinHandle,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_plugin_tells_upstream_and_client_the_tenant() {
    let node = Node::start("a").await;
    let gateway = Gateway::start(&[&node]).await;
    let answer = get(gateway.http, "acme.shop.example").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.to_lowercase().contains("x-tenant: acme\r\n"),
        "to the client: {answer}"
    );
    assert!(
        answer.ends_with("node a, tenant acme"),
        "to the upstream: {answer}"
    );
    let answer = get(gateway.http, "shop.example").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn the_balancer_keeps_to_the_first_node_until_it_is_gone() {
    let (first, second) = (Node::start("first").await, Node::start("second").await);
    let gateway = Gateway::start(&[&first, &second]).await;
    for _ in 0..5 {
        let answer = get(gateway.http, "acme.shop.example").await.unwrap();
        assert!(answer.ends_with("node first, tenant acme"), "{answer}");
    }
    first.stop().await;
    let answer = get(gateway.http, "acme.shop.example").await.unwrap();
    assert!(answer.ends_with("node second, tenant acme"), "{answer}");
}

#[tokio::test]
async fn a_plugin_that_panics_ends_its_request_alone() {
    let node = Node::start("a").await;
    let binary = env!("CARGO_BIN_EXE_panicking-gateway");
    let gateway = Gateway::start_as(
        binary,
        &document("panic-on-demand: {}", "roundrobin", &[&node]),
    )
    .await;
    let ask = async |phase: &str| {
        let fields = format!("X-Panic-In: {phase}\r\n");
        request_with(gateway.http, "/", "a.test", &fields)
            .await
            .unwrap()
    };
    for phase in ["rewrite", "access", "before_proxy", "header_filter"] {
        // Beside it and after it, others are served.
        let (bad, beside) = tokio::join!(ask(phase), ask("none"));
        assert!(bad.starts_with("HTTP/1.1 500"), "{phase}: {bad}");
        assert!(
            !bad.contains("asked to panic"),
            "the client is not told why: {bad}"
        );
        assert!(beside.ends_with("node a, tenant unknown"), "{beside}");
        let after = ask("none").await;
        assert!(after.starts_with("HTTP/1.1 200"), "{after}");
    }
    let answered = ask("log").await;
    assert!(
        answered.starts_with("HTTP/1.1 200"),
        "the answer is out by then: {answered}"
    );

    // Once for each of the five, and once more where the answer 500 passed the header filter again.
    let counted = "apisix_plugin_panics_total{plugin=\"panic-on-demand\"} 6";
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = request(gateway.metrics, "/apisix/prometheus/metrics", "localhost")
            .await
            .unwrap();
        if page.lines().any(|line| line == counted) {
            break;
        }
        assert!(Instant::now() < deadline, "{counted} is not in:\n{page}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A gateway with one route, ended when it is dropped.
struct Gateway {
    http: SocketAddr,
    metrics: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

impl Gateway {
    async fn start(nodes: &[&Node]) -> Self {
        let plugin = "tenant-header: {domain: shop.example}";
        let document = document(plugin, "first_available", nodes);
        Self::start_as(env!("CARGO_BIN_EXE_my-gateway"), &document).await
    }

    /// A port that is free now may be taken a moment later: then all ports are chosen anew.
    async fn start_as(binary: &str, document: &str) -> Self {
        for _ in 0..5 {
            if let Some(gateway) = Self::try_start(binary, document).await {
                return gateway;
            }
        }
        panic!("the gateway did not become ready; its output is above");
    }

    async fn try_start(binary: &str, document: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let resources = folder.path().join("resources.yaml");
        std::fs::write(&resources, document).unwrap();
        let (http, control, metrics) = (free_port().await, free_port().await, free_port().await);
        let mut process = Command::new(binary)
            .arg("run")
            .env("CROSSWAY_STORE_FILE", &resources)
            .env("CROSSWAY_DATA_DIR", folder.path().join("data"))
            .env("CROSSWAY_LISTEN_HTTP", http.to_string())
            .env("CROSSWAY_CONTROL_LISTEN", control.to_string())
            .env("CROSSWAY_METRICS_LISTEN", metrics.to_string())
            .env("CROSSWAY_ADMIN_ENABLED", "false")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline && process.try_wait().unwrap().is_none() {
            let ready = request(control, "/status/ready", "localhost").await;
            if ready.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
                return Some(Self {
                    http,
                    metrics,
                    _process: process,
                    _folder: folder,
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    }
}

fn document(plugin: &str, balancer: &str, nodes: &[&Node]) -> String {
    let node = |node: &&Node| format!("{{host: 127.0.0.1, port: {}, weight: 1}}", node.port);
    let nodes = nodes.iter().map(node).collect::<Vec<_>>().join(", ");
    format!(
        "routes:
  - id: tenants
    uri: /*
    plugins:
      {plugin}
    upstream:
      type: {balancer}
      nodes: [{nodes}]
#END
"
    )
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

/// An upstream that answers each connection once, with its name and the tenant that it was told.
struct Node {
    port: u16,
    task: JoinHandle<()>,
}

impl Node {
    async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // The gateway may go away in the middle of it, which is no failure of the test.
                answer(stream, name).await.ok();
            }
        });
        Self { port, task }
    }

    /// Closes the port.
    async fn stop(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

async fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let tenant = head
        .lines()
        .find_map(|line| line.strip_prefix("x-tenant: "));
    let body = format!("node {name}, tenant {}", tenant.unwrap_or("unknown"));
    let length = body.len();
    let reply =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(reply.as_bytes()).await
}

async fn get(to: SocketAddr, host: &str) -> std::io::Result<String> {
    request(to, "/", host).await
}

/// The whole answer, as it came.
async fn request(to: SocketAddr, path: &str, host: &str) -> std::io::Result<String> {
    request_with(to, path, host, "").await
}

/// With more header fields, each with its end of line.
async fn request_with(
    to: SocketAddr,
    path: &str,
    host: &str,
    fields: &str,
) -> std::io::Result<String> {
    let exchange = async {
        let mut stream = TcpStream::connect(to).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    tokio::time::timeout(PATIENCE, exchange).await?
}
