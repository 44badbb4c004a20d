//! Documents in a file: swapped when it changes, kept when it breaks.

use std::time::{Duration, Instant};

use crate::support::{Gateway, PATIENCE, Response, Upstream, eventually, eventually_matches};

/// Where the control API tells which revision serves and why a change was refused.
const STATE: &str = "/v1/status";

fn resources(upstream: &Upstream, path: &str) -> String {
    format!(
        "routes:\n  - id: r1\n    uri: {path}\n    upstream:\n      type: roundrobin\n      nodes:\n        \
         \"{}\": 1\n#END\n",
        upstream.node()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_served_and_swapped_within_a_second() {
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::builder()
        .with_file(&resources(&upstream, "/one"))
        .start()
        .await;
    gateway.get("/one").await.expect_status(200);

    gateway.write_file(&resources(&upstream, "/two"));
    let written = Instant::now();
    eventually("the new file is live", PATIENCE, async || {
        gateway.get("/two").await.status == 200
    })
    .await;
    // One second is promised; the rest is for two busy cores.
    assert!(
        written.elapsed() < Duration::from_millis(2500),
        "{:?}",
        written.elapsed()
    );
    gateway.get("/one").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_the_control_api_says_why() {
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::builder()
        .with_file(&resources(&upstream, "/one"))
        .start()
        .await;
    let good = resources(&upstream, "/one");
    for (broken, word) in [
        (
            "routes:\n  - id: r1\n    uri: [\n#END\n".to_owned(),
            "resources.yaml",
        ),
        (good.replace("upstream:", "upstreem:"), "upstreem"),
        (good.replace("uri: /one", "uri: 5"), "/uri"),
    ] {
        gateway.write_file(&broken);
        let shows = |answer: &Response| answer.status == 200 && answer.text().contains(word);
        let ask = async || gateway.control(STATE).await;
        eventually_matches("the problem is shown", PATIENCE, ask, shows).await;
        gateway.get("/one").await.expect_status(200);
        gateway.control("/status/ready").await.expect_status(200);
    }

    gateway.write_file(&resources(&upstream, "/repaired"));
    eventually("the repaired file is live", PATIENCE, async || {
        gateway.get("/repaired").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_disappears_changes_nothing() {
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::builder()
        .with_file(&resources(&upstream, "/one"))
        .start()
        .await;
    std::fs::remove_file(gateway.folder().join("resources.yaml")).unwrap();
    let gone = Instant::now();
    while gone.elapsed() < Duration::from_secs(2) {
        gateway.get("/one").await.expect_status(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    gateway.write_file(&resources(&upstream, "/two"));
    eventually("the file that came back is live", PATIENCE, async || {
        gateway.get("/two").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_shows_but_does_not_change_a_file() {
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::builder()
        .with_file(&resources(&upstream, "/one"))
        .start()
        .await;
    let shown = gateway
        .admin()
        .get("/routes/r1")
        .await
        .expect_status(200)
        .json();
    assert_eq!(shown["value"]["uri"], "/one");
    let route = serde_json::json!({ "uri": "/x", "upstream": upstream.document() });
    let refused = gateway.admin().put("/routes/r2", &route).await;
    assert!(
        (400..500).contains(&refused.status),
        "{} {}",
        refused.status,
        refused.text()
    );
    gateway.get("/x").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_and_explain_answer_without_a_running_gateway() {
    let upstream = Upstream::answering("ok").await;
    let good = resources(&upstream, "/one");
    let gateway = Gateway::builder().with_file(&good).start().await;
    let checked = gateway.command(&["check"]).await;
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );

    let file = gateway.folder().join("other.yaml");
    std::fs::write(&file, good.replace("uri: /one", "uri: 5")).unwrap();
    let refused = gateway
        .command(&["check", "--resources", file.to_str().unwrap()])
        .await;
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(
        text.contains("uri") && text.contains("r1"),
        "names what and where: {text}"
    );

    let explained = gateway
        .command(&[
            "explain",
            "--method",
            "GET",
            "--host",
            "a.example",
            "--uri",
            "/one",
        ])
        .await;
    assert!(explained.status.success());
    assert!(String::from_utf8_lossy(&explained.stdout).contains("r1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_in_which_line_a_file_is_wrong() {
    let gateway = Gateway::start().await;
    let route = "    plugins: {request-id: {}}\n";
    for (text, line, word) in [
        (
            format!("routes:\n  - id: 1\n    uri: /a\n{route}  - id: 1\n    uri: /b\n{route}#END\n"),
            5,
            "twice",
        ),
        ("routes:\n  - id: 1\n   uri: /a\n#END\n".to_owned(), 3, ""),
        ("\nroots:\n  - id: 1\n#END\n".to_owned(), 2, "roots"),
        (format!("routes:\n  - id: a/b\n    uri: /a\n{route}#END\n"), 2, "slash"),
        (
            format!("routes:\n  - id: 1\n    uri: /a\n{route}ssls:\n  - id: 1\n    snis: [a.test]\n#END\n"),
            6,
            "cert",
        ),
        (
            "upstreams:\n  - id: 1\n    scheme: tcp\n    nodes: {\"127.0.0.1:1\": 1}\nroutes:\n  - id: 1\n    uri: /a\n    upstream_id: 1\n#END\n".to_owned(),
            6,
            "an HTTP route needs http, https, grpc or grpcs",
        ),
    ] {
        let file = gateway.folder().join("wrong.yaml");
        std::fs::write(&file, &text).unwrap();
        let file = file.to_str().unwrap();
        let refused = gateway.command(&["check", "--resources", file]).await;
        assert_eq!(refused.status.code(), Some(1), "{text}");
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let place = format!("{file}:{line}:");
        assert!(said.contains(&place) && said.contains(word), "expected {place} {word} in {said}");
    }
}
