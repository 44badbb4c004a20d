//! References to secrets: from the environment and from Vault, what happens when they change, and when they are not to be had.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Answer, Authority, Gateway, PATIENCE, Upstream, eventually};

pub(crate) const TOKEN: &str = "the-vault-token";

/// Short times, so that a test sees them pass.
pub(crate) const SETTINGS: &str = "secrets: {ttl: 1, retry: 1, timeout: 1}\n";

/// A stand-in for Vault that speaks its protocol: the token is demanded, secrets have fields.
pub(crate) struct Vault {
    pub(crate) server: Upstream,
    secrets: Arc<Mutex<HashMap<String, Value>>>,
}

impl Vault {
    pub(crate) async fn start() -> Self {
        let server = Upstream::start().await;
        let secrets: Arc<Mutex<HashMap<String, Value>>> = Arc::default();
        let known = secrets.clone();
        server.script(move |received| {
            if received.header("x-vault-token") != Some(TOKEN) {
                return Answer::status(403);
            }
            let known = known.lock().unwrap();
            match known.get(&received.target) {
                Some(data) => Answer::text(json!({ "data": data }).to_string()),
                None => Answer::status(404),
            }
        });
        Self { server, secrets }
    }

    pub(crate) fn put(&self, path: &str, fields: Value) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(format!("/v1/kv/apisix/{path}"), fields);
    }

    pub(crate) fn document(&self) -> Value {
        json!({
            "uri": format!("http://{}", self.server.addr()),
            "prefix": "kv/apisix", "token": "$env://THE_TOKEN"
        })
    }
}

pub(crate) async fn gateway() -> Gateway {
    let builder = Gateway::builder().with_settings(SETTINGS);
    builder.with_env("THE_TOKEN", TOKEN).start().await
}

pub(crate) async fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.get("/").header("apikey", key).await.status
}

pub(crate) async fn comes_to(gateway: &Gateway, key: &str, expected: u16) {
    eventually(&format!("{key} gives {expected}"), PATIENCE, async || {
        status(gateway, key).await == expected
    })
    .await;
}

