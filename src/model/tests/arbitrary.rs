use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{route, set, ssl, upstream};
use crate::model::{
    Consumer, Kind, PluginMetadata, Route, Secret, Ssl, StreamRoute, Upstream, check_all, decode,
    references,
};

/// Any JSON value, with names and texts that the schemas know among the others.
fn any_json() -> impl Strategy<Value = Value> {
    let name = prop_oneof![
        "[a-z_/~0-9]{0,6}",
        Just("nodes".to_owned()),
        Just("upstream".to_owned()),
        Just("plugins".to_owned()),
        Just("_meta".to_owned()),
        Just("host".to_owned()),
        Just("id".to_owned()),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (-3_i32..300).prop_map(|n| json!(f64::from(n))),
        (-3_i32..300).prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("[::1]:80")),
        Just(json!("$secret://vault/1/a")),
        Just(json!("é".repeat(100))),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A valid document and a place in it, known or not, for something unexpected.
fn disturbed() -> impl Strategy<Value = (Kind, Value)> {
    let places = prop::sample::select(vec![
        (Kind::Route, "/uri"),
        (Kind::Route, "/uris"),
        (Kind::Route, "/methods"),
        (Kind::Route, "/priority"),
        (Kind::Route, "/status"),
        (Kind::Route, "/host"),
        (Kind::Route, "/remote_addr"),
        (Kind::Route, "/remote_addrs"),
        (Kind::Route, "/timeout"),
        (Kind::Route, "/vars"),
        (Kind::Route, "/labels"),
        (Kind::Route, "/plugins"),
        (Kind::Route, "/plugins/traffic-split"),
        (Kind::Route, "/upstream"),
        (Kind::Route, "/upstream/nodes"),
        (Kind::Route, "/id"),
        (Kind::Upstream, "/nodes"),
        (Kind::Upstream, "/nodes/a:80"),
        (Kind::Upstream, "/checks"),
        (Kind::Upstream, "/checks/active"),
        (Kind::Upstream, "/checks/active/healthy/http_statuses"),
        (Kind::Upstream, "/checks/passive/unhealthy/timeouts"),
        (Kind::Upstream, "/tls"),
        (Kind::Upstream, "/keepalive_pool/size"),
        (Kind::Upstream, "/retries"),
        (Kind::Upstream, "/retry_timeout"),
        (Kind::Upstream, "/key"),
        (Kind::Upstream, "/create_time"),
        (Kind::Ssl, "/cert"),
        (Kind::Ssl, "/certs"),
        (Kind::Ssl, "/client"),
        (Kind::Ssl, "/snis"),
        (Kind::StreamRoute, "/protocol"),
        (Kind::StreamRoute, "/server_port"),
        (Kind::Secret, "/auth_config"),
        (Kind::Secret, "/token"),
        (Kind::Consumer, "/username"),
        (Kind::Credential, "/id"),
        (Kind::PluginMetadata, "/id"),
        (Kind::GlobalRule, "/plugins"),
        (Kind::Proto, "/content"),
    ]);
    (places, any_json()).prop_map(|((kind, place), value)| {
        let document = match kind {
            Kind::Route => route(),
            Kind::Upstream => upstream(),
            Kind::Ssl => ssl(),
            Kind::Consumer => json!({"username": "jack"}),
            _ => json!({"id": "1"}),
        };
        (kind, set(document, place, value))
    })
}

/// Whether the typed model takes the document.
fn decodes(kind: Kind, document: &Value) -> bool {
    match kind {
        Kind::Route => decode::<Route>(document).is_ok(),
        Kind::Upstream => decode::<Upstream>(document).is_ok(),
        Kind::Ssl => decode::<Ssl>(document).is_ok(),
        Kind::StreamRoute => decode::<StreamRoute>(document).is_ok(),
        Kind::Secret => decode::<Secret>(document).is_ok(),
        Kind::Consumer => decode::<Consumer>(document).is_ok(),
        Kind::PluginMetadata => decode::<PluginMetadata>(document).is_ok(),
        _ => true,
    }
}

/// The schema and its rules, and the model, were written apart; they must agree on what is accepted:
/// a problem that only the model finds is one that the served schema hides.
fn agree(kind: Kind, document: &Value) -> Result<(), TestCaseError> {
    let row = kind.row();
    let schema = row
        .narrow
        .and_then(|narrow| narrow(document))
        .unwrap_or_else(|| row.compiled());
    let mut problems = schema.problems(document);
    if problems.is_empty() {
        (row.rules)(document, &mut problems);
    }
    if problems.is_empty() {
        prop_assert!(
            decodes(kind, document),
            "{:?} {} passes its schema only",
            kind,
            document
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_json_makes_a_check_panic(value in any_json()) {
        for kind in Kind::ALL {
            for problem in check_all(*kind, &value) {
                prop_assert!(problem.path.is_empty() || problem.path.starts_with('/'));
                prop_assert!(!problem.message.is_empty());
            }
            decodes(*kind, &value);
            references(*kind, &value);
            agree(*kind, &value)?;
        }
    }

    #[test]
    fn no_disturbed_document_makes_a_check_panic((kind, document) in disturbed()) {
        check_all(kind, &document);
        references(kind, &document);
        decodes(kind, &document);
        agree(kind, &document)?;
    }
}
