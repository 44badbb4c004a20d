//! A refusal repeats no secret: neither to who wrote it, nor in the log, nor in what the gateway says of itself.

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, eventually};

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
