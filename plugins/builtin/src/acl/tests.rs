use super::Acl;
use crate::testing::*;
use crossway_sdk::{
    consumer::{Consumer, Identity},
    definition::Definition,
    flow::Flow,
};
use http::HeaderValue;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

fn definition() -> Definition {
    Definition::of::<Acl>()
}

fn consumer(labels: &[(&str, &str)]) -> Identity {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect();
    Identity {
        consumer: Arc::new(Consumer {
            serial: 1,
            username: "jack".into(),
            group_id: None,
            labels,
            username_header: HeaderValue::from_static("jack"),
            custom_id: None,
        }),
        credential: None,
    }
}

async fn of_consumer(config: Value, labels: &[(&str, &str)]) -> bool {
    let plugin = built(&definition(), config);
    let mut scene = scene(get("/", "")).await;
    scene.request.identity = Some(consumer(labels));
    goes_on(scene.access(&*plugin).await)
}

async fn of_user(config: Value, user: Value) -> bool {
    let plugin = built(&definition(), config);
    let mut scene = scene(get("/", "")).await;
    scene.request.external_user = Some(Arc::new(user));
    goes_on(scene.access(&*plugin).await)
}

#[tokio::test]
async fn labels_admit_and_refuse_consumers() {
    let wanted = json!({"org": ["apache"], "project": ["gateway", "web"]});
    for (labels, has) in [
        (&[("org", "apache")][..], true),
        (&[("org", "other"), ("project", "web")], true),
        (&[("org", "other")], false),
        (&[("project", "tomcat , gateway")], true),
        (&[("project", "[\"web\",\"x\"]")], true),
        (&[("project", "[\"x\"]")], false),
        (&[("project", "[web")], false),
        (&[("project", "webx,xgateway")], false),
        (&[], false),
    ] {
        let allowed = of_consumer(json!({"allow_labels": wanted}), labels).await;
        assert_eq!(allowed, has, "{labels:?}");
        let denied = !of_consumer(json!({"deny_labels": wanted}), labels).await;
        assert_eq!(denied, has, "{labels:?}");
    }
}

#[tokio::test]
async fn what_is_denied_is_denied_although_it_is_allowed() {
    let both = json!({"allow_labels": {"a": ["1"]}, "deny_labels": {"b": ["2"]}});
    assert!(of_consumer(both.clone(), &[("a", "1")]).await);
    assert!(!of_consumer(both.clone(), &[("a", "1"), ("b", "2")]).await);
    assert!(!of_consumer(both, &[("b", "3")]).await);
}

#[tokio::test]
async fn who_is_nobody_is_told_so() {
    let plugin = built(&definition(), json!({"deny_labels": {"a": ["1"]}}));
    assert_eq!(
        said(scene(get("/", "")).await.access(&*plugin).await),
        (
            401,
            "{\"message\":\"Missing authentication.\"}\n".to_owned()
        )
    );
}

#[tokio::test]
async fn a_refusal_has_a_message() {
    let refusal = async |config: Value| {
        let plugin = built(&definition(), config);
        let mut scene = scene(get("/", "")).await;
        scene.request.identity = Some(consumer(&[]));
        said(scene.access(&*plugin).await)
    };
    assert_eq!(
        refusal(json!({"allow_labels": {"a": ["1"]}})).await,
        (
            403,
            "{\"message\":\"The consumer is forbidden.\"}\n".to_owned()
        )
    );
    let own = json!({"allow_labels": {"a": ["1"]}, "rejected_code": 451, "rejected_msg": "no"});
    assert_eq!(
        refusal(own).await,
        (451, "{\"message\":\"no\"}\n".to_owned())
    );
}

#[tokio::test]
async fn users_of_an_identity_provider_have_their_label_in_a_field() {
    let allow = |more: Value| {
        let mut config = json!({"allow_labels": {"groups": ["dev"]}});
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        config
    };
    for (user, has) in [
        (json!({"groups": ["ops", "dev"]}), true),
        (json!({"groups": "dev"}), true),
        (json!({"groups": "ops, dev"}), true),
        (json!({"groups": "[\"dev\"]"}), true),
        (json!({"groups": ["ops"]}), false),
        (json!({"groups": 7}), false),
        (json!({}), false),
    ] {
        assert_eq!(of_user(allow(json!({})), user.clone()).await, has, "{user}");
    }
    let nested = json!({"external_user_label_field": "$.realm.groups", "external_user_label_field_key": "groups"});
    assert!(of_user(allow(nested), json!({"realm": {"groups": ["dev"]}})).await);
    let segmented = json!({"external_user_label_field_parser": "segmented_text", "external_user_label_field_separator": "[|;]"});
    assert!(of_user(allow(segmented.clone()), json!({"groups": "ops | dev"})).await);
    assert!(!of_user(allow(segmented), json!({"groups": "ops,dev"})).await);
    let list = json!({"external_user_label_field_parser": "table"});
    assert!(!of_user(allow(list), json!({"groups": "dev"})).await);
    let text = json!({"external_user_label_field_parser": "json"});
    assert!(!of_user(allow(text), json!({"groups": ["dev"]})).await);
}

#[tokio::test]
async fn a_consumer_counts_before_a_user() {
    let plugin = built(&definition(), json!({"allow_labels": {"groups": ["dev"]}}));
    let mut scene = scene(get("/", "")).await;
    scene.request.identity = Some(consumer(&[("groups", "ops")]));
    scene.request.external_user = Some(Arc::new(json!({"groups": ["dev"]})));
    assert!(matches!(
        scene.access(&*plugin).await.unwrap(),
        Flow::Respond(_)
    ));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected at least one of allow_labels and deny_labels"
    );
    assert_eq!(refused(json!({"allow_labels": {}})).0, "/allow_labels");
    assert_eq!(
        refused(json!({"allow_labels": {"a": []}})).0,
        "/allow_labels/a"
    );
    assert_eq!(
        refused(json!({"deny_labels": {"a": [1]}})).0,
        "/deny_labels/a/0"
    );
    let with = |name: &str, value: &str| {
        let mut config = json!({"deny_labels": {"a": ["1"]}});
        config[name] = json!(value);
        config
    };
    assert_eq!(
        refused(with("external_user_label_field_parser", "segmented_text")).0,
        "/external_user_label_field_separator"
    );
    assert_eq!(
        refused(with("external_user_label_field_separator", "a(")).0,
        "/external_user_label_field_separator"
    );
    assert_eq!(
        refused(with("external_user_label_field", "$[?(@.a)]")).0,
        "/external_user_label_field"
    );
}

/// Whoever chooses the label must not get around a denial by making its reading too long.
#[tokio::test]
async fn a_label_that_cannot_be_read_to_its_end_admits_nobody() {
    let separated = |lists: Value| {
        let mut config = json!({
            "external_user_label_field_parser": "segmented_text",
            "external_user_label_field_separator": "(?:(?=a)a|a)+$",
        });
        config
            .as_object_mut()
            .unwrap()
            .extend(lists.as_object().unwrap().clone());
        config
    };
    let label = format!("{}!|bad", "a".repeat(60));
    let user = json!({"groups": label});
    for lists in [
        json!({"deny_labels": {"groups": ["bad"]}}),
        json!({"allow_labels": {"groups": ["good"]}}),
    ] {
        assert!(
            !of_user(separated(lists.clone()), user.clone()).await,
            "{lists}"
        );
    }
}
