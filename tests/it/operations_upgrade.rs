//! Upgrades (SIGUSR2) with everything that may be open at the time: TLS, HTTP/2, TCP, UDP, Unix sockets, writes, reloads.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::stream_nodes::{Client, Node, Streams, UdpClient, UdpNode, upstream};
use crate::support::{
    Answer, Authority, Gateway, Http2, Interface, PATIENCE, Port, Upstream, eventually, wait_until,
};
use crate::upgrade::{Upgraded, runs};

fn ssl(names: &[&str], leaf: &crate::support::Leaf) -> Value {
    json!({ "snis": names, "cert": leaf.certificate_pem, "key": leaf.key_pem })
}

/// Whether nobody has looked at a request: the client knew already that its connection takes no more, or was told so of this
/// very stream, which lies above the last one that is served (RFC 9113 §6.8).
fn is_unsent(error: &std::io::Error) -> bool {
    let error = error.get_ref();
    let Some(error) = error.and_then(|e| e.downcast_ref::<hyper::Error>()) else {
        return false;
    };
    let cause = std::error::Error::source(error).and_then(|e| e.downcast_ref::<h2::Error>());
    let is_above_the_last = cause.is_some_and(|cause| {
        cause.is_go_away() && cause.is_remote() && cause.reason() == Some(h2::Reason::NO_ERROR)
    });
    is_above_the_last || error.is_canceled() || error.is_closed()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_http2_finish_and_their_connection_is_told_to_go() {
    let node = Upstream::answering("ok").await;
    let slow = Upstream::start().await;
    slow.answer(Answer::text("finished").after(Duration::from_millis(2500)));
    let mut gateway = Upgraded::start(Gateway::builder().with_https()).await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway
        .gateway
        .put_all([
            ("/ssls/1", ssl(&["a.test"], &leaf)),
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
    let address = gateway.gateway.addr(Interface::Https);
    let client = authority.client();
    let open = async || {
        Http2::open(address, "a.test", client.clone())
            .await
            .unwrap()
    };

    // Others come and go all the time, on HTTP/2 and on HTTP/1.1.
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (stop, client) = (stop.clone(), client.clone());
        load.spawn(async move {
            let mut answered = 0;
            while !stop.load(Relaxed) {
                let mut connection = Http2::open(address, "a.test", client.clone()).await?;
                for _ in 0..5 {
                    match connection.get("a.test", "/load").await {
                        Ok((200, _)) => answered += 1,
                        // The connection was told to go just before, and the request was never sent on it.
                        Err(error) if is_unsent(&error) => break,
                        other => return Err(std::io::Error::other(format!("{other:?}"))),
                    }
                }
            }
            Ok::<u64, std::io::Error>(answered)
        });
    }
    for _ in 0..3 {
        let before = slow.hits();
        let mut connection = open().await;
        let (status, _) = connection.get("a.test", "/load").await.unwrap();
        assert_eq!(status, 200);
        let streams: Vec<_> = (0..3)
            .map(|_| {
                let mut stream = connection.clone();
                tokio::spawn(async move { stream.get("a.test", "/slow").await })
            })
            .collect();
        wait_until("the streams are open", PATIENCE, || {
            slow.hits() >= before + 3
        })
        .await;
        gateway.upgrade().await;
        for stream in streams {
            let answer = stream.await.unwrap().expect("the stream is finished");
            assert_eq!(answer, (200, "finished".to_owned()));
        }
        eventually("the connection is closed", PATIENCE, async || {
            connection.is_closed().await
        })
        .await;
        let answer = open().await.get("a.test", "/load").await.unwrap();
        assert_eq!(answer, (200, "ok".to_owned()));
    }
    stop.store(true, Relaxed);
    while let Some(client) = load.join_next().await {
        assert!(client.unwrap().expect("no request is lost") > 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_session_goes_on_while_new_ones_go_to_the_new_process() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", route).await;
    let address = streams.tcp();
    let mut session = streams.connect().await;
    assert_eq!(session.line().await.as_deref(), Some("a"));
    let mut gateway = Upgraded::of(streams.gateway);
    let old = gateway.process;
    gateway.upgrade().await;
    for round in 0..20 {
        session.echo(format!("round {round}").as_bytes()).await;
        let mut new = Client::to(address).await;
        assert_eq!(new.line().await.as_deref(), Some("a"));
        new.echo(b"new").await;
    }
    assert!(runs(old), "it has a session to serve");
    drop(session);
    gateway.gateway.ends_within(PATIENCE).await;
    let mut new = Client::to(address).await;
    assert_eq!(new.line().await.as_deref(), Some("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tcp_session_that_does_not_end_is_ended_after_the_drain_timeout() {
    let node = Node::start("a").await;
    let tcp = Port::reserve();
    let settings = format!(
        "shutdown: {{drain_timeout: 1}}\nstream: {{tcp: \"{}\"}}\n",
        tcp.addr()
    );
    let mut gateway = Upgraded::start(Gateway::builder().with_settings(&settings)).await;
    let route = json!({ "upstream": upstream(&[&node.node()]) });
    gateway.gateway.put("/stream_routes/1", route).await;
    let mut session = Client::to(tcp.addr()).await;
    assert_eq!(session.line().await.as_deref(), Some("a"));
    gateway.upgrade().await;
    assert_eq!(session.rest().await, b"");
    gateway.gateway.ends_within(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_are_answered_before_and_after_by_several_processes_in_turn() {
    let node = UdpNode::start("a").await;
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", route).await;
    let address = streams.udp();
    let mut gateway = Upgraded::of(streams.gateway);
    let client = UdpClient::to(address).await;
    for _ in 0..3 {
        eventually("the client is answered", PATIENCE, async || {
            client.ask(b"one").await.as_deref() == Some("a:one")
        })
        .await;
        gateway.upgrade().await;
        let other = UdpClient::to(address).await;
        eventually("a new client is answered", PATIENCE, async || {
            other.ask(b"two").await.as_deref() == Some("a:two")
        })
        .await;
    }
}

/// Asks over a Unix socket; the status, or why there is none.
async fn ask_at(path: &Path) -> Result<String, String> {
    let mut stream = UnixStream::connect(path)
        .await
        .map_err(|e| format!("connect: {e}"))?;
    let request = b"GET /unix HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    stream
        .write_all(request)
        .await
        .map_err(|e| format!("write: {e}"))?;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    read.map_err(|_| "no answer in time")?
        .map_err(|e| format!("read: {e}"))?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.starts_with("HTTP/1.1 200") {
        true => Ok(answer.into_owned()),
        false => Err(answer.into_owned()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_answers_all_the_time() {
    let node = Upstream::answering("ok").await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traffic.sock");
    let settings = format!("listen:\n  unix: [\"{}\"]\n", path.display());
    let mut gateway = Upgraded::start(Gateway::builder().with_settings(&settings)).await;
    let route = json!({ "uri": "/unix", "upstream": node.document() });
    gateway.gateway.put("/routes/1", route).await;
    let stop = Arc::new(AtomicBool::new(false));
    let client = tokio::spawn({
        let (stop, path) = (stop.clone(), path.clone());
        async move {
            let mut answered = 0;
            while !stop.load(Relaxed) {
                ask_at(&path).await?;
                answered += 1;
            }
            Ok::<u64, String>(answered)
        }
    });
    for _ in 0..3 {
        gateway.upgrade().await;
    }
    stop.store(true, Relaxed);
    assert!(client.await.unwrap().expect("no request is lost") > 0);
    let last = gateway.process;
    gateway.signal(Signal::TERM);
    wait_until("the last process ends", PATIENCE, || !runs(last)).await;
    assert!(!path.exists());
}

const FILE: &str = "routes:\n  - id: 1\n    uri: /one\n    upstream: {nodes: {\"NODE\": 1}}\n";

fn resources(node: &Upstream, uri: &str) -> String {
    FILE.replace("NODE", &node.addr().to_string())
        .replace("/one", uri)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declarative_file_is_read_by_the_new_process_too() {
    let node = Upstream::answering("ok").await;
    let gateway = Gateway::builder().with_file(&resources(&node, "/one"));
    let mut gateway = Upgraded::start(gateway).await;
    gateway.gateway.get("/one").await.expect_status(200);
    gateway.upgrade().await;
    gateway.gateway.get("/one").await.expect_status(200);

    // Written at the same moment: the new process has read it before it serves, or follows.
    let file = gateway.gateway.folder().join("resources.yaml");
    std::fs::write(&file, resources(&node, "/two")).unwrap();
    gateway.upgrade().await;
    eventually("the new file serves", PATIENCE, async || {
        gateway.gateway.get("/two").await.status == 200
    })
    .await;
    gateway.gateway.get("/one").await.expect_status(404);

    // With a broken file there is nothing that the new one could serve. The old one has its last good form.
    std::fs::write(&file, "routes: [\n").unwrap();
    gateway.signal(Signal::USR2);
    gateway.says("no other gateway took over").await;
    gateway.gateway.get("/two").await.expect_status(200);
    std::fs::write(&file, resources(&node, "/three")).unwrap();
    gateway.upgrade().await;
    gateway.gateway.get("/three").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_being_compiled_is_not_lost() {
    let node = Upstream::answering("ok").await;
    let mut gateway = Upgraded::start(Gateway::builder()).await;
    let admin = gateway.gateway.admin();
    let many: Vec<Value> = (0..3000)
        .map(|n| json!({ "id": format!("r{n}"), "uri": format!("/r{n}"), "upstream": node.document() }))
        .collect();
    let whole = json!({ "routes": many });
    for round in 0..3 {
        let mut whole = whole.clone();
        whole["routes"][0]["uri"] = json!(format!("/round-{round}"));
        let writer = tokio::spawn({
            let admin = admin.clone();
            async move {
                let mut acknowledged = Vec::new();
                for route in whole["routes"].as_array().unwrap().iter().take(150) {
                    let path = format!("/routes/{}", route["id"].as_str().unwrap());
                    let mut document = route.clone();
                    document.as_object_mut().unwrap().remove("id");
                    let started = Instant::now();
                    loop {
                        // What is refused, or gets no answer, is tried again as a client would.
                        if let Ok(answer) = admin.put(&path, &document).send().await
                            && matches!(answer.status, 200 | 201)
                        {
                            break;
                        }
                        assert!(started.elapsed() < PATIENCE, "writes are refused for good");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    acknowledged.push((path, document["uri"].clone()));
                }
                acknowledged
            }
        });
        gateway.upgrade().await;
        let acknowledged = writer.await.unwrap();
        for (path, uri) in acknowledged {
            let stored = admin.get(&path).await.expect_status(200).json();
            assert_eq!(stored["value"]["uri"], uri);
        }
        gateway.gateway.settle().await;
        let target = format!("/round-{round}");
        gateway.gateway.get(&target).await.expect_status(200);
        gateway.gateway.get("/r149").await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_in_a_row_start_one_process_each_time() {
    let node = Upstream::answering("ok").await;
    let mut gateway = Upgraded::start(Gateway::builder()).await;
    let route = json!({ "uri": "/", "upstream": node.document() });
    gateway.gateway.put("/routes/1", route).await;
    for _ in 0..3 {
        // Whoever is impatient signals again; the process that leaves takes no notice of it.
        for _ in 0..5 {
            gateway.signal(Signal::USR2);
        }
        gateway.upgrade().await;
        gateway.gateway.get("/").await.expect_status(200);
    }
    let log = gateway.gateway.log();
    let taken = log.matches("another gateway has taken over").count();
    assert_eq!(taken, 3, "{log}");
    assert!(!log.contains("no other gateway took over"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_awaited_a_restart_is_taken_by_the_process_that_takes_over() {
    let node = Upstream::answering("ok").await;
    let mut gateway = Upgraded::start(Gateway::builder()).await;
    let route = json!({ "uri": "/", "upstream": node.document() });
    gateway.gateway.put("/routes/1", route).await;
    let file = gateway.gateway.folder().join("crossway.yaml");
    let tcp = Port::reserve();
    let good = std::fs::read_to_string(&file).unwrap();
    let more = format!(
        "{good}stream: {{tcp: \"{}\"}}\nserver_header: new\n",
        tcp.addr()
    );
    std::fs::write(&file, more).unwrap();
    gateway.signal(Signal::HUP);
    let awaiting = async |gateway: &Upgraded| {
        let status = gateway.gateway.control("/v1/status").await.json();
        status["settings"]["awaiting_restart"].clone()
    };
    eventually("it waits", PATIENCE, async || {
        awaiting(&gateway).await[0]["key"] == json!("stream.tcp")
    })
    .await;
    let answer = gateway.gateway.get("/").await;
    assert_eq!(answer.header("server"), Some("new"));
    assert!(tokio::net::TcpStream::connect(tcp.addr()).await.is_err());
    gateway.upgrade().await;
    assert_eq!(awaiting(&gateway).await, json!([]));
    assert!(tokio::net::TcpStream::connect(tcp.addr()).await.is_ok());
    let answer = gateway.gateway.get("/").await;
    assert_eq!(answer.header("server"), Some("new"));

    // A reload during an upgrade disturbs neither.
    gateway.signal(Signal::USR2);
    gateway.signal(Signal::HUP);
    gateway.upgrade().await;
    let answer = gateway.gateway.get("/").await.expect_status(200);
    assert_eq!(answer.header("server"), Some("new"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_stays_ready_while_processes_change() {
    let settings = "shutdown:\n  readiness_delay: 2\n";
    let mut gateway = Upgraded::start(Gateway::builder().with_settings(settings)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (stop, control) = (stop.clone(), gateway.gateway.addr(Interface::Control));
        async move {
            let mut answers = 0;
            while !stop.load(Relaxed) {
                let ask = crate::support::Request::new(control, "GET", "/status/ready");
                match ask.send().await {
                    Ok(answer) if answer.status == 200 => answers += 1,
                    Ok(answer) => return Err(format!("{} {}", answer.status, answer.text())),
                    Err(error) => return Err(error.to_string()),
                }
            }
            Ok(answers)
        }
    });
    for _ in 0..3 {
        gateway.upgrade().await;
    }
    stop.store(true, Relaxed);
    assert!(asking.await.unwrap().expect("ready all the time") > 0);
}
