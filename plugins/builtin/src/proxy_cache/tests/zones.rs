//! Where responses are kept, and what is refused.

use super::*;
use crate::{proxy_cache::zones, scenes::refused};
use crossway_sdk::{definition::Definition, testing::Bench};

#[tokio::test(flavor = "multi_thread")]
async fn on_disk_responses_lie_in_files_that_go_with_them() {
    let folder = tempfile();
    let left = folder.join("disk_cache_one/p-left");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("lock"), "").unwrap();
    let bench = Bench {
        attributes: [("proxy-cache".to_owned(), json!({"directory": folder}))].into(),
        ..Bench::default()
    };
    let plugin = bench
        .build(&Definition::of::<ProxyCache>(), json!({}))
        .unwrap();
    assert!(left.exists(), "building does nothing");
    assert_eq!(round(&*plugin, "", &[]).await, "MISS");
    let deadline = Instant::now() + Duration::from_secs(20);
    while round(&*plugin, "", &[]).await != "HIT" {
        assert!(Instant::now() < deadline, "it was never stored");
    }
    assert!(!left.exists(), "what another process left is removed");
    let (_, reply) = asked(&*plugin, &mut ask("/a", "").await).await;
    assert_eq!(body(&reply.unwrap()), b"body");
    let files = || {
        let own: Vec<_> = std::fs::read_dir(folder.join("disk_cache_one"))
            .unwrap()
            .flatten()
            .collect();
        own.iter()
            .flat_map(|own| {
                std::fs::read_dir(own.path())
                    .into_iter()
                    .flatten()
                    .flatten()
            })
            .flat_map(|spread| {
                std::fs::read_dir(spread.path())
                    .into_iter()
                    .flatten()
                    .flatten()
            })
            .count()
    };
    assert!(files() >= 1);
    let mut purge = request("PURGE /a HTTP/1.1\nHost: a.test").await;
    assert_eq!(asked(&*plugin, &mut purge).await.1.unwrap().status, 200);
    while files() > 0 {
        assert!(Instant::now() < deadline, "the file stays");
        tokio::task::yield_now().await;
    }
    drop(plugin);
    std::fs::remove_dir_all(folder).ok();
}

fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("crossway-{}", uuid::Uuid::now_v7()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (
            memory(json!({"cache_zone": "no"})),
            "cache_zone no not found (at /cache_zone)",
        ),
        (
            json!({"cache_strategy": "memory"}),
            "invalid or empty cache_zone for cache_strategy: memory (at /cache_zone)",
        ),
        (
            json!({"cache_zone": "memory_cache"}),
            "invalid or empty cache_zone for cache_strategy: disk (at /cache_zone)",
        ),
        (
            json!({}),
            "zone disk_cache_one needs a disk_path (at /cache_zone)",
        ),
        (
            memory(json!({"cache_key": ["$uri", "$request_method"]})),
            "cache_key variable $request_method unsupported (at /cache_key/1)",
        ),
        (
            memory(json!({"cache_key": ["$nothing"]})),
            "(at /cache_key/0)",
        ),
        (memory(json!({"cache_method": ["PUT"]})), "/cache_method/0"),
        (
            memory(json!({"cache_http_status": [100]})),
            "/cache_http_status/0",
        ),
        (
            memory(json!({"cache_ttl": 0})),
            "expected 0 to be at least 1",
        ),
        (memory(json!({"cache_keys": ["$uri"]})), "cache_keys"),
    ] {
        let said = refused::<ProxyCache>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}

#[test]
fn zones_are_read_as_nginx_reads_them() {
    let attributes = json!({"cache_ttl": "2m", "directory": "/data", "zones": [
        {"name": "m", "memory_size": "2k"},
        {"name": "d", "memory_size": "1m", "disk_size": "1G", "disk_path": "/x", "cache_levels": "1:2"},
        {"name": "e", "memory_size": "1m", "disk_size": "10"},
    ]});
    let find = |name: &str, strategy| zones::find(Some(&attributes), name, strategy);
    assert_eq!(find("m", Strategy::Memory), Ok(Place::Memory(2048)));
    let disk = |folder: &str, bytes| Place::Disk {
        folder: folder.into(),
        bytes,
        files: 1024,
        ttl: Duration::from_secs(120),
    };
    assert_eq!(find("d", Strategy::Disk), Ok(disk("/x", 1 << 30)));
    assert_eq!(find("e", Strategy::Disk), Ok(disk("/data/e", 10)));
    for bad in [
        json!({"zones": [{"name": "m", "memory_size": "much"}]}),
        json!({"zones": [{"name": "m", "memory_size": "1m", "size": 1}]}),
        json!({"zone": []}),
    ] {
        let error = zones::find(Some(&bad), "m", Strategy::Memory).unwrap_err();
        assert!(error.starts_with("in plugin_attr.proxy-cache"), "{error}");
    }
}
