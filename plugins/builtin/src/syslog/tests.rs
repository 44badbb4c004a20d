use super::Syslog;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::{definition::Definition, route::RouteInfo, testing::StreamScene};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn messages_go_by_tcp_one_after_another_on_a_connection_that_is_kept() {
    let (port, mut texts) = tcp_server().await;
    let logger = Logger::new::<Syslog>(json!({
        "host": "127.0.0.1", "port": port, "batch_max_size": 1, "log_format": {"a": "$http_x_one"},
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    drop(logger);
    // Batches may have gone at once, each on its connection.
    let mut all = texts.recv().await.unwrap();
    while all.lines().count() < 2 {
        all.push_str(&texts.recv().await.unwrap());
    }
    for line in all.lines() {
        assert!(line.starts_with("<46>1 2"), "{line}");
        assert!(line.contains("Z a.example apisix "), "{line}");
        assert!(
            line.ends_with(" - - {\"a\":\"1\",\"route_id\":\"1\"}"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn by_udp_each_message_is_a_datagram_and_a_long_one_is_dropped() {
    let (port, socket) = udp_server().await;
    let logger = Logger::new::<Syslog>(json!({
        "host": "127.0.0.1", "port": port, "sock_type": "udp", "drop_limit": 200,
        "log_format": {"body": "$request_body", "answer": "$resp_body"},
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    for _ in 0..2 {
        let message = datagram(&socket).await;
        assert!(
            message.contains("\"answer\":\"response body\""),
            "{message}"
        );
        assert!(message.ends_with("}\n"), "{message}");
    }
    let short = Logger::new::<Syslog>(json!({
        "host": "127.0.0.1", "port": port, "sock_type": "udp", "drop_limit": 20,
    }));
    short.log(&mut finished().await);
    short.finish().await;
    assert!(socket.try_recv(&mut [0; 10]).is_err());
}

/// What is sent of a session of stream route 1 of service s.
fn session() -> StreamScene {
    let mut scene = StreamScene::default();
    scene.session.status = 200;
    scene.session.bytes.received = 7;
    scene.session.route = Some(Arc::new(RouteInfo {
        id: "1".into(),
        service_id: Some("s".into()),
        ..RouteInfo::default()
    }));
    scene
}

#[tokio::test]
async fn a_session_is_an_entry_of_the_fields_that_it_has() {
    let (port, socket) = udp_server().await;
    let config = json!({"host": "127.0.0.1", "port": port, "sock_type": "udp"});
    let format = json!({
        "client": "$remote_addr:$remote_port", "protocol": "$protocol", "status": "$status",
        "received": "$request_length", "uri": "$uri", "body": "$request_body", "answer": "$resp_body",
    });
    let mut own = config.clone();
    own["log_format"] = format.clone();
    let of_metadata = json!({ "log_format": format });
    for logger in [
        Logger::new::<Syslog>(own),
        Logger::with::<Syslog>(config, Some(of_metadata)),
    ] {
        session().log(&*logger.plugin);
        logger.finish().await;
        let message = datagram(&socket).await;
        let (head, entry) = message.split_once(" - - ").unwrap();
        assert!(head.starts_with("<46>1 2"), "{message}");
        // There is no host that the client asked for.
        assert!(head.contains("Z - apisix "), "{message}");
        let entry: Value = serde_json::from_str(entry).unwrap();
        let expected = json!({
            "client": "192.0.2.1:40000", "protocol": "TCP", "status": "200", "received": "7",
            "service_id": "s", "route_id": "1",
        });
        assert_eq!(entry, expected);
    }
}

#[tokio::test]
async fn a_session_has_no_default_entry() {
    let (port, socket) = udp_server().await;
    let logger = Logger::new::<Syslog>(json!({
        "host": "127.0.0.1", "port": port, "sock_type": "udp", "log_format_extra": {"a": "b"},
    }));
    session().log(&*logger.plugin);
    session().log(&*logger.plugin);
    logger.finish().await;
    assert!(socket.try_recv(&mut [0; 10]).is_err());
    assert_eq!(logger.failed(), 0);
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<Syslog>();
    let refused = |more: serde_json::Value| {
        let mut config = json!({"host": "a", "port": 1});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        refused(&definition, config).0
    };
    assert_eq!(refused(json!({"pool_size": 4})), "/pool_size");
    assert_eq!(refused(json!({"flush_limit": 0})), "/flush_limit");
    assert_eq!(refused(json!({"sock_type": "quic"})), "/sock_type");
    assert_eq!(refused(json!({"sock_type": "udp", "tls": true})), "/tls");
}
