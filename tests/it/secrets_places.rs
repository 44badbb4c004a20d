//! Where references to secrets count beside credentials, plugins and certificates for clients: metadata of plugins, and what upstreams
//! show and believe.

use serde_json::{Value, json};

use crate::secrets::{Vault, comes_to, gateway};
use crate::support::{Answer, Authority, Gateway, Leaf, PATIENCE, Upstream, eventually};

async fn route_comes_to(gateway: &Gateway, path: &str, expected: u16) {
    eventually(&format!("{path} gives {expected}"), PATIENCE, async || {
        gateway.get(path).await.status == expected
    })
    .await;
}

async fn unresolved(gateway: &Gateway) -> Vec<(String, String)> {
    let standing = gateway.control("/v1/status").await.json();
    let all = standing["secrets"]["unresolved"]
        .as_array()
        .unwrap()
        .clone();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.iter()
        .map(|one| (text(&one["key"]), text(&one["path"])))
        .collect()
}

fn logged(route: &str, upstream: &Upstream, collector: &Upstream, plugin: &str) -> Value {
    let logger = json!({ "uri": format!("http://{}/", collector.addr()), "batch_max_size": 1 });
    json!({ "uri": route, "upstream": upstream.document(), "plugins": { plugin: logger } })
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_may_refer_to_secrets_and_without_them_nothing_gets_past_its_plugin() {
    let (gateway, upstream, collector) = (
        gateway().await,
        Upstream::start().await,
        Upstream::answering("").await,
    );
    let vault = Vault::start().await;
    gateway.put("/secrets/vault/1", vault.document()).await;
    gateway
        .put(
            "/routes/1",
            logged("/logged", &upstream, &collector, "http-logger"),
        )
        .await;
    gateway
        .put(
            "/routes/2",
            json!({ "uri": "/plain", "upstream": upstream.document() }),
        )
        .await;
    route_comes_to(&gateway, "/logged", 200).await;

    let format = json!({ "log_format": { "stamp": "$secret://vault/1/log/stamp" } });
    gateway.put("/plugin_metadata/http-logger", format).await;
    route_comes_to(&gateway, "/logged", 503).await;
    gateway.get("/plain").await.expect_status(200);
    let expected = (
        "plugin_metadata/http-logger".to_owned(),
        "/log_format/stamp".to_owned(),
    );
    assert_eq!(unresolved(&gateway).await, [expected]);

    let says = async |stamp: &str| {
        eventually(stamp, PATIENCE, async || {
            gateway.get("/logged").await;
            let requests = collector.requests();
            let last = requests
                .last()
                .map(|r| String::from_utf8_lossy(&r.body).into_owned());
            last.is_some_and(|body| body.contains(stamp))
        })
        .await;
    };
    vault.put("log", json!({ "stamp": "of-the-first-day" }));
    says("of-the-first-day").await;
    vault.put("log", json!({ "stamp": "of-the-second-day" }));
    says("of-the-second-day").await;
    let shown = gateway
        .admin()
        .get("/plugin_metadata/http-logger")
        .await
        .text();
    assert!(shown.contains("$secret://vault/1/log/stamp"), "{shown}");
    let format = json!({ "log_format": { "stamp": "$env://NOBODY" } });
    let refused = gateway
        .admin()
        .put("/plugin_metadata/http-logger", &format)
        .await;
    let said = refused.expect_status(400).text();
    assert!(
        said.contains("no variable NOBODY (at /log_format/stamp)"),
        "{said}"
    );
    assert!(!gateway.log().contains("-day"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_a_plugin_inside_of_another_counts_as_well() {
    let (gateway, upstream, vault) = (
        gateway().await,
        Upstream::start().await,
        Vault::start().await,
    );
    gateway.put("/secrets/vault/1", vault.document()).await;
    let limit = json!({ "count": 1000, "time_window": 60 });
    let actions = json!({ "rules": [{ "actions": [["limit-count", limit]] }] });
    let route = json!({
        "uri": "/*", "upstream": upstream.document(), "plugins": { "workflow": actions }
    });
    gateway.put("/routes/1", route).await;
    route_comes_to(&gateway, "/", 200).await;
    let names = json!({ "limit_header": "$secret://vault/1/names/limit" });
    gateway
        .admin()
        .put("/plugin_metadata/limit-count", &names)
        .await
        .expect_status(201);
    route_comes_to(&gateway, "/", 503).await;
    vault.put("names", json!({ "limit": "X-Of-The-Secret" }));
    eventually("the header has its name", PATIENCE, async || {
        let answer = gateway.get("/").await;
        answer.status == 200 && answer.header("x-of-the-secret") == Some("1000")
    })
    .await;
}

fn over_tls(node: &Upstream, tls: Value) -> Value {
    json!({
        "scheme": "https", "nodes": { node.node(): 1 }, "pass_host": "rewrite",
        "upstream_host": "node.test", "retries": 0, "tls": tls
    })
}

fn fields(leaf: &Leaf) -> Value {
    json!({ "cert": leaf.certificate_pem, "key": leaf.key_pem })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_shows_and_believes_may_be_in_vault() {
    let (gateway, vault) = (gateway().await, Vault::start().await);
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let node = Upstream::start_with(servers.issue(&["node.test"]).server(Some(&clients))).await;
    gateway.put("/secrets/vault/1", vault.document()).await;
    let tls = json!({
        "client_cert": "$secret://vault/1/me/cert", "client_key": "$secret://vault/1/me/key",
        "ca_certs": ["$secret://vault/1/them/ca"]
    });
    gateway
        .put("/upstreams/1", over_tls(&node, tls.clone()))
        .await;
    gateway
        .put(
            "/routes/1",
            json!({ "uri": "/resource", "upstream_id": "1" }),
        )
        .await;
    let inline = json!({ "uri": "/inline", "upstream": over_tls(&node, tls.clone()) });
    gateway.put("/routes/2", inline).await;
    let service = json!({ "upstream": over_tls(&node, tls) });
    gateway.put("/services/1", service).await;
    gateway
        .put("/routes/3", json!({ "uri": "/service", "service_id": "1" }))
        .await;
    // An upstream that cannot be used yet does not keep others from referring to it.
    let split = json!({ "rules": [{ "weighted_upstreams": [{ "upstream_id": "1" }] }] });
    let split =
        json!({ "uri": "/split", "plugins": { "traffic-split": split }, "upstream_id": "1" });
    gateway.put("/routes/4", split).await;
    let all = ["/resource", "/inline", "/service", "/split"];
    for path in all {
        gateway.get(path).await.expect_status(503);
    }
    let places = unresolved(&gateway).await;
    let expected = |key: &str, path: &str| places.contains(&(key.to_owned(), path.to_owned()));
    assert_eq!(places.len(), 9);
    assert!(expected("upstreams/1", "/tls/client_key"), "{places:?}");
    assert!(
        expected("services/1", "/upstream/tls/ca_certs/0"),
        "{places:?}"
    );

    let me = clients.issue(&["me"]);
    vault.put("me", fields(&me));
    vault.put("them", json!({ "ca": servers.pem() }));
    for path in all {
        route_comes_to(&gateway, path, 200).await;
    }
    assert_eq!(unresolved(&gateway).await, []);
    // Another authority is believed from the next connection on.
    vault.put("them", json!({ "ca": Authority::new("strangers").pem() }));
    route_comes_to(&gateway, "/resource", 502).await;
    vault.put("them", json!({ "ca": servers.pem() }));
    route_comes_to(&gateway, "/resource", 200).await;
    // What is no key shuts the way, and is written nowhere.
    vault.put(
        "me",
        json!({ "cert": me.certificate_pem, "key": "hush-hush" }),
    );
    route_comes_to(&gateway, "/resource", 503).await;
    let log = gateway.log();
    assert!(log.contains("a fetched secret is not taken"), "{log}");
    assert!(!log.contains("hush") && !log.contains("PRIVATE"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssl_of_type_client_may_be_in_vault_or_the_environment() {
    let clients = Authority::new("clients");
    let of_the_environment = clients.issue(&["e"]);
    let builder = Gateway::builder().with_settings(crate::secrets::SETTINGS);
    let builder = builder.with_env("THE_TOKEN", crate::secrets::TOKEN);
    let gateway = builder
        .with_env("ME", &fields(&of_the_environment).to_string())
        .start()
        .await;
    let vault = Vault::start().await;
    let servers = Authority::new("servers");
    let node = Upstream::start_with(servers.issue(&["node.test"]).server(Some(&clients))).await;
    node.answer(Answer::text("in"));
    gateway.put("/secrets/vault/1", vault.document()).await;
    for (id, cert, key) in [
        ("v", "$secret://vault/1/me/cert", "$secret://vault/1/me/key"),
        ("e", "$env://ME/cert", "$env://ME/key"),
    ] {
        let ssl = json!({ "type": "client", "cert": cert, "key": key });
        gateway.put(&format!("/ssls/{id}"), ssl).await;
        let tls = json!({ "client_cert_id": id, "ca_certs": [servers.pem()] });
        let route = json!({ "uri": format!("/{id}"), "upstream": over_tls(&node, tls) });
        gateway.put(&format!("/routes/{id}"), route).await;
    }
    gateway.get("/e").await.expect_status(200);
    gateway.get("/v").await.expect_status(503);
    vault.put("me", fields(&clients.issue(&["me"])));
    route_comes_to(&gateway, "/v", 200).await;
    // Nobody shows a certificate of a stranger as if it were good.
    vault.put("me", fields(&Authority::new("strangers").issue(&["me"])));
    route_comes_to(&gateway, "/v", 502).await;
    gateway.get("/e").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_and_a_prefix_with_slashes_lead_into_vault() {
    let gateway = gateway().await;
    let (upstream, server) = (Upstream::start().await, Upstream::start().await);
    server.script(|received| {
        let right = received.header("x-vault-namespace") == Some("team/a")
            && received.target == "/v1/kv/deep/apisix/users/jack";
        match right {
            true => Answer::text(json!({ "data": { "key": "of-jack" } }).to_string()),
            false => Answer::status(404),
        }
    });
    let document = json!({
        "uri": format!("http://{}/", server.addr()), "prefix": "/kv/deep/apisix/", "token": "t",
        "namespace": "team/a"
    });
    gateway.put("/secrets/vault/1", document).await;
    crate::secrets::door(&gateway, &upstream, "$secret://vault/1/users/jack/key").await;
    comes_to(&gateway, "of-jack", 200).await;
}
