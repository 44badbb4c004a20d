//! TCP sessions: which node, how long, and what becomes of them when things change.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::stream_nodes::{Client, Node, Streams, upstream};
use crate::support::{PATIENCE, Port, eventually, wait_until};

async fn greetings(streams: &Streams, count: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..count {
        names.insert(
            streams
                .greeting()
                .await
                .unwrap_or_else(|| "closed".to_owned()),
        );
    }
    names
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_spread_over_nodes_and_bytes_come_back_as_they_were() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&a.node(), &b.node()]) });
    streams.put("/stream_routes/1", route).await;
    assert_eq!(greetings(&streams, 4).await, names(&["a", "b"]));
    let mut client = streams.connect().await;
    client.line().await.expect("a greeting");
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let (mut from, mut to) = client.stream.split();
    let mut back = vec![0; large.len()];
    let (written, read) = tokio::join!(
        to.write_all(&large),
        tokio::io::AsyncReadExt::read_exact(&mut from, &mut back)
    );
    written
        .and(read.map(drop))
        .expect("three million bytes and back");
    assert!(back == large, "the bytes have changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_route_a_connection_is_closed() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    assert_eq!(streams.greeting().await, None);
    let elsewhere = json!({ "server_port": 1, "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", elsewhere).await;
    assert_eq!(streams.greeting().await, None);
    let stranger = json!({ "remote_addr": "10.0.0.0/8", "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", stranger).await;
    assert_eq!(streams.greeting().await, None);
    let port = streams.tcp().port();
    let here = json!({ "server_port": port, "server_addr": "127.0.0.1", "remote_addr": "127.0.0.0/8",
        "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", here).await;
    assert_eq!(streams.greeting().await.as_deref(), Some("a"));
    streams.gateway.remove("/stream_routes/1").await;
    assert_eq!(streams.greeting().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_down_is_passed_over_and_used_again() {
    let (a, mut b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let route = json!({ "upstream": upstream(&[&a.node(), &b.node()]) });
    streams.put("/stream_routes/1", route).await;
    b.stop().await;
    assert_eq!(greetings(&streams, 6).await, names(&["a"]));
    b.resume().await;
    assert_eq!(greetings(&streams, 6).await, names(&["a", "b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_ends_its_sessions_and_the_next_go_elsewhere() {
    let (mut a, b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let mut document = upstream(&[&a.node()]);
    document["nodes"] = json!([
        { "host": "127.0.0.1", "port": port_of(&a), "weight": 1, "priority": 1 },
        { "host": "127.0.0.1", "port": port_of(&b), "weight": 1, "priority": 0 },
    ]);
    streams
        .put("/stream_routes/1", json!({ "upstream": document }))
        .await;
    let mut session = streams.connect().await;
    assert_eq!(session.line().await.as_deref(), Some("a"));
    session.echo(b"ping").await;
    a.stop().await;
    assert_eq!(session.rest().await, b"");
    assert_eq!(streams.greeting().await.as_deref(), Some("b"));
}

fn port_of(node: &Node) -> u16 {
    node.node().rsplit_once(':').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_check_takes_a_node_out_and_the_control_api_shows_it() {
    let (a, mut b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let mut document = upstream(&[&a.node(), &b.node()]);
    document["scheme"] = json!("tcp");
    document["retries"] = json!(0);
    document["checks"] = json!({ "active": {
        "type": "tcp",
        "healthy": { "interval": 1, "successes": 1 },
        "unhealthy": { "interval": 1, "tcp_failures": 1 },
    }});
    streams
        .put("/stream_routes/1", json!({ "upstream": document }))
        .await;
    assert_eq!(greetings(&streams, 4).await, names(&["a", "b"]));
    b.stop().await;
    eventually("the dead node is left out", PATIENCE, async || {
        greetings(&streams, 4).await == names(&["a"])
    })
    .await;
    let report = streams
        .gateway
        .control("/v1/healthcheck/stream_routes/1")
        .await;
    let report = report.expect_status(200).json();
    let unhealthy: Vec<_> = report["nodes"].as_array().unwrap().iter().collect();
    let unhealthy: Vec<_> = unhealthy
        .iter()
        .filter(|n| n["status"] == "unhealthy")
        .collect();
    assert_eq!(unhealthy.len(), 1, "{report}");
    assert_eq!(unhealthy[0]["port"], port_of(&b));
    b.resume().await;
    eventually("the node is back", PATIENCE, async || {
        greetings(&streams, 4).await == names(&["a", "b"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_for_new_sessions_and_an_open_one_goes_on() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let to = |node: &Node| json!({ "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", to(&a)).await;
    let mut open = streams.connect().await;
    assert_eq!(open.line().await.as_deref(), Some("a"));
    streams.put("/stream_routes/1", to(&b)).await;
    assert_eq!(streams.greeting().await.as_deref(), Some("b"));
    open.echo(b"still here").await;
    streams.gateway.remove("/stream_routes/1").await;
    assert_eq!(streams.greeting().await, None);
    open.echo(b"still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_brings_upstream_and_plugins() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let streams_of = |blacklist: &str| {
        json!({
            "upstream": upstream(&[&a.node()]),
            // What has no stream half is for the HTTP routes of the service.
            "plugins": { "cors": {}, "ip-restriction": { "blacklist": [blacklist] } },
        })
    };
    streams.put("/services/s", streams_of("10.0.0.0/8")).await;
    streams
        .put("/stream_routes/1", json!({ "service_id": "s" }))
        .await;
    assert_eq!(streams.greeting().await.as_deref(), Some("a"));
    streams.put("/services/s", streams_of("127.0.0.0/8")).await;
    assert_eq!(streams.greeting().await, None);
    // The route's own configuration and upstream win.
    let own = json!({ "service_id": "s", "upstream": upstream(&[&b.node()]),
        "plugins": { "ip-restriction": { "whitelist": ["127.0.0.1"] } } });
    streams.put("/stream_routes/1", own).await;
    assert_eq!(streams.greeting().await.as_deref(), Some("b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_a_session() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    let mut document = upstream(&[&node.node()]);
    document["timeout"] = json!({ "connect": 1, "send": 0.5, "read": 0.5 });
    streams
        .put("/stream_routes/1", json!({ "upstream": document }))
        .await;
    let mut client = streams.connect().await;
    client.line().await.expect("a greeting");
    let quiet = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert!(
        quiet.elapsed() >= Duration::from_millis(400),
        "{:?}",
        quiet.elapsed()
    );
    wait_until("the node has lost it, too", PATIENCE, || node.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_one_side_is_passed_on_and_the_other_goes_on() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    let mut client = streams.connect().await;
    client.line().await.expect("a greeting");
    client.send(b"last words").await;
    client.stream.shutdown().await.unwrap();
    // The node echoes until it hears the end, and then ends, too.
    assert_eq!(client.rest().await, b"last words");
    wait_until("the session is over", PATIENCE, || node.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_not_kept_at_the_node() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    for reset in [false, true] {
        let mut client = streams.connect().await;
        client.line().await.expect("a greeting");
        if reset {
            client.stream.set_zero_linger().unwrap();
        }
        drop(client);
        wait_until("the node has lost it, too", PATIENCE, || node.open() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ip_restriction_and_limit_conn_close_what_they_refuse() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    let with = |plugins| json!({ "upstream": upstream(&[&node.node()]), "plugins": plugins });
    let refusing = with(json!({ "ip-restriction": { "blacklist": ["127.0.0.0/8"] } }));
    streams.put("/stream_routes/1", refusing).await;
    assert_eq!(streams.greeting().await, None);
    assert_eq!(node.accepted(), 0, "nothing reaches the node");

    let limit = json!({ "conn": 2, "burst": 0, "default_conn_delay": 0.01, "key": "remote_addr" });
    streams
        .put("/stream_routes/1", with(json!({ "limit-conn": limit })))
        .await;
    let mut first = streams.connect().await;
    let mut second = streams.connect().await;
    assert!(first.line().await.is_some() && second.line().await.is_some());
    assert_eq!(streams.greeting().await, None);
    drop(first);
    eventually("there is room again", PATIENCE, async || {
        streams.greeting().await.is_some()
    })
    .await;
    second.echo(b"not disturbed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_split_over_upstreams() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let streams = Streams::start().await;
    let mut canary = upstream(&[&b.node()]);
    canary["scheme"] = json!("tcp");
    streams.put("/upstreams/canary", canary).await;
    let rules = json!([{ "weighted_upstreams": [{ "upstream_id": "canary", "weight": 1 }, { "weight": 1 }] }]);
    let route = json!({ "upstream": upstream(&[&a.node()]), "plugins": { "traffic-split": { "rules": rules } } });
    streams.put("/stream_routes/1", route).await;
    assert_eq!(greetings(&streams, 4).await, names(&["a", "b"]));
    assert_eq!((a.accepted(), b.accepted()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_counted_under_the_names_of_apisix() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    let route =
        |node: &str| json!({ "upstream": upstream(&[node]), "plugins": { "prometheus": {} } });
    streams.put("/stream_routes/1", route(&node.node())).await;
    let mut client = streams.connect().await;
    client.line().await.expect("a greeting");
    client.echo(b"12345").await;
    let listen = format!("listen_addr=\"{}\"", streams.tcp());
    let has = async |line: String| {
        eventually(&line, PATIENCE, async || {
            streams.gateway.metrics().await.lines().any(|l| l == line)
        })
        .await;
    };
    has(format!("apisix_stream_active_connections{{{listen}}} 1")).await;
    has(format!(
        "apisix_stream_bandwidth{{{listen},type=\"ingress\",side=\"downstream\"}} 5"
    ))
    .await;
    has(format!(
        "apisix_stream_bandwidth{{{listen},type=\"egress\",side=\"downstream\"}} 7"
    ))
    .await;
    drop(client);
    has("apisix_stream_connection_total{route=\"1\"} 1".to_owned()).await;
    let node = node.node();
    has(format!(
        "apisix_stream_status{{code=\"200\",{listen},node=\"{node}\"}} 1"
    ))
    .await;
    has(format!("apisix_stream_active_connections{{{listen}}} 0")).await;
    let nobody = Port::reserve().addr().to_string();
    streams.put("/stream_routes/1", route(&nobody)).await;
    assert_eq!(streams.greeting().await, None);
    has(format!(
        "apisix_stream_status{{code=\"502\",{listen},node=\"{nobody}\"}} 1"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_short_sessions_leave_nothing_behind() {
    let node = Node::start("a").await;
    let streams = Streams::start().await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    let descriptors = || {
        let folder = format!("/proc/{}/fd", streams.gateway.process_id());
        std::fs::read_dir(folder).unwrap().count()
    };
    streams.greeting().await.expect("a greeting");
    wait_until("the first session is over", PATIENCE, || node.open() == 0).await;
    let before = descriptors();
    let address = streams.tcp();
    for _ in 0..40 {
        let mut sessions = tokio::task::JoinSet::new();
        for number in 0..50 {
            sessions.spawn(async move {
                let mut client = Client::to(address).await;
                // Some leave at once, some are served.
                if number % 3 > 0 {
                    client.line().await.expect("a greeting");
                    client.echo(b"x").await;
                }
            });
        }
        sessions.join_all().await;
    }
    assert!(node.accepted() > 1300, "{}", node.accepted());
    wait_until("all sessions are over", PATIENCE, || {
        node.open() == 0 && descriptors() <= before + 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_session_gets_the_drain_timeout() {
    let node = Node::start("a").await;
    for (timeout, polite) in [("20", true), ("1", false)] {
        let settings =
            format!("stream:\n  tcp: \"{{tcp}}\"\nshutdown:\n  drain_timeout: {timeout}\n");
        let mut streams = Streams::built(&settings, &[]).await;
        streams
            .put(
                "/stream_routes/1",
                json!({ "upstream": upstream(&[&node.node()]) }),
            )
            .await;
        let mut client = streams.connect().await;
        client.line().await.expect("a greeting");
        let address = streams.tcp();
        streams.gateway.ask_to_stop();
        eventually("no new session is taken", PATIENCE, async || {
            tokio::net::TcpStream::connect(address).await.is_err()
        })
        .await;
        if polite {
            client.echo(b"still served").await;
            drop(client);
        } else {
            assert_eq!(client.rest().await, b"", "cut off");
        }
        streams.gateway.ends_within(Duration::from_secs(15)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_is_understood_and_spoken() {
    let settings = "listen: {proxy_protocol: {trusted: [127.0.0.1]}}\nstream:\n  tcp: {addr: \"{tcp}\", proxy_protocol: true}\n  proxy_protocol_to_upstream: true\n";
    let node = Node::start("a").await;
    let streams = Streams::built(settings, &[]).await;
    let route = json!({ "upstream": upstream(&[&node.node()]), "remote_addr": "192.0.2.7" });
    streams.put("/stream_routes/1", route).await;
    let mut client = streams.connect().await;
    client
        .send(b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\nhello\n")
        .await;
    assert_eq!(client.line().await.as_deref(), Some("a"));
    let server = streams.tcp();
    let header = format!(
        "PROXY TCP4 192.0.2.7 {} 50000 {}\r",
        server.ip(),
        server.port()
    );
    assert_eq!(client.line().await, Some(header));
    assert_eq!(client.line().await.as_deref(), Some("hello"));
    let mut other = streams.connect().await;
    other
        .send(b"PROXY TCP4 192.0.2.8 198.51.100.1 50000 443\r\nhello\n")
        .await;
    assert_eq!(other.line().await, None, "no route for that client");
}
