use super::ElasticsearchLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::json;

const NINE: &str = "{\"version\":{\"number\":\"9.1.0\"}}";
const EIGHT: &str = "{\"version\":{\"number\":\"8.17.2\"}}";

#[tokio::test]
async fn entries_are_created_in_bulk_in_the_words_of_the_servers_version() {
    for (version, compatible, kind) in [(EIGHT, "7", true), (NINE, "8", false)] {
        let server = HttpServer::new([(200, version), (200, "{\"errors\":false}")]).await;
        let logger = Logger::new::<ElasticsearchLogger>(json!({
            "endpoint_addrs": [server.url("")], "field": {"index": "services", "type": "t"},
            "auth": {"username": "u", "password": "p"}, "headers": {"X-More": "m"}, "log_format": {"a": "b"},
        }));
        logger.log(&mut finished().await);
        logger.log(&mut finished().await);
        logger.finish().await;
        logger.log(&mut finished().await);
        logger.finish().await;
        let received = server.received();
        // The version is asked for once.
        assert_eq!(received.len(), 3);
        assert!(
            received[0].head.starts_with("GET / HTTP/1.1\n"),
            "{received:?}"
        );
        assert_eq!(received[0].header("authorization"), Some("Basic dTpw"));
        assert!(
            received[1].head.starts_with("POST /_bulk HTTP/1.1\n"),
            "{received:?}"
        );
        let content = format!("application/x-ndjson;compatible-with={compatible}");
        assert_eq!(received[1].header("content-type"), Some(&*content));
        assert_eq!(received[1].header("x-more"), Some("m"));
        let create = match kind {
            true => "{\"create\":{\"_index\":\"services\",\"_type\":\"t\"}}",
            false => "{\"create\":{\"_index\":\"services\"}}",
        };
        let entry = "{\"a\":\"b\",\"route_id\":\"1\"}";
        assert_eq!(received[1].body, format!("{create}\n{entry}\n").repeat(2));
    }
}

#[tokio::test]
async fn a_server_that_does_not_tell_its_version_is_asked_again() {
    let server = HttpServer::new([(200, "{}"), (200, EIGHT), (200, "{}")]).await;
    let logger = Logger::new::<ElasticsearchLogger>(json!({
        "endpoint_addr": server.url(""), "field": {"index": "i"}, "max_retry_count": 1, "retry_delay": 0,
    }));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!((server.received().len(), logger.failed()), (3, 0));
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<ElasticsearchLogger>();
    let field = json!({"index": "i"});
    let both = json!({"endpoint_addr": "http://a", "endpoint_addrs": ["http://a"], "field": field});
    let (_, message) = refused(&definition, both);
    assert_eq!(message, "expected either endpoint_addrs or endpoint_addr");
    let slash = json!({"endpoint_addrs": ["http://a/"], "field": field});
    assert_eq!(refused(&definition, slash).0, "/endpoint_addrs/0");
    let none = json!({"endpoint_addr": "http://a"});
    assert_eq!(
        refused(&definition, none).1,
        "property \"field\" is required"
    );
    let auth = json!({"endpoint_addr": "http://a", "field": field, "auth": {"username": "u"}});
    assert_eq!(refused(&definition, auth).0, "/auth/password");
}
