//! Nodes on Unix sockets.

use serde_json::json;

use crate::support::{Gateway, PATIENCE, Say, Scripted, eventually, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_checks_reach_a_node_on_a_unix_socket_and_its_connection_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let node = Scripted::start_unix(&path, |_| Say::Keep(OK.into())).await;
    let settings = format!(
        "upstream: {{unix_sockets: [\"{}\"]}}\naccess_log: {{template: \"$upstream_addr\"}}\n",
        folder.path().display()
    );
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    let host = format!("unix:{}", path.display());
    let check = json!({ "type": "http", "http_path": "/health", "healthy": { "interval": 1 } });
    for nodes in [
        json!({ host.clone(): 1 }),
        json!([{ "host": host, "weight": 1 }]),
    ] {
        let upstream = json!({
            "type": "roundrobin", "nodes": nodes, "pass_host": "node", "checks": { "active": check },
        });
        gateway
            .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
            .await;
        let before = node.heard().len();
        for _ in 0..3 {
            gateway.get("/x").await.expect_status(200);
        }
        let heard = node.heard();
        let asked: Vec<_> = heard[before..]
            .iter()
            .filter(|h| h.text().starts_with("GET /x "))
            .collect();
        assert_eq!(asked.len(), 3, "{heard:?}");
        assert!(
            asked.iter().all(|h| h.connection == asked[0].connection),
            "{heard:?}"
        );
        let head = asked[0].text().to_lowercase();
        assert!(head.contains("\r\nhost: localhost\r\n"), "{head}");
    }
    wait_until("it is checked", PATIENCE, || {
        node.heard().iter().any(|heard| {
            let text = heard.text().to_lowercase();
            text.starts_with("get /health ") && text.contains("\r\nhost: localhost\r\n")
        })
    })
    .await;
    drop(node);
    eventually("the node is missed", PATIENCE, async || {
        matches!(gateway.get("/x").await.status, 502 | 503)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_the_settings_do_not_name_is_refused() {
    let settings = "upstream: {unix_sockets: [/run/crossway-apps]}\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let inside = "unix:/run/crossway-apps/a.sock";
    for (node, fields, said) in [
        ("unix:/run/docker.sock", json!({}), "name no directory"),
        (
            "unix:/run/crossway-apps/../docker.sock",
            json!({}),
            "absolute path",
        ),
        (
            inside,
            json!({ "scheme": "https" }),
            "the scheme is http, grpc or tcp",
        ),
        (
            inside,
            json!({ "checks": { "active": { "port": 80, "healthy": { "interval": 1 } } } }),
            "no other port",
        ),
        ("unix:a.sock", json!({}), "invalid node address"),
    ] {
        let mut upstream = json!({ "type": "roundrobin", "nodes": { node: 1 } });
        upstream
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let answer = gateway.admin().put("/upstreams/1", &upstream).await;
        assert_eq!(answer.status, 400, "{node}: {}", answer.text());
        assert!(answer.text().contains(said), "{node}: {}", answer.text());
    }
    let upstream = json!({ "type": "roundrobin", "nodes": { inside: 1 } });
    gateway.put("/upstreams/1", upstream).await;
}
