use super::RealIp;
use crate::{ip_restriction::IpRestriction, testing::*};
use crossway_sdk::{
    definition::Definition,
    expr::{Lookup, Value as Answer, Variable},
};
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<RealIp>()
}

/// The client after the plugin, as `$remote_addr:$remote_port`; the peer is 192.0.2.1:40000.
async fn client(config: Value, target: &str, lines: &str) -> String {
    let plugin = built(&definition(), config);
    let mut scene = scene(get(target, lines)).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(scene.request.peer.to_string(), "192.0.2.1:40000");
    let exchange = scene.exchange();
    let remote = exchange.lookup(&Variable::RemoteAddr).unwrap();
    let mut text = Vec::new();
    remote.write_to(&mut text);
    let client = scene.request.client;
    assert_eq!(String::from_utf8(text).unwrap(), client.ip().to_string());
    client.to_string()
}

const PEER: &str = "192.0.2.1:40000";

#[tokio::test]
async fn the_address_is_taken_from_the_source() {
    let header = json!({"source": "http_x_real_ip"});
    assert_eq!(
        client(header.clone(), "/", "X-Real-IP: 10.0.0.9\r\n").await,
        "10.0.0.9:0"
    );
    assert_eq!(
        client(header.clone(), "/", "X-Real-IP: [::1]:80\r\n").await,
        "[::1]:80"
    );
    assert_eq!(client(header.clone(), "/", "").await, PEER);
    assert_eq!(client(header, "/", "X-Real-IP: nobody\r\n").await, PEER);
    let argument = json!({"source": "arg_realip"});
    assert_eq!(
        client(argument.clone(), "/?realip=1.2.3.4%3A8080", "").await,
        "1.2.3.4:8080"
    );
    assert_eq!(
        client(argument.clone(), "/?realip=1.2.3.4:65536", "").await,
        PEER
    );
    assert_eq!(client(argument, "/?realip", "").await, PEER);
}

#[tokio::test]
async fn of_forwarded_for_the_last_address_counts() {
    let last = json!({"source": "http_x_forwarded_for"});
    for (lines, expected) in [
        ("X-Forwarded-For: 10.0.0.1\r\n", "10.0.0.1:0"),
        ("X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.2:0"),
        ("X-Forwarded-For: 10.0.0.1,  10.0.0.2:81\r\n", "10.0.0.2:81"),
        (
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.3\r\n",
            "10.0.0.3:0",
        ),
        ("X-Forwarded-For: 10.0.0.1,\r\n", PEER),
        ("X-Forwarded-For: 10.0.0.1, unknown\r\n", PEER),
        ("", PEER),
    ] {
        assert_eq!(client(last.clone(), "/", lines).await, expected, "{lines}");
    }
}

#[tokio::test]
async fn trusted_hops_are_passed_over_from_the_end() {
    let through = json!({"source": "http_x_forwarded_for", "recursive": true,
        "trusted_addresses": ["192.0.2.0/24", "10.0.0.0/8"]});
    for (lines, expected) in [
        (
            "X-Forwarded-For: 6.6.6.6, 9.9.9.9, 10.0.0.1\r\n",
            "9.9.9.9:0",
        ),
        (
            "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 10.0.0.2, 10.0.0.1\r\n",
            "6.6.6.6:0",
        ),
        ("X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3:0"),
        ("X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.1\r\n", PEER),
    ] {
        assert_eq!(
            client(through.clone(), "/", lines).await,
            expected,
            "{lines}"
        );
    }
    // Nobody is named as trusted: there is nothing to pass over.
    let open = json!({"source": "http_x_forwarded_for", "recursive": true});
    assert_eq!(
        client(open, "/", "X-Forwarded-For: 9.9.9.9, 10.0.0.1\r\n").await,
        "10.0.0.1:0"
    );
}

#[tokio::test]
async fn who_is_not_trusted_is_not_believed() {
    let lines = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\n";
    for source in ["http_x_forwarded_for", "http_x_real_ip"] {
        for (trusted, expected) in [
            ("192.0.2.1", "10.0.0.1:0"),
            ("192.0.2.2", PEER),
            ("10.0.0.1", PEER),
        ] {
            let config = json!({"source": source, "trusted_addresses": [trusted]});
            assert_eq!(
                client(config, "/", lines).await,
                expected,
                "{source} {trusted}"
            );
        }
    }
}

#[tokio::test]
async fn later_plugins_and_variables_go_by_it() {
    let plugin = built(&definition(), json!({"source": "http_x_real_ip"}));
    let list = built(
        &Definition::of::<IpRestriction>(),
        json!({"whitelist": ["10.0.0.0/8"]}),
    );
    let mut scene = scene(get("/", "X-Real-IP: 10.0.0.9\r\n")).await;
    assert!(!goes_on(scene.access(&*list).await));
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert!(goes_on(scene.access(&*list).await));
    let exchange = scene.exchange();
    let of = |variable| {
        exchange
            .lookup(variable)
            .and_then(|answer: Answer<'_>| answer.number())
    };
    assert_eq!(of(&Variable::RemotePort), Some(0.0));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({})).1, "property \"source\" is required");
    assert_eq!(refused(json!({"source": "http"})).0, "/source");
    assert_eq!(refused(json!({"source": "post_arg_ip"})).0, "/source");
    let (path, message) = refused(json!({"source": "arg_ip", "trusted_addresses": ["::1", "x"]}));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("/trusted_addresses/1", "invalid ip address: x")
    );
    assert_eq!(
        refused(json!({"source": "arg_ip", "trusted_addresses": []})).0,
        "/trusted_addresses"
    );
}
