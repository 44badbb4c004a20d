//! Signals from logrotate, containers and people who are used to nginx.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Answer, Gateway, PATIENCE, Upstream, eventually, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn log_rotation_opens_the_file_anew_by_either_signal() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let settings = format!("access_log:\n  path: {}\n", file.display());
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    for (number, signal) in [Signal::HUP, Signal::USR1].into_iter().enumerate() {
        let moved = folder.path().join(format!("access.log.{number}"));
        std::fs::rename(&file, &moved).unwrap();
        gateway.signal(signal);
        let target = format!("/after-{number}");
        eventually("the new file is written", PATIENCE, async || {
            gateway.get(&target).await.expect_status(404);
            std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&target))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_rotation_does_not_end_a_gateway_without_access_log() {
    let settings = "access_log:\n  enabled: false\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    for signal in [Signal::HUP, Signal::USR1, Signal::HUP] {
        gateway.signal(signal);
        // Signals are delivered before the next request of another process can be.
        gateway.get("/").await.expect_status(404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sigquit_lets_requests_finish_as_it_does_in_nginx() {
    let upstream = Upstream::start().await;
    upstream.answer(Answer::text("finished").after(Duration::from_millis(700)));
    let mut gateway = Gateway::start().await;
    let route = json!({ "uri": "/slow", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let inflight = tokio::spawn(gateway.get("/slow").send());
    wait_until("the upstream has read the request", PATIENCE, || {
        upstream.hits() > 0
    })
    .await;
    gateway.signal(Signal::QUIT);
    let answer = inflight.await.unwrap().expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
    let status = gateway.ends_within(Duration::from_secs(10)).await;
    assert!(status.success(), "{status:?}");
}
