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
