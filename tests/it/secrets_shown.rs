//! Who gets to see secrets: nobody in lists, in refusals and in the log; nobody in the store once there is a key; and who may write a
//! document, in that document alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::secrets::{KEYRING, VIEWER, comes_to, door, nowhere_in, status};
use crate::support::{Gateway, PATIENCE, Upstream, eventually};

/// What each secret in these tests begins with.
const HUSH: &str = "hush-hush-";

fn documents(upstream: &Upstream) -> Vec<(&'static str, Value)> {
    let redis = json!({
        "count": 1, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1",
        "redis_port": 1, "redis_password": "hush-hush-redis"
    });
    let flow = json!({ "rules": [
        { "case": [["uri", "==", "/x"]], "actions": [["return", { "code": 403 }]] },
        { "actions": [["limit-count", redis]] }
    ]});
    let csrf = json!({ "csrf": { "key": "hush-hush-csrf" } });
    let multi = json!({ "auth_plugins": [{ "key-auth": {} }, { "basic-auth": {} }] });
    let jack = json!({
        "key-auth": { "key": "hush-hush-key" },
        "basic-auth": { "username": "jack", "password": "hush-hush-password" }
    });
    let kafka = json!({
        "brokers": [{ "host": "127.0.0.1", "port": 1,
            "sasl_config": { "user": "me", "password": "hush-hush-kafka" } }],
        "kafka_topic": "t"
    });
    let one = |id: &'static str, plugins: &Value| (id, json!({ "plugins": plugins }));
    let mut shop = json!({ "upstream": upstream.document(), "plugins": { "workflow": flow } });
    let shown = json!({
        "uri": "/a", "upstream": upstream.document(), "plugins": { "multi-auth": multi, "workflow": flow }
    });
    shop["name"] = "shop".into();
    vec![
        one("/consumer_groups/1", &csrf),
        (
            "/consumers/jack",
            json!({ "username": "jack", "plugins": jack }),
        ),
        one(
            "/consumers/jack/credentials/one",
            &json!({ "key-auth": { "key": "hush-hush-credential" } }),
        ),
        one("/plugin_configs/1", &json!({ "workflow": flow })),
        one("/global_rules/1", &json!({ "kafka-logger": kafka })),
        ("/services/1", shop),
        ("/routes/1", shown),
        (
            "/plugin_metadata/error-log-logger",
            json!({ "clickhouse": {
                "endpoint_addr": "http://127.0.0.1:1", "user": "u", "database": "d", "logtable": "t",
                "password": "hush-hush-metadata"
            }}),
        ),
        (
            "/secrets/vault/1",
            json!({ "uri": "http://127.0.0.1:1", "prefix": "p", "token": "hush-hush-vault" }),
        ),
        (
            "/secrets/aws/1",
            json!({
                "access_key_id": "a", "secret_access_key": "hush-hush-aws", "session_token": "hush-hush-session"
            }),
        ),
    ]
}

/// All that is shown to others than an administrator who asks for one document.
async fn shown(gateway: &Gateway, documents: &[(&str, Value)]) -> Vec<String> {
    let (admin, viewer) = (gateway.admin(), gateway.admin().with_key("the-viewer-key"));
    let mut all = vec![
        viewer.get("/configs").await.expect_status(200).text(),
        gateway.control("/v1/routes").await.text(),
        gateway.control("/v1/services").await.text(),
        gateway.control("/v1/plugin_metadatas").await.text(),
        gateway.control("/v1/status").await.text(),
        gateway.log(),
    ];
    let mut lists = BTreeSet::new();
    for (path, _) in documents {
        all.push(viewer.get(path).await.expect_status(200).text());
        lists.insert(path.rsplit_once('/').unwrap().0);
        lists.insert(
            path.split('/')
                .nth(1)
                .map_or("", |kind| &path[..=kind.len()]),
        );
    }
    for list in lists {
        all.push(admin.get(list).await.expect_status(200).text());
        all.push(viewer.get(list).await.expect_status(200).text());
    }
    all
}

