use super::AttachConsumerLabel;
use crate::testing::*;
use crossway_sdk::{
    consumer::{Consumer, Identity},
    definition::Definition,
};
use http::HeaderValue;
use pingora_http::RequestHeader;
use serde_json::json;
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<AttachConsumerLabel>()
}

/// The headers `x-department` and `x-company` that the upstream gets of a client that sent both itself.
async fn sent(labels: Option<&[(&str, &str)]>) -> [Option<String>; 2] {
    let config = json!({"headers": {"X-Department": "$department", "X-Company": "$company"}});
    let plugin = built(&definition(), config);
    let mut scene = scene(get("/", "")).await;
    scene.request.identity = labels.map(|labels| Identity {
        consumer: Arc::new(Consumer {
            serial: 1,
            username: "jack".into(),
            group_id: None,
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            username_header: HeaderValue::from_static("jack"),
            custom_id: None,
        }),
        credential: None,
    });
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    for name in ["x-department", "x-company", "X-COMPANY"] {
        head.append_header(name, "mine").unwrap();
    }
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    ["x-department", "x-company"].map(|name| {
        let values: Vec<_> = head.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1);
        values.first().map(|v| v.to_str().unwrap().to_owned())
    })
}

#[tokio::test]
async fn labels_are_told_and_a_clients_own_words_never_pass_for_them() {
    let both = [("department", "devops"), ("company", "api7")];
    assert_eq!(
        sent(Some(&both)).await,
        [Some("devops".into()), Some("api7".into())]
    );
    assert_eq!(sent(Some(&both[..1])).await, [Some("devops".into()), None]);
    assert_eq!(sent(Some(&[("company", "a\r\nb")])).await, [None, None]);
    assert_eq!(sent(None).await, [None, None]);
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({})).1, "property \"headers\" is required");
    assert_eq!(refused(json!({"headers": {}})).0, "/headers");
    assert_eq!(
        refused(json!({"headers": {"X-A": "label"}})).0,
        "/headers/X-A"
    );
    assert_eq!(
        refused(json!({"headers": {"a b": "$label"}})).0,
        "/headers/a b"
    );
}
