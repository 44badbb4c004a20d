//! Plugins that make other bodies: compression, templates, gRPC-Web.

use std::io::Read;

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Reply, Request, Upstream};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

async fn world(plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(100_000) {
        out.extend(format!("{:x}\r\n", piece.len()).bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

fn in_chunks(request: Request, body: &[u8]) -> Request {
    request
        .header("Transfer-Encoding", "chunked")
        .body(chunked(body))
}

/// A template that gives the body back behind a mark.
fn marked() -> Value {
    json!({ "body-transformer": { "request": { "input_format": "plain", "template": "new:{*_body*}" } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_compressed_as_the_client_wants_it() {
    let (gateway, upstream) = world(json!({ "gzip": { "vary": true }, "brotli": {} })).await;
    let page = "<p>hello</p>".repeat(2000);
    let reply = Reply::new(200, page.clone()).header("Content-Type", "text/html");
    upstream.answer(Answer::Reply(reply));
    let mut connection = gateway.connect().await;
    for (accepted, encoding) in [
        ("gzip", Some("gzip")),
        ("gzip, br", Some("br")),
        ("br;q=0, gzip;q=0.1", Some("gzip")),
        ("identity", None),
    ] {
        let request = gateway.get("/").header("Accept-Encoding", accepted);
        let answer = connection.send(&request).await.unwrap().expect_status(200);
        assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
        let mut plain = String::new();
        match encoding {
            Some("gzip") => flate2::read::GzDecoder::new(&*answer.body)
                .read_to_string(&mut plain)
                .map(drop)
                .unwrap(),
            Some(_) => brotli::Decompressor::new(&*answer.body, 4096)
                .read_to_string(&mut plain)
                .map(drop)
                .unwrap(),
            None => plain = answer.text(),
        }
        assert!(plain == page, "{accepted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_any_size_is_replaced_with_the_right_length() {
    let (gateway, upstream) = world(marked()).await;
    upstream.answer(Answer::text("taken"));
    let mut connection = gateway.connect().await;
    for size in [1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 20 * MIB] {
        let body: Vec<u8> = (0..size).map(|n| b'a' + (n % 23) as u8).collect();
        for way in ["length", "chunks"] {
            let post = gateway
                .request("POST", "/")
                .header("Content-Type", "text/plain");
            let post = match way {
                "length" => post.body(body.clone()),
                _ => in_chunks(post, &body),
            };
            let answer = connection.send(&post).await.unwrap();
            assert_eq!(answer.expect_status(200).text(), "taken");
            let received = upstream.last_request();
            assert_eq!(
                received.headers.all("content-length"),
                [(size + 4).to_string()]
            );
            assert!(!received.headers.has("transfer-encoding"));
            assert!(
                received.body[..4] == *b"new:" && received.body[4..] == body[..],
                "{size} {way}"
            );
        }
    }
    assert_eq!(upstream.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_request_can_be_given_a_body() {
    let request = json!({ "template": "{\"name\":\"{{name}}\"}" });
    let plugins = json!({ "body-transformer": { "request": request } });
    let (gateway, upstream) = world(plugins).await;
    upstream.answer(Answer::text("taken"));
    let mut connection = gateway.connect().await;
    for name in ["a", "bcd"] {
        let get = gateway.get(&format!("/?name={name}"));
        connection.send(&get).await.unwrap().expect_status(200);
        let received = upstream.last_request();
        let expected = format!("{{\"name\":\"{name}\"}}");
        assert_eq!(received.method, "GET");
        assert_eq!(received.body, expected.as_bytes());
        assert_eq!(
            received.headers.all("content-length"),
            [expected.len().to_string()]
        );
    }
    assert_eq!(upstream.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_body_is_sent_again_when_a_node_is_dead() {
    let (gateway, upstream) = world(marked()).await;
    let mut dead = Upstream::start().await;
    dead.stop().await;
    let nodes = json!({ upstream.node(): 1, dead.node(): 1 });
    let route = json!({
        "uri": "/*", "plugins": marked(), "upstream": { "type": "roundrobin", "nodes": nodes },
    });
    gateway.put("/routes/1", route).await;
    upstream.answer(Answer::text("taken"));
    upstream.clear();
    let body = vec![b'x'; 300 * KIB];
    for round in 0..4 {
        let post = gateway.request("POST", "/");
        let post = match round % 2 {
            0 => post.body(body.clone()),
            _ => in_chunks(post, &body),
        };
        post.await.expect_status(200);
        assert_eq!(upstream.last_request().body.len(), body.len() + 4);
    }
    assert_eq!(upstream.hits(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn xml_of_the_upstream_is_json_for_the_client() {
    let response = json!({
        "input_format": "xml",
        "template": "{\"status\":\"{{_ctx.var.status}}\",\"name\":{*_escape_json(Envelope.Body.country.name)*}}",
    });
    let request = json!({ "template": "<n>{{_escape_xml(name)}}</n>" });
    let plugins = json!({ "body-transformer": { "request": request, "response": response } });
    let (gateway, upstream) = world(plugins).await;
    let xml = "<s:Envelope xmlns:s=\"u\"><s:Body><n:country><n:name>Spain</n:name></n:country></s:Body></s:Envelope>";
    upstream.answer(Answer::text(xml));
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        let post = gateway
            .request("POST", "/ws")
            .json(&json!({ "name": "Spain" }));
        let answer = connection.send(&post).await.unwrap().expect_status(200);
        assert_eq!(answer.json(), json!({ "status": "200", "name": "Spain" }));
        assert_eq!(upstream.last_request().body, b"<n>Spain</n>");
    }
    let bad = gateway.request("POST", "/ws").json(&json!(7)).await;
    assert_eq!(bad.status, 400);
    let hits = upstream.hits();
    assert_eq!(hits, 2);
}

/// A gRPC server for one method: it answers with the message that it got, and trailers; `fail` in it makes it answer with
/// trailers only.
struct GrpcServer {
    address: std::net::SocketAddr,
    requests: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl GrpcServer {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = std::sync::Arc::<std::sync::Mutex<Vec<String>>>::default();
        let seen = requests.clone();
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let seen = seen.clone();
                connections.spawn(async move {
                    let mut connection = h2::server::handshake(stream).await.ok()?;
                    while let Some(Ok((request, respond))) = connection.accept().await {
                        tokio::spawn(Self::answer(request, respond, seen.clone()));
                    }
                    Some(())
                });
            }
        });
        Self {
            address,
            requests,
            serving,
        }
    }

    async fn answer(
        request: http::Request<h2::RecvStream>,
        mut respond: h2::server::SendResponse<bytes::Bytes>,
        seen: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
    ) {
        let field = |name: &str| {
            request
                .headers()
                .get(name)
                .map_or("-", |v| v.to_str().unwrap())
        };
        let line = format!(
            "{} {} type={} te={} timeout={}",
            request.method(),
            request.uri().path(),
            field("content-type"),
            field("te"),
            field("grpc-timeout"),
        );
        seen.lock().unwrap().push(line);
        let mut incoming = request.into_body();
        let mut body = Vec::new();
        while let Some(Ok(piece)) = incoming.data().await {
            incoming
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
            body.extend(piece);
        }
        let head = http::Response::builder().header("content-type", "application/grpc");
        if body.windows(4).any(|w| w == b"fail") {
            let head = head
                .header("grpc-status", "5")
                .header("grpc-message", "gone");
            respond.send_response(head.body(()).unwrap(), true).ok();
            return;
        }
        let mut stream = respond
            .send_response(head.body(()).unwrap(), false)
            .unwrap();
        stream.send_data(body.into(), false).ok();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        trailers.insert("grpc-message", http::HeaderValue::from_static("fine"));
        stream.send_trailers(trailers).ok();
    }

    fn upstream(&self) -> Value {
        json!({ "type": "roundrobin", "scheme": "grpc", "nodes": { self.address.to_string(): 1 } })
    }

    fn last_request(&self) -> String {
        self.requests
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn frame(flag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap();
    [&[flag][..], &length.to_be_bytes(), content].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_calls_a_grpc_service() {
    let gateway = Gateway::start().await;
    let server = GrpcServer::start().await;
    let route = json!({
        "uri": "/grpc/*", "plugins": { "grpc-web": {} }, "upstream": server.upstream(),
    });
    gateway.put("/routes/1", route).await;
    let call = |body: Vec<u8>, media_type: &str| {
        let request = gateway.request("POST", "/grpc/a.B/Say");
        request.header("Content-Type", media_type).body(body)
    };
    let trailers = frame(0x80, b"grpc-status:0\r\ngrpc-message:fine\r\n");
    let message = frame(0, b"hello");
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        let request = call(message.clone(), "application/grpc-web+proto");
        let answer = connection.send(&request).await.unwrap().expect_status(200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/grpc-web+proto")
        );
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.body, [message.clone(), trailers.clone()].concat());
        assert_eq!(
            server.last_request(),
            "POST /a.B/Say type=application/grpc te=trailers timeout=-"
        );
    }
    // A message of more than Pingora keeps by itself, as text.
    let large = frame(0, &vec![b'x'; 200 * KIB]);
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &large);
    let request = call(text.into_bytes(), "application/grpc-web-text");
    let answer = connection.send(&request).await.unwrap().expect_status(200);
    let mut decoded = Vec::new();
    for piece in answer.text().split_inclusive('=') {
        // Pieces end with their padding, which may be one or two signs or none.
        let engine = base64::engine::GeneralPurpose::new(
            &base64::alphabet::STANDARD,
            base64::engine::GeneralPurposeConfig::new()
                .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
        );
        let piece = piece.trim_end_matches('=');
        decoded.extend(base64::Engine::decode(&engine, piece).unwrap());
    }
    assert!(
        decoded == [large, trailers].concat(),
        "{} bytes",
        decoded.len()
    );
    // A call that fails without a message: its status is in the head.
    let request = call(frame(0, b"fail"), "application/grpc-web+proto");
    let answer = connection.send(&request).await.unwrap().expect_status(200);
    assert_eq!(answer.header("grpc-status"), Some("5"));
    assert!(answer.body.is_empty());
    let get = connection
        .send(&gateway.get("/grpc/a.B/Say"))
        .await
        .unwrap();
    assert_eq!(get.status, 405);
    let preflight = connection
        .send(&gateway.request("OPTIONS", "/grpc/x"))
        .await
        .unwrap();
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-methods"),
        Some("POST")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_calls_a_grpc_service_and_follows_its_description() {
    let gateway = Gateway::start().await;
    let server = GrpcServer::start().await;
    let proto = |field: &str| {
        json!({ "content": format!(
            "syntax = \"proto3\"; package a; message M {{ string {field} = 1; int32 age = 2; }} service B {{ rpc Say (M) returns (M); }}"
        ) })
    };
    let route = json!({
        "uri": "/say",
        "plugins": { "grpc-transcode": { "proto_id": "1", "service": "a.B", "method": "Say", "deadline": 5000 } },
        "upstream": server.upstream(),
    });
    gateway
        .put_all([("/protos/1", proto("name")), ("/routes/1", route.clone())])
        .await;
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        let post = gateway
            .request("POST", "/say")
            .json(&json!({ "name": "you", "age": 3 }));
        let answer = connection.send(&post).await.unwrap().expect_status(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.json(), json!({ "name": "you", "age": 3 }));
        assert_eq!(
            server.last_request(),
            "POST /a.B/Say type=application/grpc te=trailers timeout=5000m"
        );
    }
    // A GET has no body of its own.
    let get = connection
        .send(&gateway.get("/say?name=me"))
        .await
        .unwrap()
        .expect_status(200);
    assert_eq!(get.json(), json!({ "name": "me", "age": 0 }));
    let failed = connection
        .send(&gateway.get("/say?name=fail"))
        .await
        .unwrap();
    assert_eq!((failed.status, failed.body.len()), (404, 0));
    let wrong = gateway
        .request("POST", "/say")
        .json(&json!({ "age": "x" }))
        .await;
    assert_eq!(wrong.status, 400);
    // A change of the description is live.
    gateway.put("/protos/1", proto("nick")).await;
    let answer = gateway.get("/say?nick=n").await.expect_status(200);
    assert_eq!(answer.json(), json!({ "nick": "n", "age": 0 }));
    // One that the route cannot live with is refused, and so is a route without one.
    let broken = gateway
        .admin()
        .put("/protos/1", &json!({ "content": "no proto" }))
        .await;
    assert_eq!(broken.status, 400, "{}", broken.text());
    let mut without = route;
    without["plugins"]["grpc-transcode"]["proto_id"] = json!("2");
    let refused = gateway.admin().put("/routes/2", &without).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
}
