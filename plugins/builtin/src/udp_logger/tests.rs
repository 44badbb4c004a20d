use super::{UdpLogger, parts};
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

#[tokio::test]
async fn a_batch_is_a_datagram_with_an_array() {
    let (port, socket) = udp_server().await;
    let logger = Logger::new::<UdpLogger>(json!({"host": "127.0.0.1", "port": port}));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let batch: Value = serde_json::from_str(&datagram(&socket).await).unwrap();
    assert_eq!(batch.as_array().unwrap().len(), 2);
    let one =
        json!({"host": "127.0.0.1", "port": port, "batch_max_size": 1, "log_format": {"a": "b"}});
    let logger = Logger::new::<UdpLogger>(one);
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(datagram(&socket).await, "{\"a\":\"b\",\"route_id\":\"1\"}");
}

#[test]
fn what_does_not_fit_into_one_datagram_goes_in_several() {
    let sizes = |lines: &[usize]| {
        let lines: Vec<_> = lines.iter().map(|n| vec![b'x'; *n]).collect();
        parts(&lines).map(<[_]>::len).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&[10; 5]), [5]);
    assert_eq!(sizes(&[30_000, 30_000, 30_000]), [2, 1]);
    assert_eq!(sizes(&[65_505]), [1]);
    assert_eq!(sizes(&[70_000, 10, 10]), [1, 2]);
}

#[test]
fn what_cannot_be_sent_to_is_refused() {
    let definition = Definition::of::<UdpLogger>();
    assert_eq!(
        refused(&definition, json!({"port": 1})).1,
        "property \"host\" is required"
    );
    assert_eq!(
        refused(&definition, json!({"host": "a", "port": 1, "timeout": 0})).0,
        "/timeout"
    );
}
