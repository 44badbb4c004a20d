//! TLS towards upstreams: whom the gateway trusts, whom it says it is, and that nothing is shared between the two.

use serde_json::{Value, json};

use crate::support::{Authority, Gateway, Leaf, Upstream};

/// An upstream document over TLS that asks for, and verifies, this name.
fn document(upstream: &Upstream, name: &str, tls: Value) -> Value {
    json!({
        "scheme": "https", "nodes": { upstream.node(): 1 },
        "pass_host": "rewrite", "upstream_host": name, "tls": tls, "retries": 0,
    })
}

fn route(uri: &str, upstream: Value) -> Value {
    json!({ "uri": uri, "upstream": upstream })
}

async fn status(gateway: &Gateway, path: &str) -> u16 {
    gateway.get(path).await.status
}

fn client_ssl(leaf: &Leaf) -> Value {
    json!({ "type": "client", "cert": leaf.certificate_pem, "key": leaf.key_pem })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_name_its_authorities() {
    let gateway = Gateway::start().await;
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let upstream = Upstream::start_with(one.issue(&["node.test"]).server(None)).await;
    let trusting = |name: &str, authorities: &[&Authority]| {
        let pems: Vec<String> = authorities.iter().map(|a| a.pem()).collect();
        document(&upstream, name, json!({ "ca_certs": pems }))
    };
    gateway
        .put_all([
            (
                "/routes/good",
                route("/good", trusting("node.test", &[&one])),
            ),
            (
                "/routes/two",
                route("/two", trusting("node.test", &[&other, &one])),
            ),
            (
                "/routes/bad",
                route("/bad", trusting("node.test", &[&other])),
            ),
            ("/routes/name", route("/name", trusting("b.test", &[&one]))),
            (
                "/routes/system",
                route("/system", document(&upstream, "node.test", json!({}))),
            ),
            (
                "/routes/none",
                route(
                    "/none",
                    document(&upstream, "b.test", json!({ "verify": false })),
                ),
            ),
        ])
        .await;
    // Twice, and the good ones first: what one may use, lies idle for the other to take.
    for _ in 0..2 {
        for (path, expected) in [
            ("/good", 200),
            ("/two", 200),
            ("/none", 200),
            ("/bad", 502),
            ("/name", 502),
            ("/system", 502),
        ] {
            assert_eq!(status(&gateway, path).await, expected, "{path}");
        }
    }
    assert_eq!(upstream.hits(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_hold_the_authorities_of_all_upstreams() {
    let authority = Authority::new("internal");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let settings = format!("upstream: {{ca_file: \"{}\"}}", file.display());
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    let upstream = Upstream::start_with(authority.issue(&["node.test"]).server(None)).await;
    let foreign = Authority::new("foreign").issue(&["node.test"]);
    let stranger = Upstream::start_with(foreign.server(None)).await;
    gateway
        .put_all([
            (
                "/routes/1",
                route("/a", document(&upstream, "node.test", json!({}))),
            ),
            (
                "/routes/2",
                route("/b", document(&stranger, "node.test", json!({}))),
            ),
        ])
        .await;
    assert_eq!(status(&gateway, "/a").await, 200);
    assert_eq!(status(&gateway, "/b").await, 502);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_name_no_authorities_are_refused() {
    let gateway = Gateway::start().await;
    for content in [None, Some("no certificate")] {
        let file = gateway.folder().join("ca.pem");
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let settings = gateway.folder().join("crossway.yaml");
        let text = format!("upstream: {{ca_file: \"{}\"}}\n", file.display());
        std::fs::write(settings, text).unwrap();
        let output = gateway.command(&["check"]).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{content:?}: {said}");
        assert!(said.contains("settings: upstream.ca_file: "), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_shown_and_never_lent() {
    let gateway = Gateway::start().await;
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let tls = servers.issue(&["node.test"]).server(Some(&clients));
    let upstream = Upstream::start_with(tls).await;
    let (good, foreign) = (
        clients.issue(&["gateway"]),
        Authority::new("clients").issue(&["gateway"]),
    );
    let shown = |leaf: &Leaf| {
        json!({
            "ca_certs": [servers.pem()],
            "client_cert": leaf.certificate_pem, "client_key": leaf.key_pem,
        })
    };
    let to = |tls: Value| document(&upstream, "node.test", tls);
    gateway
        .put_all([
            ("/ssls/own", client_ssl(&good)),
            ("/routes/1", route("/inline", to(shown(&good)))),
            (
                "/routes/2",
                route(
                    "/id",
                    to(json!({ "ca_certs": [servers.pem()], "client_cert_id": "own" })),
                ),
            ),
            ("/routes/3", route("/foreign", to(shown(&foreign)))),
            (
                "/routes/4",
                route("/none", to(json!({ "ca_certs": [servers.pem()] }))),
            ),
        ])
        .await;
    for _ in 0..2 {
        for (path, expected) in [
            ("/inline", 200),
            ("/id", 200),
            ("/foreign", 502),
            ("/none", 502),
        ] {
            assert_eq!(status(&gateway, path).await, expected, "{path}");
        }
    }
    // A change of the ssl reaches the upstream that names it.
    gateway.put("/ssls/own", client_ssl(&foreign)).await;
    assert_eq!(status(&gateway, "/id").await, 502);
    gateway.put("/ssls/own", client_ssl(&good)).await;
    assert_eq!(status(&gateway, "/id").await, 200);
    assert_eq!(status(&gateway, "/inline").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssl_of_type_client_serves_no_clients() {
    let gateway = Gateway::builder().with_https().start().await;
    let authority = Authority::new("servers");
    let mut document = client_ssl(&authority.issue(&["a.test"]));
    document["sni"] = json!("a.test");
    gateway.put("/ssls/1", document).await;
    assert!(
        gateway
            .connect_tls("a.test", authority.client())
            .await
            .is_err()
    );
}
