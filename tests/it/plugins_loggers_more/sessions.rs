//! `syslog` on stream routes: an entry for each session.

use serde_json::{Value, json};

use super::Datagrams;
use crate::stream_nodes::{Node, Streams, UdpClient, UdpNode, upstream};
use crate::support::{PATIENCE, wait_until};

/// The header and the entry of the next message.
async fn message(server: &Datagrams) -> (String, Value) {
    let message = server.next().await;
    let (head, entry) = message.split_once(" - - ").unwrap();
    (head.to_owned(), serde_json::from_str(entry).unwrap())
}

fn syslog(server: &Datagrams) -> Value {
    json!({
        "host": "127.0.0.1", "port": server.port(), "sock_type": "udp", "batch_max_size": 1,
        "log_format": {
            "client": "$remote_addr", "protocol": "$protocol", "status": "$status", "node": "$upstream_addr",
            "in": "$request_length", "out": "$bytes_sent", "uri": "$uri",
        },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_tcp_is_an_entry_when_it_is_over() {
    let (node, server) = (Node::start("a").await, Datagrams::start().await);
    let streams = Streams::start().await;
    let route =
        json!({ "upstream": upstream(&[&node.node()]), "plugins": { "syslog": syslog(&server) } });
    streams.put("/stream_routes/1", route).await;
    let mut client = streams.connect().await;
    assert_eq!(client.line().await.as_deref(), Some("a"));
    client.echo(b"ping").await;
    assert!(server.is_empty());
    drop(client);
    let (head, entry) = message(&server).await;
    assert!(head.starts_with("<46>1 2"), "{head}");
    assert!(head.contains("Z - apisix "), "{head}");
    // What a session has no value for is left out.
    let expected = json!({
        "client": "127.0.0.1", "protocol": "TCP", "status": "200", "node": node.node(), "in": "4", "out": "6",
        "route_id": "1",
    });
    assert_eq!(entry, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_or_found_no_node_is_an_entry_too() {
    let (mut node, server) = (Node::start("a").await, Datagrams::start().await);
    let streams = Streams::start().await;
    let plugins =
        json!({ "syslog": syslog(&server), "ip-restriction": {"blacklist": ["127.0.0.1"]} });
    let route = json!({ "upstream": upstream(&[&node.node()]), "plugins": plugins });
    streams.put("/stream_routes/1", route).await;
    assert_eq!(streams.greeting().await, None);
    let (_, entry) = message(&server).await;
    assert_eq!(
        (&entry["status"], &entry["node"]),
        (&json!("403"), &Value::Null)
    );
    node.stop().await;
    let route =
        json!({ "upstream": upstream(&[&node.node()]), "plugins": { "syslog": syslog(&server) } });
    streams.put("/stream_routes/1", route).await;
    assert_eq!(streams.greeting().await, None);
    let (_, entry) = message(&server).await;
    assert_eq!(entry["status"], "502");
    assert_eq!(entry["out"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_udp_has_the_format_of_the_metadata_and_names_its_service() {
    let (node, server) = (UdpNode::start("a").await, Datagrams::start().await);
    let streams = Streams::with("  udp_idle_timeout: 1\n").await;
    let mut logger = syslog(&server);
    logger.as_object_mut().unwrap().remove("log_format");
    let service = json!({ "upstream": upstream(&[&node.node()]), "plugins": { "syslog": logger } });
    streams.put("/services/s", service).await;
    let route = json!({ "service_id": "s" });
    streams.put("/stream_routes/1", route).await;
    let ask = async || {
        let client = UdpClient::to(streams.udp()).await;
        // Datagrams may be lost; the session is there with the first that came.
        while client.ask(b"hello").await.is_none() {}
    };
    ask().await;
    let said = "syslog's log_format is not set";
    wait_until("the log says why", PATIENCE, || {
        streams.gateway.log().contains(said)
    })
    .await;
    assert!(server.is_empty());
    let metadata = json!({ "log_format": {"by": "$protocol", "status": "$status"} });
    streams.put("/plugin_metadata/syslog", metadata).await;
    ask().await;
    let (_, entry) = message(&server).await;
    assert_eq!(
        entry,
        json!({"by": "UDP", "status": "200", "service_id": "s", "route_id": "1"})
    );
}
