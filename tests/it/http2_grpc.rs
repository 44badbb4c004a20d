//! gRPC through the gateway: calls, their ends, and refusals in the form that its clients understand.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Gateway, Interface, PATIENCE, Port, eventually};

/// A message of gRPC.
const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";

/// A server of gRPC. `/svc/Echo` gives each message back and tells what deadline it got; `/svc/Fail` answers with trailers only.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(answer(request, respond));
                }
            });
        }
    });
    address
}

async fn answer(request: Request<h2::RecvStream>, mut respond: h2::server::SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/grpc");
    if request.uri().path() == "/svc/Fail" {
        let head = head
            .header("grpc-status", "5")
            .header("grpc-message", "gone");
        respond.send_response(head.body(()).unwrap(), true).unwrap();
        return;
    }
    let none = HeaderValue::from_static("none");
    let timeout = request.headers().get("grpc-timeout").unwrap_or(&none);
    let head = head.header("x-timeout", timeout).body(()).unwrap();
    let mut answer = respond.send_response(head, false).unwrap();
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        answer.send_data(data, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    trailers.insert("x-late", HeaderValue::from_static("yes"));
    answer.send_trailers(trailers).ok();
}

async fn world() -> (Gateway, h2::client::SendRequest<Bytes>) {
    let settings = "listen:\n  h2c: true\nlimits:\n  body_rate: 1000000\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let server = server().await;
    let grpc =
        |node: String| json!({ "type": "roundrobin", "scheme": "grpc", "nodes": { node: 1 } });
    gateway
        .put_all([
            ("/routes/1", json!({ "uri": "/svc/*", "upstream": grpc(server.clone()) })),
            (
                "/routes/2",
                json!({ "uri": "/down/*", "upstream": grpc(Port::reserve().addr().to_string()) }),
            ),
            (
                "/routes/3",
                json!({ "uri": "/closed/*", "plugins": { "key-auth": {} }, "upstream": grpc(server) }),
            ),
        ])
        .await;
    let stream = TcpStream::connect(gateway.addr(Interface::Http))
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    (gateway, client.ready().await.unwrap())
}

fn call(path: &str) -> Request<()> {
    Request::post(format!("http://a.test{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .header("grpc-timeout", "5S")
        .body(())
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_pass_both_ways_while_the_call_goes_on_however_long_it_is_silent() {
    let (_gateway, mut client) = world().await;
    let (answer, mut requests) = client.send_request(call("/svc/Echo"), false).unwrap();
    requests
        .send_data(Bytes::from_static(MESSAGE), false)
        .unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-timeout"], "5S");
    let mut answers = answer.into_body();
    // Longer than any other body might stand still under this rate.
    for silence in [0, 13] {
        tokio::time::sleep(Duration::from_secs(silence)).await;
        let data = tokio::time::timeout(PATIENCE, answers.data()).await;
        let data = data.unwrap().unwrap().expect("a message");
        answers.flow_control().release_capacity(data.len()).unwrap();
        assert_eq!(&data[..], MESSAGE);
        requests
            .send_data(Bytes::from_static(MESSAGE), false)
            .unwrap();
    }
    requests.send_data(Bytes::new(), true).unwrap();
    while let Some(data) = answers.data().await {
        data.unwrap();
    }
    let trailers = answers.trailers().await.unwrap().expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["x-late"], "yes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_trailers_alone_passes() {
    let (_gateway, mut client) = world().await;
    let (answer, mut requests) = client.send_request(call("/svc/Fail"), false).unwrap();
    requests
        .send_data(Bytes::from_static(MESSAGE), true)
        .unwrap();
    let answer = answer.await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "5");
    assert_eq!(answer.headers()["grpc-message"], "gone");
    assert!(answer.into_body().data().await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_gateway_refuses_has_a_status_of_grpc() {
    let (gateway, mut client) = world().await;
    for (path, status, message) in [
        ("/nowhere", "12", "404 Not Found"),
        ("/down/Any", "14", "502 Bad Gateway"),
        ("/closed/Any", "16", "401 Unauthorized"),
        ("/svc/%00", "13", "400 Bad Request"),
    ] {
        let (answer, mut requests) = client.send_request(call(path), false).unwrap();
        requests.send_data(Bytes::from_static(MESSAGE), true).ok();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/grpc");
        assert_eq!(answer.headers()["grpc-status"], status, "{path}");
        assert_eq!(answer.headers()["grpc-message"], message, "{path}");
        assert!(answer.into_body().data().await.is_none(), "{path}");
    }
    // For everybody else it is what it was.
    gateway.get("/nowhere").await.expect_status(404);
    let plain = Request::get("http://a.test/nowhere").body(()).unwrap();
    let (answer, _) = client.send_request(plain, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 404);
    eventually("the log has the status of HTTP", PATIENCE, async || {
        let log = gateway.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("/closed/Any") && line.contains("\" 401 "))
    })
    .await;
}
