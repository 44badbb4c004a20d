//! What operators do to a gateway that runs, and what load balancers and systemd see of it.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Gateway, Interface, PATIENCE, Upstream, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn readiness_turns_false_before_connections_are_refused() {
    let upstream = Upstream::answering("ok").await;
    let settings = "shutdown:\n  readiness_delay: 2\n";
    let mut gateway = Gateway::builder().with_settings(settings).start().await;
    let route = json!({ "uri": "/", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let started = Instant::now();
    gateway.ask_to_stop();
    eventually("readiness turns false", PATIENCE, async || {
        gateway.control("/status/ready").await.status == 503
    })
    .await;
    let noticed = started.elapsed();
    assert!(noticed < Duration::from_secs(2), "{noticed:?}");
    while started.elapsed() < Duration::from_millis(1700) {
        // Each on a connection of its own.
        gateway.get("/").await.expect_status(200);
        gateway.control("/status/ready").await.expect_status(503);
    }
    let status = gateway.ends_within(Duration::from_secs(10)).await;
    assert!(status.success(), "{status:?}");
    assert!(started.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_readiness_delay() {
    let settings = "shutdown:\n  readiness_delay: 600\n";
    let mut gateway = Gateway::builder().with_settings(settings).start().await;
    gateway.ask_to_stop();
    eventually("readiness turns false", PATIENCE, async || {
        gateway.control("/status/ready").await.status == 503
    })
    .await;
    gateway.signal(Signal::TERM);
    let status = gateway.ends_within(Duration::from_secs(10)).await;
    assert!(status.success(), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_when_the_gateway_serves_and_when_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let mut gateway = Gateway::builder()
        .with_env("NOTIFY_SOCKET", path.to_str().unwrap())
        .start()
        .await;
    let ready = format!("READY=1\nMAINPID={}", gateway.process_id());
    assert_eq!(told(), ready);
    gateway.terminate(Duration::from_secs(10)).await;
    assert_eq!(told(), "STOPPING=1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_being_used_is_told_that_its_last_answer_was_the_last() {
    let upstream = Upstream::answering("ok").await;
    let mut gateway = Gateway::start().await;
    let route = json!({ "uri": "/", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let request = gateway.get("/");
    let mut connection = gateway.connect().await;
    connection.send(&request).await.unwrap();
    gateway.ask_to_stop();
    eventually("the gateway drains", PATIENCE, async || {
        gateway.control("/status/ready").await.status == 503
    })
    .await;
    // The request was on its way when the gateway stopped accepting.
    let answer = connection.send(&request).await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    gateway.ends_within(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_binary_alone_tells_whether_the_gateway_takes_requests() {
    let mut gateway = Gateway::start().await;
    let control = format!("http://{}", gateway.addr(Interface::Control));
    let ask = async |gateway: &Gateway| gateway.run(&["ready", "--control", &control]).await;
    let answer = ask(&gateway).await;
    assert!(answer.status.success(), "{answer:?}");
    assert_eq!(answer.stdout, b"ready\n");
    gateway.terminate(Duration::from_secs(10)).await;
    let answer = ask(&gateway).await;
    assert_eq!(answer.status.code(), Some(1));
    let error = String::from_utf8_lossy(&answer.stderr);
    assert!(error.contains("does not answer"), "{error}");
}
