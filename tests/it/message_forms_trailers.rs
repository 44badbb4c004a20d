//! Trailers of HTTP/1.1 (RFC 9110 §6.5): they are dropped on both ways, and never become headers.

use serde_json::json;

use crate::support::{Answer, Gateway, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_are_dropped_and_never_become_headers() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    let request = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n\
                   2\r\nok\r\n0\r\nX-T: 1\r\nX-Consumer-Username: forged\r\nHost: other\r\nContent-Length: 9\r\n\
                   Authorization: Basic eDp5\r\nX-Real-IP: 6.6.6.6\r\n\r\n\
                   GET /b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = gateway.raw(request).await;
    let answers = String::from_utf8_lossy(&answers);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "{answers}");
    let requests = upstream.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    for received in &requests {
        for name in ["x-t", "x-consumer-username", "authorization"] {
            assert!(!received.headers.has(name), "{name}: {received:?}");
        }
        assert_eq!(received.header("host"), Some("a"));
        assert_eq!(received.header("x-real-ip"), Some("127.0.0.1"));
        assert_eq!(received.trailers.iter().count(), 0, "{received:?}");
    }
    assert_eq!(requests[0].body, b"ok");
    assert!(upstream.faults().is_empty(), "{:?}", upstream.faults());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_an_answer_are_dropped_and_never_become_headers() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\
                  Set-Cookie: a=b\r\nContent-Length: 9\r\n\r\n";
    upstream.answer(Answer::Raw(answer.into()));
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        let got = connection
            .send(&gateway.get("/"))
            .await
            .unwrap()
            .expect_status(200);
        assert_eq!(got.text(), "ok");
        for name in ["x-t", "set-cookie", "content-length"] {
            assert!(!got.headers.has(name), "{name}: {:?}", got.headers);
        }
        assert_eq!(got.trailers.iter().count(), 0, "{:?}", got.trailers);
    }
}
