//! Ways to set Redis up: users and passwords, TLS, a cluster, sentinels.

use serde_json::json;

use super::server::{self, Server};
use super::{count_in, serve, with};
use crate::support::{Gateway, Identity, PATIENCE, Upstream, eventually, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn passwords_users_and_databases_are_heeded() {
    if !server::installed() {
        return;
    }
    let user = "user limiter on >secret ~plugin-limit-count* +@read +@write +@scripting +select +auth +ping";
    let redis = Server::start(&["requirepass main", user]).await;
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::start().await;
    for (login, status) in [
        (json!({}), 500),
        (json!({ "redis_password": "wrong" }), 500),
        (json!({ "redis_password": "main" }), 200),
        (
            json!({ "redis_password": "main", "redis_database": 3 }),
            200,
        ),
        (
            json!({ "redis_username": "limiter", "redis_password": "secret" }),
            200,
        ),
        (
            json!({ "redis_username": "limiter", "redis_password": "main" }),
            500,
        ),
    ] {
        let config = with(count_in(&redis), login.clone());
        serve(&gateway, &upstream, "limit-count", config).await;
        let answer = gateway.get("/a").await;
        assert_eq!(answer.status, status, "{login} {}", gateway.log());
    }
    for secret in ["secret", "wrong"] {
        let log = gateway.log();
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_verified_when_asked_for() {
    if !server::installed() {
        return;
    }
    let identity = Identity::for_names(&["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, &identity.certificate_pem).unwrap();
    std::fs::write(&key, &identity.key_pem).unwrap();
    let redis = Server::tls(&certificate, &key).await;
    let upstream = Upstream::answering("ok").await;
    let distrustful = Gateway::start().await;
    let trusting = Gateway::builder()
        .with_env("SSL_CERT_FILE", &certificate.display().to_string())
        .start()
        .await;
    let plain = count_in(&redis);
    let tls = with(plain.clone(), json!({ "redis_ssl": true }));
    let verified = with(tls.clone(), json!({ "redis_ssl_verify": true }));
    for (gateway, config, status) in [
        (&distrustful, plain, 500),
        (&distrustful, tls, 200),
        (&distrustful, verified.clone(), 500),
        (&trusting, verified, 200),
    ] {
        serve(gateway, &upstream, "limit-count", config.clone()).await;
        let answer = gateway.get("/a").await;
        assert_eq!(answer.status, status, "{config} {}", gateway.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_counts_by_keys_all_over_it() {
    if !server::installed() {
        return;
    }
    let nodes = server::cluster().await;
    let upstream = Upstream::answering("ok").await;
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    let cluster = json!({
        "policy": "redis-cluster", "redis_cluster_name": "c", "rejected_code": 429,
        "redis_cluster_nodes": [format!("127.0.0.1:{}", nodes[0].port()), format!("127.0.0.1:{}", nodes[2].port())],
        "redis_timeout": 5000, "key": "http_x_key",
    });
    for (plugin, own) in [
        ("limit-count", json!({ "count": 1, "time_window": 600 })),
        (
            "limit-count",
            json!({ "count": 1, "time_window": 600, "window_type": "sliding" }),
        ),
        ("limit-req", json!({ "rate": 0.001, "burst": 0 })),
    ] {
        let config = with(cluster.clone(), own);
        serve(&one, &upstream, plugin, config.clone()).await;
        serve(&two, &upstream, plugin, config).await;
        for number in 0..12 {
            let key = format!("key-{number}");
            one.get("/a").header("X-Key", &key).await.expect_status(200);
            two.get("/a").header("X-Key", &key).await.expect_status(429);
        }
    }
    let own = json!({ "conn": 1, "burst": 0, "default_conn_delay": 0.1 });
    serve(&one, &upstream, "limit-conn", with(cluster, own)).await;
    for number in 0..12 {
        let key = format!("key-{number}");
        one.get("/a").header("X-Key", &key).await.expect_status(200);
    }
    let used = nodes.iter().filter(|node| node.ask::<u64>("DBSIZE") > 0);
    assert_eq!(used.count(), 3, "keys are on all of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_name_the_master_also_after_a_failover() {
    if !server::installed() {
        return;
    }
    let master = Server::start(&[]).await;
    let replicaof = format!("replicaof 127.0.0.1 {}", master.port());
    let replica = Server::start(&[&replicaof]).await;
    wait_until("the replica follows", PATIENCE, || {
        let info: String = master.ask("INFO replication");
        info.contains("state=online")
    })
    .await;
    let sentinel = Server::sentinel(&master).await;
    wait_until("the sentinel knows the replica", PATIENCE, || {
        let seen: String = sentinel.ask("INFO sentinel");
        seen.contains("slaves=1")
    })
    .await;
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::start().await;
    let config = json!({
        "count": 1000, "time_window": 600, "policy": "redis-sentinel", "group": "g",
        "redis_sentinels": [{ "host": "127.0.0.1", "port": sentinel.port() }],
        "redis_master_name": "mymaster", "redis_connect_timeout": 2000, "redis_read_timeout": 2000,
    });
    serve(&gateway, &upstream, "limit-count", config).await;
    gateway.get("/a").await.expect_status(200);
    let key = "GET plugin-limit-countg:127.0.0.1";
    assert_eq!(master.ask::<u64>(key), 1);
    master.stop();
    eventually("the new master counts", 2 * PATIENCE, async || {
        gateway.get("/a").await.status == 200
    })
    .await;
    assert!(replica.ask::<u64>(key) >= 1);
}
