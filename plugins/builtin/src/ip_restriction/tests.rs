use super::IpRestriction;
use crate::testing::*;
use crossway_sdk::definition::Definition;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

fn definition() -> Definition {
    Definition::of::<IpRestriction>()
}

async fn status(config: Value, client: &str) -> u16 {
    let plugin = built(&definition(), config);
    // What the client writes about itself does not count.
    let mut scene = scene(get(
        "/",
        "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n",
    ))
    .await;
    scene.request.client = SocketAddr::new(client.parse::<IpAddr>().unwrap(), 1);
    match scene.access(&*plugin).await.unwrap() {
        crossway_sdk::flow::Flow::Next => 200,
        crossway_sdk::flow::Flow::Respond(reply) => reply.status.as_u16(),
    }
}

#[tokio::test]
async fn lists_admit_and_refuse_by_address() {
    let networks = json!(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
    for (client, listed) in [
        ("10.255.0.1", true),
        ("11.0.0.0", false),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8::1", true),
        ("2001:db9::1", false),
        // A client of a dual-stack socket.
        ("::ffff:10.1.1.1", true),
        ("::ffff:11.1.1.1", false),
    ] {
        let admitted = status(json!({"whitelist": networks}), client).await;
        assert_eq!(admitted, if listed { 200 } else { 403 }, "{client}");
        let refused = status(json!({"blacklist": networks}), client).await;
        assert_eq!(refused, if listed { 403 } else { 200 }, "{client}");
    }
}

#[tokio::test]
async fn a_refusal_has_a_message() {
    let refusal = async |config: Value| {
        said(
            scene(get("/", ""))
                .await
                .access(&*built(&definition(), config))
                .await,
        )
    };
    assert_eq!(
        refusal(json!({"blacklist": ["192.0.2.1"]})).await,
        (
            403,
            "{\"message\":\"Your IP address is not allowed\"}\n".to_owned()
        )
    );
    let chosen = json!({"whitelist": ["::1"], "message": "no", "response_code": 404});
    assert_eq!(
        refusal(chosen).await,
        (404, "{\"message\":\"no\"}\n".to_owned())
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected either whitelist or blacklist, got neither"
    );
    assert_eq!(
        refused(json!({"whitelist": ["::1"], "blacklist": ["::1"]})).1,
        "expected either whitelist or blacklist, got both"
    );
    let (path, message) = refused(json!({"blacklist": ["::1", "10.0.0.0/33", "x"]}));
    assert_eq!(path, "/blacklist/1");
    assert!(message.contains("10.0.0.0/33"), "{message}");
    assert_eq!(refused(json!({"whitelist": []})).0, "/whitelist");
    assert_eq!(
        refused(json!({"whitelist": ["::1"], "message": ""})).0,
        "/message"
    );
    let long = json!({"whitelist": ["::1"], "message": "x".repeat(1025)});
    assert_eq!(refused(long).0, "/message");
    assert_eq!(
        refused(json!({"whitelist": ["::1"], "response_code": 405})).0,
        "/response_code"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_whitelist_and_a_blacklist_of_the_same_are_opposites(
        networks in prop::collection::vec("[0-9]{1,2}\\.[0-9]{1,2}\\.0\\.0/(8|12|16)", 1..20),
        client in "[0-9]{1,2}\\.[0-9]{1,2}\\.[0-9]{1,2}\\.1",
    ) {
        let leading_zero = |text: &String| {
            text.split(['.', '/']).any(|part| part.len() > 1 && part.starts_with('0'))
        };
        prop_assume!(!networks.iter().chain([&client]).any(leading_zero));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (white, black) = runtime.block_on(async {
            (
                status(json!({"whitelist": networks}), &client).await,
                status(json!({"blacklist": networks}), &client).await,
            )
        });
        prop_assert!((white == 200) != (black == 200));
    }
}

#[tokio::test]
async fn a_session_is_judged_by_its_client() {
    let plugin = built(&definition(), json!({"whitelist": ["10.0.0.0/8"]}));
    for (client, admitted) in [
        ("10.0.0.1:1", true),
        ("192.0.2.1:1", false),
        ("[::ffff:10.0.0.1]:1", true),
    ] {
        let mut scene = crossway_sdk::testing::StreamScene::default();
        scene.session.client = client.parse().unwrap();
        assert_eq!(goes_on(scene.access(&*plugin).await), admitted, "{client}");
    }
}
