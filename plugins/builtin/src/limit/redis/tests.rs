#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::redis::Address;
use crossway_sdk::testing::Bench;
use serde_json::{Value, json};
use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

fn reached(bench: &Bench, policy: Policy, config: Value) -> Result<Option<Arc<Link>>, BuildError> {
    let cx = BuildCx::new("routes/1", "limit-count", None, None, bench);
    let redis: Redis = serde_json::from_value(config).unwrap();
    link(policy, &redis, &cx)
}

fn refusal(policy: Policy, config: Value) -> String {
    let refused = reached(&Bench::default(), policy, config);
    refused.err().expect("it was accepted").to_string()
}

/// One that answers whatever it is asked at once.
fn call<'a>(script: &'a Script) -> Call<'a> {
    Call::Script {
        script,
        key: b"k",
        arguments: &[],
    }
}

#[test]
fn each_policy_needs_its_own_attributes() {
    use Policy::{Redis, RedisCluster, RedisSentinel};
    for (policy, config, expected) in [
        (
            Redis,
            json!({}),
            "policy redis needs redis_host (at /redis_host)",
        ),
        (
            RedisCluster,
            json!({"redis_host": "a.test"}),
            "policy redis-cluster needs redis_cluster_nodes (at /redis_cluster_nodes)",
        ),
        (
            RedisCluster,
            json!({"redis_cluster_nodes": ["a.test:1"]}),
            "policy redis-cluster needs redis_cluster_name (at /redis_cluster_name)",
        ),
        (
            RedisCluster,
            json!({"redis_cluster_nodes": ["a.test:1", "b.test"], "redis_cluster_name": "c"}),
            "expected host:port, got \"b.test\" (at /redis_cluster_nodes/1)",
        ),
        (
            RedisCluster,
            json!({"redis_cluster_nodes": ["a.test:1"], "redis_cluster_name": "c", "redis_database": 1}),
            "a Redis cluster has database 0 only (at /redis_database)",
        ),
        (
            RedisSentinel,
            json!({"redis_master_name": "m"}),
            "policy redis-sentinel needs redis_sentinels (at /redis_sentinels)",
        ),
        (
            RedisSentinel,
            json!({"redis_sentinels": [{"host": "a.test", "port": 1}]}),
            "policy redis-sentinel needs redis_master_name (at /redis_master_name)",
        ),
        (
            RedisSentinel,
            json!({"redis_sentinels": [{"host": "a.test", "port": 1}], "redis_master_name": "m", "redis_role": "slave"}),
            "counters are written, and a replica takes no writes: expected master (at /redis_role)",
        ),
    ] {
        assert_eq!(refusal(policy, config), expected);
    }
    assert!(
        reached(&Bench::default(), Policy::Local, json!({}))
            .unwrap()
            .is_none()
    );
}

#[test]
fn addresses_have_a_host_and_a_port() {
    for (text, expected) in [
        ("a.test:6379", Some("a.test:6379")),
        ("[::1]:7000", Some("::1:7000")),
        ("192.0.2.1:1", Some("192.0.2.1:1")),
        ("::1:7000", None),
        ("a.test", None),
        (":6379", None),
        ("a.test:0", None),
        ("a.test:65536", None),
        ("a.test:x", None),
    ] {
        let parsed = Address::parse(text).map(|address| format!("{address:?}"));
        assert_eq!(parsed.as_deref(), expected, "{text}");
    }
}

#[test]
fn a_way_is_shared_by_those_who_name_the_same_servers_and_credentials() {
    let bench = Bench::default();
    let of = |config: Value| {
        reached(&bench, Policy::Redis, config)
            .unwrap()
            .expect("a way to Redis")
    };
    let base = json!({"redis_host": "a.test", "redis_password": "one"});
    let first = of(base.clone());
    assert!(Arc::ptr_eq(&first, &of(base)));
    for other in [
        json!({"redis_host": "b.test", "redis_password": "one"}),
        json!({"redis_host": "a.test", "redis_password": "two"}),
        json!({"redis_host": "a.test", "redis_password": "one", "redis_database": 1}),
        json!({"redis_host": "a.test", "redis_password": "one", "redis_ssl": true}),
        json!({"redis_host": "a.test", "redis_password": "one", "redis_timeout": 5}),
    ] {
        assert!(!Arc::ptr_eq(&first, &of(other)));
    }
}

