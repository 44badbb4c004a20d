//! SIGUSR2: another process takes the place of the gateway, and nobody notices.

use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::stream_nodes::{Streams, UdpClient, UdpNode, upstream};
use crate::support::{
    Answer, Builder, Connection, Gateway, PATIENCE, Upstream, eventually, wait_until,
};

/// A gateway and the process that serves in its place. That one is ended with this.
pub struct Upgraded {
    pub gateway: Gateway,
    pub process: u32,
}

impl Upgraded {
    pub async fn start(builder: Builder) -> Self {
        Self::of(builder.start().await)
    }

    pub fn of(gateway: Gateway) -> Self {
        let process = gateway.process_id();
        Self { gateway, process }
    }

    /// The process that answers the control API; `None` between two of them.
    pub async fn answering(&self) -> Option<u32> {
        let answer = self.gateway.control("/v1/status").send().await.ok()?;
        let status: Value = serde_json::from_slice(&answer.body).ok()?;
        u32::try_from(status["pid"].as_u64()?).ok()
    }

    pub fn signal(&self, signal: Signal) {
        send(self.process, signal);
    }

    /// Has another process take over, and waits until it serves.
    pub async fn upgrade(&mut self) {
        let old = self.process;
        self.signal(Signal::USR2);
        let started = Instant::now();
        while self.process == old {
            assert!(started.elapsed() < PATIENCE, "no other process serves");
            if let Some(process) = self.answering().await {
                self.process = process;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the log says so.
    pub async fn says(&self, text: &str) {
        wait_until(text, PATIENCE, || self.gateway.log().contains(text)).await;
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        // The first process is the harness's own, and may be reaped already.
        if self.process != self.gateway.process_id() && runs(self.process) {
            send(self.process, Signal::KILL);
        }
    }
}

fn send(process: u32, signal: Signal) {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(id.expect("a process id"), signal).expect("send a signal");
}

/// Whether it has not ended. One that nobody has asked about after its end counts as ended.
pub fn runs(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// KiB of memory that it holds.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// Asks again and again on one connection, and on a new one when the gateway says that it was the last answer.
async fn keeps_asking(
    gateway: (std::net::SocketAddr, &'static str),
    stop: &AtomicBool,
    reuse: bool,
) -> Result<u64, String> {
    let (address, target) = gateway;
    let request = crate::support::Request::new(address, "GET", target);
    let mut connection: Option<Connection> = None;
    let mut answered = 0;
    while !stop.load(Relaxed) {
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::open(address)
                .await
                .map_err(|e| format!("connect: {e}"))?,
        };
        let answer = open.send(&request).await;
        let answer = answer.map_err(|e| format!("after {answered} answers: {e}"))?;
        if answer.status != 200 {
            return Err(format!("{} {}", answer.status, answer.text()));
        }
        answered += 1;
        if reuse && answer.header("connection") != Some("close") {
            connection = Some(open);
        }
    }
    Ok(answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_upgrades_under_load_lose_no_request_and_no_acknowledged_write() {
    let upgrades = 20;
    let node = Upstream::answering("ok").await;
    let slow = Upstream::start().await;
    slow.answer(Answer::text("finished").after(Duration::from_millis(2500)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.sock");
    let settings = format!("listen:\n  unix: [\"{}\"]\n", path.display());
    let mut gateway = Upgraded::start(Gateway::builder().with_settings(&settings)).await;
    let here = &gateway.gateway;
    here.put_all([
        (
            "/routes/load",
            json!({ "uri": "/load", "upstream": node.document() }),
        ),
        (
            "/routes/slow",
            json!({ "uri": "/slow", "upstream": slow.document() }),
        ),
    ])
    .await;
    let address = here.addr(crate::support::Interface::Http);

    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..4 {
        let stop = stop.clone();
        clients.spawn(async move { keeps_asking((address, "/load"), &stop, number < 2).await });
    }
    let written = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn({
        let (stop, written, admin) = (stop.clone(), written.clone(), here.admin());
        let document = json!({ "uri": "/written", "upstream": node.document() });
        async move {
            let mut refused = 0;
            while !stop.load(Relaxed) {
                let next = written.load(Relaxed);
                let write = admin.put(&format!("/routes/w{next}"), &document);
                match write.send().await {
                    Ok(answer) if matches!(answer.status, 200 | 201) => {
                        written.fetch_add(1, Relaxed);
                    }
                    // To be tried again, as is what got no answer.
                    Ok(answer) if answer.status == 503 => refused += 1,
                    Ok(answer) => panic!("{} {}", answer.status, answer.text()),
                    Err(_) => refused += 1,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            refused
        }
    });

    let mut figures = Vec::new();
    for _ in 0..upgrades {
        let before = slow.hits();
        let long = tokio::spawn(gateway.gateway.get("/slow").send());
        wait_until("a long request is under way", PATIENCE, || {
            slow.hits() > before
        })
        .await;
        let mut idle = gateway.gateway.connect().await;
        let old = gateway.process;
        gateway.upgrade().await;
        let answer = long.await.unwrap().expect("the long request is answered");
        assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
        assert!(idle.closes_within(PATIENCE).await, "nobody serves it");
        if old == gateway.gateway.process_id() {
            gateway.gateway.ends_within(PATIENCE).await;
        }
        wait_until("the old process is gone", PATIENCE, || !runs(old)).await;
        assert!(path.exists(), "the Unix socket stays");
        figures.push((descriptors(gateway.process), resident(gateway.process)));
    }
    stop.store(true, Relaxed);
    let refused = writer.await.unwrap();
    let mut answered = 0;
    for outcome in clients.join_all().await {
        answered += outcome.expect("no request is lost");
    }
    let written = written.load(Relaxed);
    println!("{answered} answers, {written} writes, {refused} refused, {figures:?}");
    assert!(answered > 100 && written > 20, "there was load");
    for number in 0..written {
        let path = format!("/routes/w{number}");
        gateway.gateway.admin().get(&path).await.expect_status(200);
    }
    let (first, last) = (figures[1], figures[upgrades - 1]);
    assert!(last.0 <= first.0 + 8, "descriptors: {figures:?}");
    assert!(last.1 <= first.1 * 3 / 2 + 20_000, "memory: {figures:?}");

    let last = gateway.process;
    gateway.signal(Signal::TERM);
    wait_until("the last process ends", PATIENCE, || !runs(last)).await;
    assert!(!path.exists(), "the Unix socket goes with the last process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_start_leaves_the_old_one_serving() {
    let node = Upstream::answering("ok").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.sock");
    let settings = format!("listen:\n  unix: [\"{}\"]\n", path.display());
    let mut gateway = Upgraded::start(Gateway::builder().with_settings(&settings)).await;
    let route = json!({ "uri": "/", "upstream": node.document() });
    gateway.gateway.put("/routes/1", route.clone()).await;

    let file = gateway.gateway.folder().join("crossway.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}treads: 2\n")).unwrap();
    gateway.signal(Signal::USR2);
    gateway.says("no other gateway took over").await;
    gateway.says("treads").await;

    // It has the sockets and the store before it finds out that an address is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    std::fs::write(&file, format!("{good}stream:\n  tcp: \"{address}\"\n")).unwrap();
    gateway.signal(Signal::USR2);
    let why = format!("stream.tcp: cannot listen on {address}");
    gateway.says(&why).await;
    let log = || gateway.gateway.log();
    wait_until("it gives up", PATIENCE, || {
        log().matches("no other gateway took over").count() == 2
    })
    .await;

    assert_eq!(gateway.answering().await, Some(gateway.process));
    assert!(path.exists());
    gateway
        .gateway
        .control("/status/ready")
        .await
        .expect_status(200);
    gateway.gateway.get("/").await.expect_status(200);
    gateway.gateway.put("/routes/2", route).await;
    let status = gateway.gateway.control("/v1/status").await.json();
    assert_eq!(status["store"]["trouble"], Value::Null);

    std::fs::write(&file, good).unwrap();
    gateway.upgrade().await;
    gateway.gateway.get("/").await.expect_status(200);
    gateway
        .gateway
        .admin()
        .get("/routes/2")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_memory_is_not_thrown_away() {
    let gateway = Gateway::builder().with_env("CROSSWAY_STORE_KIND", "memory");
    let gateway = Upgraded::start(gateway).await;
    gateway
        .gateway
        .put(
            "/routes/1",
            json!({ "uri": "/", "plugins": {} , "upstream": Upstream::start().await.document() }),
        )
        .await;
    gateway.signal(Signal::USR2);
    gateway.says("the store is in memory").await;
    gateway
        .gateway
        .admin()
        .get("/routes/1")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_learns_which_process_serves_and_not_that_the_old_one_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let ready = |process: u32| format!("READY=1\nMAINPID={process}");
    let gateway = Gateway::builder().with_env("NOTIFY_SOCKET", path.to_str().unwrap());
    let mut gateway = Upgraded::start(gateway).await;
    assert_eq!(told(), ready(gateway.process));
    gateway.upgrade().await;
    assert_eq!(told(), ready(gateway.process));
    let status = gateway.gateway.ends_within(PATIENCE).await;
    assert!(status.success(), "{status:?}");
    gateway.signal(Signal::TERM);
    assert_eq!(told(), "STOPPING=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_go_to_the_new_process() {
    let node = UdpNode::start("a").await;
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", route).await;
    let client = UdpClient::to(streams.udp()).await;
    let address = streams.udp();
    let mut gateway = Upgraded::of(streams.gateway);
    gateway.upgrade().await;
    gateway.gateway.ends_within(PATIENCE).await;
    eventually("the old client is answered", PATIENCE, async || {
        client.ask(b"one").await.as_deref() == Some("a:one")
    })
    .await;
    let other = UdpClient::to(address).await;
    eventually("a new client is answered", PATIENCE, async || {
        other.ask(b"two").await.as_deref() == Some("a:two")
    })
    .await;
}
