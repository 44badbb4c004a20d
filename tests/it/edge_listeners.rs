//! Listeners: the PROXY protocol, Unix sockets, HTTP/2 without TLS, draining, and addresses that cannot be had.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::support::{
    Answer, Connection, Gateway, Interface, PATIENCE, Port, Upstream, eventually, run_to_end,
};

const QUIET: Duration = Duration::from_millis(500);

async fn world(settings: &str) -> (Gateway, Upstream) {
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

/// A gateway with a second HTTP listener, for the PROXY protocol, which believes `trusted`.
async fn behind_a_balancer(trusted: &str) -> (Gateway, Upstream, Port) {
    let proxied = Port::reserve();
    let settings = format!(
        "listen:\n  proxy_protocol:\n    on: [\"{}\"]\n    trusted: [{trusted}]\n    timeout: 1\n",
        proxied.addr()
    );
    let both = format!("[\"{{}}\", \"{}\"]", proxied.addr());
    let gateway = Gateway::builder()
        .with_settings(&settings)
        .with_env("CROSSWAY_LISTEN_HTTP", &both)
        .start()
        .await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream, proxied)
}

async fn exchange(port: &Port, bytes: &[u8]) -> String {
    let mut connection = Connection::open(port.addr()).await.unwrap();
    connection.write(bytes).await.ok();
    let answer = connection.read_until_quiet(QUIET).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &[u8] = b"GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_that_is_believed_names_the_client() {
    let (gateway, upstream, proxied) = behind_a_balancer("127.0.0.0/8").await;
    let v1 = [b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n", GET].concat();
    let v2_head =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\xc3\x50\x01\xbb";
    let v2 = [&v2_head[..], GET].concat();
    for header in [v1, v2] {
        let answer = exchange(&proxied, &header).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let received = upstream.last_request();
        assert_eq!(received.header("x-real-ip"), Some("192.0.2.7"));
        assert_eq!(received.header("x-forwarded-port"), Some("443"));
    }
    // In pieces, and as a health check of the balancer itself.
    let mut connection = Connection::open(proxied.addr()).await.unwrap();
    for piece in [
        &b"PRO"[..],
        b"XY UNKNOWN",
        b"\r",
        b"\nGET /y HTTP/1.1\r\n",
        b"Host: a\r\n\r\n",
    ] {
        connection.write(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = connection.read_until_quiet(QUIET).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert_eq!(
        upstream.last_request().header("x-real-ip"),
        Some("127.0.0.1")
    );

    let hits = upstream.hits();
    for refused in [GET, b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01"] {
        assert_eq!(exchange(&proxied, refused).await, "");
    }
    let mut silent = Connection::open(proxied.addr()).await.unwrap();
    assert!(silent.closes_within(Duration::from_secs(5)).await);
    assert_eq!(upstream.hits(), hits);
    let metrics = gateway.metrics().await;
    for reason in ["proxy_protocol_invalid", "proxy_protocol_timeout"] {
        let none = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} 0\n");
        assert!(!metrics.contains(&none), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_a_word_in_on_a_listener_of_the_proxy_protocol() {
    let (gateway, upstream, proxied) = behind_a_balancer("192.0.2.0/24").await;
    let header = [b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n", GET].concat();
    assert_eq!(exchange(&proxied, &header).await, "");
    assert_eq!(exchange(&proxied, GET).await, "");
    assert_eq!(upstream.hits(), 0);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("{reason=\"proxy_protocol_untrusted\"} 2\n"),
        "{metrics}"
    );
    // Elsewhere, a header is a malformed request.
    let answer = gateway.raw(&header).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_serves_and_goes_with_the_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("http.sock");
    // Left behind by a process that is gone.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let settings = format!("listen:\n  unix: [\"{}\"]\n", path.display());
    let (mut gateway, upstream) = world(&settings).await;
    let mut connection = UnixStream::connect(&path).await.unwrap();
    for target in ["/1", "/2"] {
        let get = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        connection.write_all(get.as_bytes()).await.unwrap();
        let mut answer = [0; 13];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 ");
        eventually("it has arrived", PATIENCE, async || {
            upstream.last_request().target == target
        })
        .await;
        let mut rest = [0; 65536];
        let _ = connection.read(&mut rest).await.unwrap();
    }
    assert!(
        gateway
            .terminate(Duration::from_secs(20))
            .await
            .status
            .success()
    );
    assert!(!path.exists());
}

async fn http2(gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.addr(Interface::Http))
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_served_beside_http_1_where_it_is_allowed() {
    let (mut gateway, upstream) = world("listen:\n  h2c: true\n").await;
    gateway.get("/plain").await.expect_status(200);
    let mut client = http2(&gateway).await;
    let request = http::Request::post("http://a.test/two?x=y")
        .body(())
        .unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.headers()["server"]
            .to_str()
            .unwrap()
            .split('/')
            .next(),
        Some("Crossway")
    );
    let received = upstream.last_request();
    assert_eq!(
        (received.target.as_str(), &received.body[..]),
        ("/two?x=y", &b"hello"[..])
    );
    assert_eq!(received.header("host"), Some("a.test"));
    assert_eq!(received.header("x-forwarded-host"), Some("a.test"));

    // What is refused is refused in HTTP/2, too.
    for (method, uri, status) in [
        ("TRACE", "http://a.test/", 405),
        ("GET", "http://a.test/%00", 400),
        ("GET", "http://a.test/..%2f..", 400),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        assert_eq!(answer.await.unwrap().status(), status, "{method} {uri}");
    }
    // A request in flight outlives the signal, and the client is told to open no more.
    upstream.answer(Answer::text("finished").after(Duration::from_millis(700)));
    let hits = upstream.hits();
    let request = http::Request::get("http://a.test/slow").body(()).unwrap();
    let (answer, _) = client.send_request(request, true).unwrap();
    let inflight = tokio::spawn(answer);
    eventually("it is in flight", PATIENCE, async || upstream.hits() > hits).await;
    let stopped = gateway.terminate(Duration::from_secs(20)).await;
    assert_eq!(inflight.await.unwrap().unwrap().status(), 200);
    assert!(stopped.status.success(), "{stopped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_refused_where_it_is_not_allowed() {
    let (gateway, _upstream) = world("").await;
    let answer = gateway.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(
        answer.starts_with(b"HTTP/1.1 400 "),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_is_named_with_its_setting() {
    let (gateway, _upstream) = world("").await;
    let taken = gateway.addr(Interface::Http).to_string();
    let settings = gateway.folder().join("second.yaml");
    let text = format!(
        "listen: {{http: \"{taken}\"}}\nstore: {{kind: memory}}\nadmin: {{enabled: false}}\n\
         control: {{listen: \"127.0.0.1:0\"}}\nmetrics: {{listen: \"127.0.0.1:0\"}}\n"
    );
    std::fs::write(&settings, text).unwrap();
    let settings = settings.display().to_string();
    let other = run_to_end(&["run", "-c", &settings], gateway.folder()).await;
    assert!(!other.status.success());
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(
        said.contains(&format!(
            "settings: listen.http: cannot listen on {taken}: "
        )),
        "{said}"
    );
}

/// A gRPC server of one answer, with trailers: it tells what `te` it got.
async fn grpc_server() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let te = request.headers().get("te").cloned();
                    let te = te.unwrap_or_else(|| http::HeaderValue::from_static("none"));
                    tokio::spawn(async move {
                        let mut body = request.into_body();
                        let mut got = Vec::new();
                        while let Some(Ok(data)) = body.data().await {
                            body.flow_control().release_capacity(data.len()).unwrap();
                            got.extend(data);
                        }
                        let head = http::Response::builder()
                            .header("content-type", "application/grpc")
                            .header("x-te", te)
                            .body(())
                            .unwrap();
                        let mut answer = respond.send_response(head, false).unwrap();
                        answer.send_data(got.into(), false).unwrap();
                        let mut trailers = http::HeaderMap::new();
                        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                        answer.send_trailers(trailers).unwrap();
                    });
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_passes_with_its_trailers_and_is_refused_for_upstreams_of_http_1() {
    let (gateway, upstream) = world("listen:\n  h2c: true\n").await;
    let server = grpc_server().await.to_string();
    let grpc = json!({ "uri": "/svc/*", "upstream": {
        "type": "roundrobin", "scheme": "grpc", "nodes": { server: 1 } } });
    gateway.put("/routes/2", grpc).await;
    let mut client = http2(&gateway).await;
    let mut call = async |path: &str| {
        let request = http::Request::post(format!("http://a.test{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        let (answer, mut body) = client.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), true)
            .unwrap();
        let answer = answer.await.unwrap();
        let (head, mut body) = answer.into_parts();
        let mut got = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.unwrap();
            body.flow_control().release_capacity(data.len()).unwrap();
            got.extend(data);
        }
        (head, got, body.trailers().await.unwrap())
    };
    let (head, got, trailers) = call("/svc/Echo").await;
    assert_eq!(
        (head.status.as_u16(), &got[..]),
        (200, &b"\0\0\0\0\x02hi"[..])
    );
    assert_eq!(head.headers["x-te"], "trailers");
    assert_eq!(trailers.unwrap()["grpc-status"], "0");

    let hits = upstream.hits();
    let (head, _, _) = call("/elsewhere").await;
    assert_eq!(head.headers["grpc-status"], "12");
    assert!(
        head.headers["grpc-message"]
            .to_str()
            .unwrap()
            .contains("scheme grpc")
    );
    assert_eq!(upstream.hits(), hits);
}
