//! TLS: passed through by server name, and spoken to nodes.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::stream_nodes::{Client, Node, Streams, upstream};
use crate::support::{Identity, PATIENCE, eventually};

/// A TLS session for this name; `None` when there is no handshake.
async fn tls(
    address: SocketAddr,
    name: &str,
    trusted: &Identity,
) -> Option<Client<TlsStream<TcpStream>>> {
    let config: Arc<rustls::ClientConfig> = trusted.client();
    let stream = TcpStream::connect(address).await.ok()?;
    let name = name.to_owned().try_into().unwrap();
    let handshake = TlsConnector::from(config).connect(name, stream);
    let stream = tokio::time::timeout(PATIENCE, handshake).await.unwrap();
    Some(Client {
        stream: stream.ok()?,
    })
}

async fn greeting(address: SocketAddr, name: &str, trusted: &Identity) -> Option<String> {
    tls(address, name, trusted).await?.line().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_name_decides_and_tls_is_between_client_and_node() {
    let ours = Identity::for_names(&["a.test", "x.b.test", "y.x.b.test"]);
    let a = Node::start_tls("a", &ours).await;
    let b = Node::start_tls("b", &ours).await;
    let rest = Node::start("rest").await;
    let streams = Streams::listening(", tls_passthrough: true", "").await;
    let to = |sni: &str, node: &Node| json!({ "sni": sni, "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", to("A.test", &a)).await;
    streams.put("/stream_routes/2", to("*.b.test", &b)).await;
    let address = streams.tcp();
    let greets = async |name: &str| greeting(address, name, &ours).await;
    assert_eq!(greets("a.test").await.as_deref(), Some("a"));
    assert_eq!(greets("x.b.test").await.as_deref(), Some("b"));
    assert_eq!(
        greets("y.x.b.test").await.as_deref(),
        Some("b"),
        "any depth"
    );
    assert_eq!(greets("b.test").await, None, "no route");
    let mut client = tls(address, "a.test", &ours).await.unwrap();
    client.line().await.expect("a greeting");
    client.echo(&vec![7; 100_000]).await;

    // A route without a name takes the rest, what is no TLS among it.
    let any = json!({ "upstream": upstream(&[&rest.node()]) });
    streams.put("/stream_routes/3", any).await;
    let mut plain = streams.connect().await;
    plain.send(b"no TLS").await;
    assert_eq!(plain.line().await.as_deref(), Some("rest"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_spoken_to_in_tls_and_verified_unless_that_is_switched_off() {
    let theirs = Identity::for_names(&["node.test", "127.0.0.1"]);
    let node = Node::start_tls("a", &theirs).await;
    let folder = tempfile::tempdir().unwrap();
    let authorities = folder.path().join("authorities.pem");
    let stranger = Identity::for_names(&["node.test"]);
    let settings = "stream:\n  tcp: \"{tcp}\"\n";
    for (trusted, verify, greets) in [
        (&theirs, true, true),
        (&stranger, true, false),
        (&stranger, false, true),
    ] {
        std::fs::write(&authorities, &trusted.certificate_pem).unwrap();
        let file = authorities.to_str().unwrap();
        let streams = Streams::built(settings, &[("SSL_CERT_FILE", file)]).await;
        let mut document = upstream(&[&node.node()]);
        document["scheme"] = json!("tls");
        document["tls"] = json!({ "verify": verify });
        streams
            .put("/stream_routes/1", json!({ "upstream": document }))
            .await;
        let mut client = streams.connect().await;
        assert_eq!(client.line().await.is_some(), greets, "{verify}");
        if greets {
            client.echo(&vec![7; 100_000]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_that_never_comes_is_not_waited_for() {
    let node = Node::start("a").await;
    let streams = Streams::listening(", tls_passthrough: true", "  hello_timeout: 0.3\n").await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    let mut silent = streams.connect().await;
    assert_eq!(silent.rest().await, b"");
    let mut half = streams.connect().await;
    half.send(&[0x16, 3, 1, 2]).await;
    assert_eq!(half.rest().await, b"");
    assert_eq!(node.accepted(), 0);
    eventually("nothing is left open", PATIENCE, async || {
        let line = format!(
            "apisix_stream_active_connections{{listen_addr=\"{}\"}} 0",
            streams.tcp()
        );
        streams.gateway.metrics().await.lines().any(|l| l == line)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_ends_at_the_gateway_and_the_server_name_decides() {
    let (a, b) = (Node::start("a").await, Node::start("b").await);
    let ours = Identity::for_names(&["a.test", "x.b.test"]);
    let streams = Streams::listening(", tls: true", "").await;
    let ssl = json!({ "snis": ["a.test", "*.b.test"], "cert": ours.certificate_pem, "key": ours.key_pem });
    streams.put("/ssls/1", ssl).await;
    let to = |sni: &str, node: &Node| json!({ "sni": sni, "upstream": upstream(&[&node.node()]) });
    streams.put("/stream_routes/1", to("a.test", &a)).await;
    streams.put("/stream_routes/2", to("*.b.test", &b)).await;
    let address = streams.tcp();
    assert_eq!(
        greeting(address, "a.test", &ours).await.as_deref(),
        Some("a")
    );
    assert_eq!(
        greeting(address, "x.b.test", &ours).await.as_deref(),
        Some("b")
    );
    assert_eq!(
        greeting(address, "c.test", &ours).await,
        None,
        "no certificate"
    );
    let mut client = tls(address, "a.test", &ours).await.unwrap();
    assert_eq!(client.line().await.as_deref(), Some("a"));
    client.echo(&vec![7; 100_000]).await;
    // What is no TLS gets nowhere.
    let mut plain = streams.connect().await;
    plain.send(b"no TLS").await;
    plain.rest().await;
    assert_eq!((a.accepted(), b.accepted()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn protocols_that_the_gateway_does_not_know_may_be_asked_for() {
    let node = Node::start("a").await;
    let ours = Identity::for_names(&["a.test"]);
    let streams = Streams::listening(", tls: true", "").await;
    let ssl = json!({ "sni": "a.test", "cert": ours.certificate_pem, "key": ours.key_pem });
    streams.put("/ssls/1", ssl).await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    let mut config = rustls::ClientConfig::clone(&ours.client());
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    let stream = TcpStream::connect(streams.tcp()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector
        .connect("a.test".try_into().unwrap(), stream)
        .await;
    let mut client = Client {
        stream: stream.expect("a handshake"),
    };
    assert_eq!(client.line().await.as_deref(), Some("a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_the_certificate_that_a_name_demands_is_refused() {
    let node = Node::start("a").await;
    let ours = Identity::for_names(&["a.test"]);
    let authority = Identity::for_names(&["clients.test"]);
    let streams = Streams::listening(", tls: true", "").await;
    // Paths mean nothing here, so a pattern for them lets nobody pass.
    let ssl = json!({ "sni": "a.test", "cert": ours.certificate_pem, "key": ours.key_pem,
        "client": { "ca": authority.certificate_pem, "skip_mtls_uri_regex": [".*"] } });
    streams.put("/ssls/1", ssl).await;
    streams
        .put(
            "/stream_routes/1",
            json!({ "upstream": upstream(&[&node.node()]) }),
        )
        .await;
    assert_eq!(greeting(streams.tcp(), "a.test", &ours).await, None);
    assert_eq!(node.accepted(), 0);
}