#[test]
fn secrets_are_not_shown() {
    let config: Redis = serde_json::from_value(
        json!({"redis_host": "a.test", "redis_password": "hush", "sentinel_password": "hush"}),
    )
    .unwrap();
    assert!(!format!("{config:?}").contains("hush"));
}

#[test]
fn a_version_is_the_same_everywhere() {
    assert_eq!(version("a"), version("a"));
    assert_ne!(version("a"), version("b"));
    assert_eq!(version("a").len(), 12);
    assert_eq!(&*bounded(b"short"), b"short");
    assert_eq!(bounded(&[b'x'; 129]).len(), 64);
}

#[tokio::test]
async fn an_absent_redis_is_not_asked_again_at_once() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = json!({"redis_host": "127.0.0.1", "redis_port": port, "redis_timeout": 2000});
    let link = reached(&Bench::default(), Policy::Redis, config)
        .unwrap()
        .unwrap();
    let script = Script::new("return {1}");
    assert!(matches!(
        link.ask(call(&script)).await,
        Err(LinkError::Down(_))
    ));
    let started = Instant::now();
    for _ in 0..1000 {
        assert!(matches!(
            link.ask(call(&script)).await,
            Err(LinkError::Down(_))
        ));
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connects_for_all_and_a_silent_redis_costs_its_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = json!({"redis_host": "127.0.0.1", "redis_port": port, "redis_timeout": 200,
        "redis_password": "x"});
    let link = reached(&Bench::default(), Policy::Redis, config)
        .unwrap()
        .unwrap();
    let script = Script::new("return {1}");
    let asked = (0..50).map(|_| link.ask(call(&script)));
    let started = Instant::now();
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_err));
    assert!(started.elapsed() < Duration::from_secs(5));
    listener.set_nonblocking(true).unwrap();
    let connections = std::iter::from_fn(|| listener.accept().ok()).count();
    assert_eq!(connections, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_needs_no_provider_of_the_process() {
    // A listener that is no TLS server: the handshake fails, and nothing panics.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            std::io::Write::write_all(&mut stream, b"-ERR no TLS here\r\n").ok();
        }
    });
    let config = json!({"redis_host": "127.0.0.1", "redis_port": port, "redis_ssl": true,
        "redis_timeout": 3000});
    let link = reached(&Bench::default(), Policy::Redis, config)
        .unwrap()
        .unwrap();
    let error = link.ask(call(&Script::new("return {1}"))).await;
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("Redis cannot be reached"), "{text}");
    assert!(!text.contains("panic"), "{text}");
}

/// Whatever stands at the address: each question ends, in time and as a failure.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_redis_is_a_failure_in_time() {
    for nonsense in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"",
        b"\xff\xfe\0\0",
        b"-ERR unknown command\r\n",
        b"*2\r\n$1\r\na\r\n",
        b"*1000000000\r\n",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            use std::io::{Read, Write};
            for mut stream in listener.incoming().flatten() {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|length| length > 0) {
                    if nonsense.is_empty() || stream.write_all(nonsense).is_err() {
                        break;
                    }
                }
            }
        });
        let config = json!({"redis_host": "127.0.0.1", "redis_port": port, "redis_timeout": 200});
        let link = reached(&Bench::default(), Policy::Redis, config)
            .unwrap()
            .unwrap();
        let started = Instant::now();
        for _ in 0..3 {
            let told = String::from_utf8_lossy(nonsense);
            assert!(
                link.ask(call(&Script::new("return {1}"))).await.is_err(),
                "{told}"
            );
        }
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}
