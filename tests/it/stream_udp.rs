//! UDP sessions: datagrams of one client address, and the answers to them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::stream_nodes::{Streams, UdpClient, UdpNode, upstream};
use crate::support::{PATIENCE, Port, eventually};

/// Asks until an answer comes: UDP promises nothing.
async fn answer(client: &UdpClient, datagram: &[u8]) -> String {
    for _ in 0..20 {
        if let Some(answer) = client.ask(datagram).await {
            return answer;
        }
    }
    panic!("no answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_its_node_and_another_client_gets_another_one() {
    let (a, b) = (UdpNode::start("a").await, UdpNode::start("b").await);
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&a.node(), &b.node()]) });
    streams.put("/stream_routes/1", route).await;
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let client = UdpClient::to(streams.udp()).await;
        let first = answer(&client, b"one").await;
        let node = first.strip_suffix(":one").unwrap().to_owned();
        for _ in 0..3 {
            assert_eq!(answer(&client, b"two").await, format!("{node}:two"));
        }
        seen.insert(node);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    let client = UdpClient::to(streams.udp()).await;
    let large = vec![b'x'; 8000];
    assert_eq!(answer(&client, &large).await.len(), 8002);
    assert_eq!(
        answer(&client, b"").await.len(),
        2,
        "an empty datagram is one, too"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_route_or_is_refused_gets_no_answer_and_is_counted() {
    let node = UdpNode::start("a").await;
    let streams = Streams::start().await;
    let client = UdpClient::to(streams.udp()).await;
    assert_eq!(client.ask(b"hello").await, None);
    let dropped = format!(
        "apisix_stream_datagrams_dropped_total{{listen_addr=\"{}\"}} 1",
        streams.udp()
    );
    eventually(&dropped, PATIENCE, async || {
        streams
            .gateway
            .metrics()
            .await
            .lines()
            .any(|l| l == dropped)
    })
    .await;
    let refusing = json!({ "upstream": upstream(&[&node.node()]),
        "plugins": { "ip-restriction": { "blacklist": ["127.0.0.1"] } } });
    streams.put("/stream_routes/1", refusing).await;
    assert_eq!(client.ask(b"hello").await, None);
    let serving =
        json!({ "server_port": streams.udp().port(), "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", serving).await;
    assert_eq!(answer(&client, b"hello").await, "a:hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_makes_way_for_the_next() {
    let node = UdpNode::start("a").await;
    let nobody = Port::reserve();
    let streams = Streams::start().await;
    let mut document = upstream(&[]);
    document["scheme"] = json!("udp");
    let port = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    document["nodes"] = json!([
        { "host": "127.0.0.1", "port": nobody.addr().port(), "weight": 1, "priority": 1 },
        { "host": "127.0.0.1", "port": port(&node.node()), "weight": 1, "priority": 0 },
    ]);
    streams
        .put("/stream_routes/1", json!({ "upstream": document }))
        .await;
    // The kernel tells that nobody listens; the datagram is sent to the next node then.
    let client = UdpClient::to(streams.udp()).await;
    assert_eq!(answer(&client, b"hello").await, "a:hello");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_sessions_than_allowed_and_silence_ends_them() {
    let node = UdpNode::start("a").await;
    let streams = Streams::with("  udp_sessions: 2\n  udp_idle_timeout: 1\n").await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let client = UdpClient::to(streams.udp()).await;
        answer(&client, b"in").await;
        clients.push(client);
    }
    let third = UdpClient::to(streams.udp()).await;
    for client in &clients {
        answer(client, b"still in").await;
    }
    assert_eq!(third.ask(b"out").await, None);
    eventually("there is room again", PATIENCE, async || {
        third.ask(b"in").await.is_some()
    })
    .await;
    // A client whose session has ended begins a new one.
    assert_eq!(answer(&clients[0], b"again").await, "a:again");
}