async fn store_all(gateway: &Gateway, documents: &[(&str, Value)]) {
    for (path, document) in documents {
        let answer = gateway.admin().put(path, document).await;
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_secrets_are_shown_in_no_list_and_to_no_viewer() {
    let mut gateway = Gateway::builder().with_settings(VIEWER).start().await;
    let upstream = Upstream::start().await;
    let documents = documents(&upstream);
    store_all(&gateway, &documents).await;
    for text in shown(&gateway, &documents).await {
        assert!(!text.contains(HUSH), "{text}");
    }
    // An administrator gets what can be written back.
    for (path, document) in &documents {
        let text = gateway.admin().get(path).await.expect_status(200).text();
        let wanted = document.to_string().matches(HUSH).count();
        assert_eq!(text.matches(HUSH).count(), wanted, "{path}: {text}");
    }
    // So is what a list shows, which says the same each time.
    let list = async || gateway.admin().get("/consumers").await.json()["list"][0]["value"].clone();
    let (jack, again) = (list().await, list().await);
    assert_eq!(jack, again);
    let back = json!({ "username": "jack", "plugins": jack["plugins"], "desc": "from the list" });
    gateway
        .admin()
        .put("/consumers/jack", &back)
        .await
        .expect_status(200);
    let route = gateway.admin().get("/routes").await.json()["list"][0]["value"].clone();
    let flow = json!({ "plugins": { "workflow": route["plugins"]["workflow"] } });
    gateway
        .admin()
        .patch("/routes/1", &flow)
        .await
        .expect_status(200);
    for (path, count) in [("/consumers/jack", 2), ("/routes/1", 1)] {
        let text = gateway.admin().get(path).await.text();
        assert_eq!(text.matches(HUSH).count(), count, "{text}");
    }
    eventually("jack's key opens", PATIENCE, async || {
        gateway
            .get("/a")
            .header("apikey", "hush-hush-key")
            .await
            .status
            != 401
    })
    .await;
    // Moved to where it would be read, or shown by another process, it is refused and replaces nothing.
    let sealed = jack["plugins"]["key-auth"]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    let moved = json!({ "uri": "/b", "plugins": { "mocking": { "response_example": sealed } } });
    let refused = gateway
        .admin()
        .put("/routes/b", &moved)
        .await
        .expect_status(400)
        .text();
    assert!(refused.contains("it is encrypted"), "{refused}");
    gateway.restart().await;
    let refused = gateway
        .admin()
        .put("/consumers/jack", &back)
        .await
        .expect_status(400)
        .text();
    assert!(
        refused.contains("it is encrypted") && refused.contains("/plugins/"),
        "{refused}"
    );
    let text = gateway.admin().get("/consumers/jack").await.text();
    assert!(text.contains("hush-hush-key"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_secrets_lie_encrypted_wherever_they_stand() {
    let builder = Gateway::builder()
        .with_settings(KEYRING)
        .with_settings(VIEWER);
    let mut gateway = builder.start().await;
    let upstream = Upstream::start().await;
    let documents = documents(&upstream);
    store_all(&gateway, &documents).await;
    for text in shown(&gateway, &documents).await {
        assert!(!text.contains(HUSH), "{text}");
    }
    nowhere_in(&gateway, HUSH);
    let whole = gateway.admin().get("/configs").await.json();
    gateway.restart().await;
    for (path, document) in &documents {
        let text = gateway.admin().get(path).await.expect_status(200).text();
        let wanted = document.to_string().matches(HUSH).count();
        assert_eq!(text.matches(HUSH).count(), wanted, "{path}: {text}");
    }
    // The whole configuration is one document, and can be written back.
    assert!(whole.to_string().contains(HUSH));
    let put = gateway
        .admin()
        .request("PUT", "/configs")
        .header("X-Digest", "1");
    put.json(&whole).await.expect_status(202);
    nowhere_in(&gateway, HUSH);
    let viewed = gateway
        .admin()
        .with_key("the-viewer-key")
        .get("/configs")
        .await
        .json();
    let put = gateway
        .admin()
        .request("PUT", "/configs")
        .header("X-Digest", "2");
    // Certificates are not in it, and there are none here.
    put.json(&viewed).await.expect_status(202);
    let text = gateway.admin().get("/consumers/jack").await.text();
    assert!(text.contains("hush-hush-key"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_read_what_is_encrypted() {
    let mut gateway = Gateway::builder().with_settings(KEYRING).start().await;
    let upstream = Upstream::start().await;
    door(&gateway, &upstream, "hush-hush-key").await;
    comes_to(&gateway, "hush-hush-key", 200).await;
    let csrf = json!({ "uri": "/csrf", "plugins": { "csrf": { "key": "hush-hush-csrf" } } });
    gateway.put("/routes/2", csrf).await;
    let list = gateway.admin().get("/routes").await.json();
    let routes = list["list"].as_array().unwrap();
    let sealed = routes
        .iter()
        .find_map(|r| r["value"]["plugins"]["csrf"]["key"].as_str())
        .unwrap();
    // A file with what the store has.
    let file = gateway.folder().join("resources.json");
    let document = json!({ "routes": [
        { "id": "2", "uri": "/csrf", "plugins": { "csrf": { "key": sealed } }, "upstream": upstream.document() }
    ]});
    std::fs::write(&file, document.to_string()).unwrap();
    let file = file.display().to_string();
    let good = gateway.command(&["check", "--resources", &file]).await;
    let said = String::from_utf8_lossy(&good.stderr).into_owned();
    assert!(good.status.success(), "{said}");

    let terminated = gateway.terminate(PATIENCE).await;
    assert!(terminated.status.success());
    let explained = gateway.command(&["explain", "--uri", "/csrf"]).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&explained.stdout),
        String::from_utf8_lossy(&explained.stderr)
    );
    assert!(
        explained.status.success() && said.contains("csrf"),
        "{said}"
    );
    assert!(!said.contains("refused") && !said.contains(HUSH), "{said}");

    // With another key both say what is wrong.
    let settings = gateway.folder().join("crossway.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(
        &settings,
        text.replace("edd1c9f0985e76a2", "qeddd145sfvddff3"),
    )
    .unwrap();
    let bad = gateway.command(&["check", "--resources", &file]).await;
    let said = String::from_utf8_lossy(&bad.stderr).into_owned();
    assert!(
        !bad.status.success() && said.contains("it is encrypted"),
        "{said}"
    );
    gateway.restart().await;
    assert_eq!(status(&gateway, "hush-hush-key").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_hold_what_is_encrypted() {
    let gateway = Gateway::builder().with_settings(KEYRING).start().await;
    let upstream = Upstream::start().await;
    door(&gateway, &upstream, "hush-hush-key").await;
    let list = gateway.admin().get("/consumers").await.json();
    let jack = json!({ "username": "jack", "plugins": list["list"][0]["value"]["plugins"] });
    let route = json!({ "id": "1", "uri": "/*", "upstream": upstream.document(), "plugins": { "key-auth": {} } });
    let resources = json!({ "routes": [route], "consumers": [jack] });
    let other = Gateway::builder()
        .with_settings(KEYRING)
        .with_file(&resources.to_string());
    let other = other.start().await;
    assert_eq!(status(&other, "hush-hush-key").await, 200);
    nowhere_in(&other, HUSH);
}

/// Wrong values for a field that holds a secret, each with the secret in it.
fn wrong(canary: &str) -> Vec<Value> {
    vec![
        json!([canary]),
        json!({ "a": canary }),
        json!({ "a": [{ "b": canary }] }),
        json!([[canary]]),
        json!(canary.repeat(3000)),
        json!(format!("{canary}\n\u{0}\u{1f}")),
        json!(format!("{canary}-§-\u{1f980}")),
        json!(format!("$env:/{canary}")),
        json!(7_351_892_460_u64),
    ]
}

/// The documents that a plugin's secret fields can be wrong in.
fn with(path: &str, value: &Value) -> Value {
    path.rsplit('.')
        .fold(value.clone(), |inner, name| json!({ name: inner }))
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        // A list stands for its items.
        (Value::Array(into), from) => into.iter_mut().for_each(|item| merge(item, from.clone())),
        (into, from) => *into = from,
    }
}

/// What a plugin needs beside its secrets to be taken.
fn rest(plugin: &str) -> Value {
    match plugin {
        "clickhouse-logger" => {
            json!({ "endpoint_addrs": ["http://127.0.0.1:1"], "user": "u", "database": "d", "logtable": "t" })
        }
        "kafka-logger" => {
            json!({ "brokers": [{ "host": "h", "port": 1, "sasl_config": { "user": "u" } }], "kafka_topic": "t" })
        }
        "http-logger" => json!({ "uri": "http://127.0.0.1:1/" }),
        "limit-count" => {
            json!({ "count": 1, "time_window": 1, "policy": "redis", "redis_host": "127.0.0.1" })
        }
        "limit-conn" => {
            json!({ "conn": 1, "burst": 1, "default_conn_delay": 1, "key": "uri", "policy": "redis", "redis_host": "127.0.0.1" })
        }
        "limit-req" => {
            json!({ "rate": 1, "burst": 1, "key": "uri", "policy": "redis", "redis_host": "127.0.0.1" })
        }
        "elasticsearch-logger" => {
            json!({ "endpoint_addrs": ["http://127.0.0.1:1"], "field": { "index": "i" }, "auth": { "username": "u" } })
        }
        "loki-logger" => json!({ "endpoint_addrs": ["http://127.0.0.1:1"] }),
        "splunk-hec-logging" => json!({ "endpoint": { "uri": "http://127.0.0.1:1/" } }),
        "openid-connect" => {
            json!({ "client_id": "c", "client_secret": "s", "discovery": "http://127.0.0.1:1/", "bearer_only": true, "session": { "secret": "0123456789abcdef" } })
        }
        "hmac-auth" => json!({ "key_id": "k" }),
        "jwt-auth" | "jwe-decrypt" => json!({ "key": "k" }),
        "basic-auth" => json!({ "username": "u" }),
        _ => json!({}),
    }
}

fn says_nothing_of(text: &str, canary: &str, of: &Value) {
    let number = "7351892460";
    assert!(
        !text.contains(canary) && !text.contains(number),
        "{of}\nsays\n{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_repeats_a_secret_of_any_plugin() {
    let gateway = Gateway::builder()
        .with_settings("log: {level: debug}\n")
        .start()
        .await;
    let admin = gateway.admin();
    let canary = "Canary-4711";
    let registry = crossway_plugins::registry().unwrap();
    let mut tried = 0;
    let mut refused = 0;
    let mut put = async |path: &str, document: Value| {
        let answer = admin.put(path, &document).await;
        let validated = json!({ path.split('/').nth(1).unwrap(): [document] });
        let judged = admin.post("/configs/validate", &validated).await;
        let alone = format!("/schema/validate{}", path.rsplit_once('/').unwrap().0);
        let alone = admin.post(&alone, &document).await;
        tried += 1;
        if answer.status >= 400 {
            refused += 1;
            says_nothing_of(&answer.text(), canary, &document);
        } else {
            admin.delete(path).await.expect_status(200);
        }
        says_nothing_of(&judged.text(), canary, &document);
        says_nothing_of(&alone.text(), canary, &document);
    };
    let mut plugins = 0;
    for plugin in registry.iter() {
        let name = plugin.name;
        plugins +=
            usize::from(!plugin.encrypted.is_empty() || !plugin.encrypted_credential.is_empty());
        let fields = plugin.encrypted.iter().map(|f| (f, false));
        let fields = fields.chain(plugin.encrypted_credential.iter().map(|f| (f, true)));
        for (field, credential) in fields {
            for value in wrong(canary) {
                for base in [rest(name), json!({})] {
                    let mut config = base;
                    merge(&mut config, with(field, &value));
                    let plugins = json!({ name: config });
                    if credential {
                        put(
                            "/consumers/jack",
                            json!({ "username": "jack", "plugins": plugins }),
                        )
                        .await;
                    } else {
                        put(
                            "/routes/1",
                            json!({ "id": "1", "uri": "/", "plugins": plugins }),
                        )
                        .await;
                        put(&format!("/plugin_metadata/{name}"), {
                            let mut c = config.clone();
                            c["id"] = name.into();
                            c
                        })
                        .await;
                    }
                    if name == "limit-count" {
                        let flow =
                            json!({ "workflow": { "rules": [{ "actions": [[name, config]] }] } });
                        put(
                            "/routes/1",
                            json!({ "id": "1", "uri": "/", "plugins": flow }),
                        )
                        .await;
                    }
                }
            }
        }
    }
    for value in wrong(canary) {
        put(
            "/upstreams/1",
            json!({ "id": "1", "nodes": {}, "tls": { "client_cert": value, "client_key": value } }),
        )
        .await;
        put(
            "/ssls/1",
            json!({ "id": "1", "sni": "a.test", "cert": "c", "key": value }),
        )
        .await;
        put(
            "/secrets/vault/1",
            json!({ "id": "vault/1", "uri": "http://a", "prefix": "p", "token": value }),
        )
        .await;
        put("/secrets/aws/1", json!({ "id": "aws/1", "access_key_id": "a", "secret_access_key": value, "session_token": value })).await;
        let account = json!({ "client_email": "e", "project_id": "p", "private_key": value });
        put(
            "/secrets/gcp/1",
            json!({ "id": "gcp/1", "auth_config": account }),
        )
        .await;
    }
    assert!(
        plugins >= 16 && tried > 500 && refused > tried / 2,
        "{plugins} {tried} {refused}"
    );
    let status = gateway.control("/v1/status").await.text();
    let explained = gateway.control("/v1/explain?uri=/").await.text();
    for text in [gateway.log(), status, explained] {
        says_nothing_of(&text, canary, &Value::Null);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_refused_is_not_repeated() {
    let canary = "Canary-4711";
    let file =
        |plugins: Value| json!({ "routes": [{ "id": "1", "uri": "/", "plugins": plugins }] });
    let good = file(json!({}));
    let gateway = Gateway::builder()
        .with_file(&good.to_string())
        .start()
        .await;
    for value in wrong(canary) {
        let bad = file(json!({ "csrf": { "key": value, "expires": "soon" } }));
        let before =
            gateway.control("/v1/status").await.json()["configuration"]["refused_total"].clone();
        gateway.write_file(&bad.to_string());
        eventually("the file is refused", PATIENCE, async || {
            let now = gateway.control("/v1/status").await;
            now.json()["configuration"]["refused_total"] != before
        })
        .await;
        let path = gateway.folder().join("bad.json");
        std::fs::write(&path, bad.to_string()).unwrap();
        let judged = gateway
            .command(&["check", "--resources", &path.display().to_string()])
            .await;
        assert!(!judged.status.success());
        let texts = [
            gateway.control("/v1/status").await.text(),
            gateway.log(),
            String::from_utf8_lossy(&judged.stderr).into_owned(),
        ];
        for text in texts {
            says_nothing_of(&text, canary, &bad);
        }
    }
    // Nor when it cannot be read at all.
    gateway.write_file(&format!(
        "routes: [{{id: 1, plugins: {{csrf: {{key: \"{canary}\" {canary}}}}}}}]"
    ));
    let trouble = async || gateway.control("/v1/status").await.json()["store"]["trouble"].clone();
    eventually("the file is refused", PATIENCE, async || {
        !trouble().await.is_null()
    })
    .await;
    for text in [trouble().await.to_string(), gateway.log()] {
        says_nothing_of(&text, canary, &Value::Null);
    }
}