/// A route with key-auth, and jack with this key.
pub(crate) async fn door(gateway: &Gateway, upstream: &Upstream, key: &str) {
    let plugins = json!({ "key-auth": {} });
    let route = json!({ "uri": "/*", "upstream": upstream.document(), "plugins": plugins });
    gateway.put("/routes/1", route).await;
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": key } } });
    gateway.put("/consumers/jack", jack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_the_environment_opens_and_its_reference_does_not() {
    let builder = Gateway::builder().with_env("JACK", r#"{"key": "of-jack"}"#);
    let gateway = builder.start().await;
    let upstream = Upstream::start().await;
    door(&gateway, &upstream, "$ENV://JACK/key").await;
    comes_to(&gateway, "of-jack", 200).await;
    assert_eq!(status(&gateway, "$ENV://JACK/key").await, 401);
    let shown = gateway.admin().get("/consumers/jack").await.text();
    assert!(
        shown.contains("$ENV://JACK/key") && !shown.contains("of-jack"),
        "{shown}"
    );
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": "$env://NOBODY" } } });
    let refused = gateway
        .admin()
        .put("/consumers/jack", &jack)
        .await
        .expect_status(400);
    assert!(
        refused
            .text()
            .contains("the environment has no variable NOBODY"),
        "{}",
        refused.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_vault_opens_and_a_new_one_takes_its_place() {
    let (gateway, upstream, vault) = (
        gateway().await,
        Upstream::start().await,
        Vault::start().await,
    );
    vault.put("jack", json!({ "key": "first" }));
    gateway.put("/secrets/vault/1", vault.document()).await;
    door(&gateway, &upstream, "$secret://vault/1/jack/key").await;
    comes_to(&gateway, "first", 200).await;
    assert_eq!(status(&gateway, "$secret://vault/1/jack/key").await, 401);
    vault.put(
        "jack",
        json!({ "data": { "key": "second" }, "metadata": { "version": 2 } }),
    );
    comes_to(&gateway, "second", 200).await;
    assert_eq!(status(&gateway, "first").await, 401);
    gateway.remove("/secrets/vault/1").await;
    comes_to(&gateway, "second", 401).await;
    let log = gateway.log();
    assert!(
        !log.contains("first") && !log.contains("second") && !log.contains(TOKEN),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_vault_nothing_opens_until_it_is_back() {
    let (gateway, upstream) = (gateway().await, Upstream::start().await);
    let mut vault = Vault::start().await;
    vault.put("jack", json!({ "key": "of-jack", "header": "X-Stamp" }));
    vault.server.stop().await;
    gateway.put("/secrets/vault/1", vault.document()).await;
    door(&gateway, &upstream, "$secret://vault/1/jack/key").await;
    let plugins = json!({ "key-auth": { "header": "$secret://vault/1/jack/header" } });
    let barred = json!({ "uri": "/barred", "upstream": upstream.document(), "plugins": plugins });
    gateway.put("/routes/2", barred).await;
    gateway.settle().await;
    assert_eq!(status(&gateway, "of-jack").await, 401);
    gateway.get("/barred").await.expect_status(503);
    let standing = gateway.control("/v1/status").await.json();
    let unresolved = standing["secrets"]["unresolved"]
        .as_array()
        .unwrap()
        .clone();
    let places: Vec<_> = unresolved
        .iter()
        .map(|u| u["key"].as_str().unwrap())
        .collect();
    assert_eq!(places, ["routes/2", "consumers/jack"]);
    assert_eq!(unresolved[1]["reference"], "$secret://vault/1/jack/key");
    assert!(gateway.log().contains("a secret is not to be had"));
    assert_eq!(upstream.hits(), 0);

    vault.server.resume().await;
    comes_to(&gateway, "of-jack", 200).await;
    eventually("the plugin is built", PATIENCE, async || {
        let request = gateway.get("/barred").header("X-Stamp", "of-jack");
        request.await.status == 200
    })
    .await;
    let standing = gateway.control("/v1/status").await.json();
    assert_eq!(standing["secrets"]["unresolved"], json!([]));
    assert_eq!(standing["secrets"]["references"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_value_serves_while_vault_is_away() {
    let (gateway, upstream) = (gateway().await, Upstream::start().await);
    let mut vault = Vault::start().await;
    vault.put("jack", json!({ "key": "of-jack" }));
    gateway.put("/secrets/vault/1", vault.document()).await;
    door(&gateway, &upstream, "$secret://vault/1/jack/key").await;
    comes_to(&gateway, "of-jack", 200).await;
    vault.server.answer(Answer::status(503));
    let asked = vault.server.hits();
    eventually("Vault refused twice", PATIENCE, async || {
        vault.server.hits() > asked + 1
    })
    .await;
    assert_eq!(status(&gateway, "of-jack").await, 200);
    vault.server.stop().await;
    gateway
        .put(
            "/routes/3",
            json!({ "uri": "/3", "upstream": upstream.document() }),
        )
        .await;
    gateway.settle().await;
    assert_eq!(status(&gateway, "of-jack").await, 200);
    vault.server.resume().await;
    // A secret that is no longer there is another thing than one that cannot be asked for.
    vault.server.answer(Answer::status(404));
    comes_to(&gateway, "of-jack", 401).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_hangs_delays_a_change_a_little_and_no_other() {
    let (gateway, upstream, vault) = (
        gateway().await,
        Upstream::start().await,
        Vault::start().await,
    );
    vault.server.answer(Answer::Hang);
    gateway.put("/secrets/vault/1", vault.document()).await;
    door(&gateway, &upstream, "$secret://vault/1/jack/key").await;
    let began = std::time::Instant::now();
    gateway
        .put(
            "/routes/3",
            json!({ "uri": "/3", "upstream": upstream.document() }),
        )
        .await;
    eventually("the new route serves", PATIENCE, async || {
        gateway.get("/3").await.status == 200
    })
    .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(status(&gateway, "x").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_comes_from_vault_and_its_key_is_written_nowhere() {
    let builder = Gateway::builder().with_https().with_settings(SETTINGS);
    let gateway = builder.with_env("THE_TOKEN", TOKEN).start().await;
    let (upstream, vault) = (Upstream::start().await, Vault::start().await);
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway.put("/secrets/vault/1", vault.document()).await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let ssl = json!({
        "snis": ["a.test"],
        "cert": "$secret://vault/1/a.test/cert", "key": "$secret://vault/1/a.test/key"
    });
    gateway.put("/ssls/1", ssl).await;
    gateway.settle().await;
    assert!(
        gateway
            .connect_tls("a.test", authority.client())
            .await
            .is_err()
    );
    vault.put(
        "a.test",
        json!({ "cert": leaf.certificate_pem, "key": leaf.key_pem }),
    );
    eventually("the certificate is served", PATIENCE, async || {
        gateway
            .connect_tls("a.test", authority.client())
            .await
            .is_ok()
    })
    .await;
    assert!(!gateway.log().contains("PRIVATE KEY"));
    nowhere_in(&gateway, leaf.key_pem.lines().nth(1).unwrap());
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        match entry.path().is_dir() {
            true => all.extend(files(&entry.path())),
            false => all.push(entry.path()),
        }
    }
    all
}

pub(crate) const KEYRING: &str = "data_encryption: {enabled: true, keyring: [edd1c9f0985e76a2]}\n";
pub(crate) const VIEWER: &str = "admin: {keys: [{name: v, key: the-viewer-key, role: viewer}]}\n";

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_encrypted_at_rest_and_in_lists() {
    let builder = Gateway::builder()
        .with_settings(KEYRING)
        .with_settings(VIEWER);
    let mut gateway = builder.start().await;
    let upstream = Upstream::start().await;
    door(&gateway, &upstream, "hush-hush-key").await;
    let csrf = json!({ "uri": "/csrf", "upstream": upstream.document(), "plugins": { "csrf": { "key": "hush-hush-too" } } });
    gateway.put("/routes/2", csrf).await;
    let leaf = Authority::new("servers").issue(&["a.test"]);
    let ssl = json!({ "snis": ["a.test"], "cert": leaf.certificate_pem, "key": leaf.key_pem });
    gateway.put("/ssls/1", ssl).await;
    comes_to(&gateway, "hush-hush-key", 200).await;

    let one = gateway.admin().get("/consumers/jack").await.json();
    assert_eq!(one["value"]["plugins"]["key-auth"]["key"], "hush-hush-key");
    let viewer = gateway.admin().with_key("the-viewer-key");
    for shown in [
        gateway
            .admin()
            .get("/consumers")
            .await
            .expect_status(200)
            .text(),
        gateway
            .admin()
            .get("/routes")
            .await
            .expect_status(200)
            .text(),
        viewer
            .get("/consumers/jack")
            .await
            .expect_status(200)
            .text(),
        viewer.get("/routes/2").await.expect_status(200).text(),
        gateway
            .control("/v1/routes")
            .await
            .expect_status(200)
            .text(),
        gateway.log(),
    ] {
        assert!(!shown.contains("hush-hush"), "{shown}");
    }
    // What a list has shown may be written back.
    let list = gateway.admin().get("/consumers").await.json();
    let key = &list["list"][0]["value"]["plugins"]["key-auth"]["key"];
    assert!(key.as_str().unwrap().starts_with("$crossway$sealed$"));
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": key } } });
    gateway.put("/consumers/jack", jack).await;
    gateway
        .patch("/routes/2", json!({ "desc": "patched" }))
        .await;
    gateway.settle().await;
    assert_eq!(status(&gateway, "hush-hush-key").await, 200);
    assert_eq!(status(&gateway, key.as_str().unwrap()).await, 401);

    gateway.restart().await;
    assert_eq!(status(&gateway, "hush-hush-key").await, 200);
    let private = leaf.key_pem.lines().nth(1).unwrap();
    for secret in ["hush-hush", private] {
        nowhere_in(&gateway, secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_another_key_what_is_encrypted_is_refused_and_never_counts_as_the_secret() {
    let mut gateway = Gateway::builder().with_settings(KEYRING).start().await;
    let upstream = Upstream::start().await;
    door(&gateway, &upstream, "hush-hush-key").await;
    let list = gateway.admin().get("/consumers").await.json();
    let sealed = list["list"][0]["value"]["plugins"]["key-auth"]["key"].clone();
    let settings = gateway.folder().join("crossway.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let with = |keyring: &str| {
        let text = text.replace("[edd1c9f0985e76a2]", keyring);
        std::fs::write(&settings, text).unwrap();
    };
    with("[qeddd145sfvddff3]");
    gateway.restart().await;
    assert_eq!(status(&gateway, "hush-hush-key").await, 401);
    assert_eq!(status(&gateway, sealed.as_str().unwrap()).await, 401);
    let standing = gateway.control("/v1/status").await.json();
    let problem = &standing["configuration"]["refused"]["problems"][0];
    assert_eq!(problem["key"], "consumers/jack");
    assert_eq!(problem["path"], "/plugins/key-auth/key");
    // The old key behind the new one opens it again.
    with("[qeddd145sfvddff3, edd1c9f0985e76a2]");
    gateway.restart().await;
    assert_eq!(status(&gateway, "hush-hush-key").await, 200);
}

pub(crate) fn nowhere_in(gateway: &Gateway, secret: &str) {
    for file in files(gateway.folder()) {
        let content = std::fs::read(&file).unwrap_or_default();
        let found = content
            .windows(secret.len())
            .any(|w| w == secret.as_bytes());
        assert!(!found, "{}", file.display());
    }
}
