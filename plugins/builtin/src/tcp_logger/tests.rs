use super::TcpLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

#[tokio::test]
async fn each_batch_is_a_connection() {
    let (port, mut texts) = tcp_server().await;
    let logger = Logger::new::<TcpLogger>(json!({"host": "127.0.0.1", "port": port}));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let batch: Value = serde_json::from_str(&texts.recv().await.unwrap()).unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2);
    assert_eq!(batch[1]["request"]["method"], "POST");
    let one =
        json!({"host": "127.0.0.1", "port": port, "batch_max_size": 1, "log_format": {"a": "b"}});
    let logger = Logger::new::<TcpLogger>(one);
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(
        texts.recv().await.unwrap(),
        "{\"a\":\"b\",\"route_id\":\"1\"}"
    );
}

#[tokio::test]
async fn absence_and_a_server_that_does_not_speak_tls_are_failures() {
    let port = free_port().await;
    let logger = Logger::new::<TcpLogger>(json!({"host": "127.0.0.1", "port": port}));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
    let plain = HttpServer::new([(200, "")]).await;
    let logger = Logger::new::<TcpLogger>(json!({
        "host": "127.0.0.1", "port": plain.address.port(), "tls": true, "tls_options": "a.example", "timeout": 200,
    }));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
}

#[test]
fn what_cannot_be_sent_to_is_refused() {
    let definition = Definition::of::<TcpLogger>();
    assert_eq!(
        refused(&definition, json!({"host": "a"})).1,
        "property \"port\" is required"
    );
    assert_eq!(
        refused(&definition, json!({"host": "a", "port": 70_000})).0,
        "/port"
    );
    assert_eq!(
        refused(&definition, json!({"host": "", "port": 1})).0,
        "/host"
    );
    let config = json!({"host": "a b", "port": 1, "tls": true});
    assert_eq!(refused(&definition, config).0, "/host");
}
