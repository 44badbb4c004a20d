use super::{KafkaLogger, origin};
use crate::{
    logger::{BodyConfig, FormatConfig, Recorder, testing::*},
    testing::{built, refused},
};
use crossway_sdk::{build::BuildCx, definition::Definition, testing::Bench};
use serde_json::{Value, json};

#[tokio::test]
async fn a_cluster_that_is_away_costs_the_batch_and_no_more_than_its_time() {
    let port = free_port().await;
    let logger = Logger::new::<KafkaLogger>(json!({
        "brokers": [{"host": "127.0.0.1", "port": port}], "kafka_topic": "t", "timeout": 1,
    }));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
}

#[tokio::test]
async fn the_origin_of_a_request_is_its_head_and_its_body_when_included() {
    let bench = Bench::default();
    let cx = BuildCx::new("routes/1", "kafka-logger", None, None, &bench);
    let bodies = BodyConfig::default();
    let recorder = Recorder::new(&cx, &FormatConfig::default(), &bodies).unwrap();
    let mut scene = finished().await;
    let text = recorder.with(&mut scene.exchange(), |part| origin::of(&part));
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.starts_with("POST /a%20b?q=1&q=2&flag&e=%C3%A4 HTTP/1.1\r\nhost: A.example\r\n"),
        "{text}"
    );
    assert!(text.ends_with("content-length: 12\r\n\r\n"), "{text}");
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<KafkaLogger>();
    let broker = |sasl: Value| json!({"host": "a", "port": 9092, "sasl_config": sasl});
    let plain = json!({"user": "u", "password": "p"});
    let scram = json!({"mechanism": "SCRAM-SHA-512", "user": "u", "password": "p"});
    let with = |name: &str, value: Value| json!({"kafka_topic": "t", name: value});
    drop(built(
        &definition,
        with("brokers", json!([broker(plain.clone())])),
    ));
    drop(built(
        &definition,
        with("broker_list", json!({"127.0.0.1": 9092})),
    ));
    let refused = |config| refused(&definition, config);
    let (path, message) = refused(with(
        "brokers",
        json!([broker(plain.clone()), broker(scram)]),
    ));
    assert_eq!(path, "/brokers/1/sasl_config");
    assert!(message.contains("the same sasl_config"), "{message}");
    let mechanism = json!({"mechanism": "GSSAPI", "user": "u", "password": "p"});
    let (path, _) = refused(with("brokers", json!([broker(mechanism)])));
    assert!(path.starts_with("/brokers/0/sasl_config"), "{path}");
    assert_eq!(refused(with("broker_list", json!({}))).0, "/broker_list");
    assert!(
        refused(json!({"kafka_topic": "t"}))
            .1
            .contains("brokers or broker_list")
    );
    let acks = json!({"kafka_topic": "t", "broker_list": {"a": 1}, "required_acks": 0});
    assert_eq!(refused(acks).0, "/required_acks");
}
