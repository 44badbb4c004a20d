//! Upstreams that break the rules of HTTP/2 (RFC 9113 §8): the stream fails, and the client does not get what they said.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use crate::support::{Frame, Frames, Gateway};

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

fn head(fields: &[(&'static str, &'static str)]) -> Vec<Frame> {
    vec![
        Frame::Fields(fields.to_vec(), false),
        Frame::Data(b"marked", true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_the_rules_fails_alone() {
    let ok = (":status", "200");
    let cases: Vec<(&str, Vec<Frame>)> = vec![
        ("two statuses", head(&[ok, (":status", "201")])),
        ("a status that is none", head(&[(":status", "2xx")])),
        ("a status out of range", head(&[(":status", "600")])),
        ("a status after fields", head(&[("x", "y"), ok])),
        ("an unknown pseudo-header", head(&[ok, (":foo", "y")])),
        ("an upper-case name", head(&[ok, ("X-A", "y")])),
        ("a space in a name", head(&[ok, ("x a", "y")])),
        (
            "connection",
            head(&[ok, ("connection", "x-a"), ("x-a", "1")]),
        ),
        ("keep-alive", head(&[ok, ("keep-alive", "timeout=1")])),
        (
            "proxy-connection",
            head(&[ok, ("proxy-connection", "close")]),
        ),
        (
            "transfer-encoding",
            head(&[ok, ("transfer-encoding", "chunked")]),
        ),
        ("upgrade", head(&[ok, ("upgrade", "h2c")])),
        (
            "a line break in a value",
            head(&[ok, ("x", "a\r\nset-cookie: b")]),
        ),
        ("NUL in a value", head(&[ok, ("x", "a\0b")])),
        ("101", head(&[(":status", "101")])),
        (
            "two lengths",
            head(&[ok, ("content-length", "6"), ("content-length", "7")]),
        ),
        (
            "a length that is none",
            head(&[ok, ("content-length", "+6")]),
        ),
        ("a list of lengths", head(&[ok, ("content-length", "6, 6")])),
        (
            "fields without number",
            head(&[&[ok][..], &[("x", "y"); 220]].concat()),
        ),
        ("less data than said", head(&[ok, ("content-length", "7")])),
        ("more data than said", head(&[ok, ("content-length", "5")])),
        (
            "an end in an interim answer",
            vec![Frame::Fields(vec![(":status", "103")], true)],
        ),
    ];
    let good = head(&[ok, ("content-length", "6")]);
    let current = Arc::new(AtomicUsize::new(0));
    let answers: Vec<Vec<Frame>> = cases.iter().map(|(_, frames)| frames.clone()).collect();
    let server = {
        let current = Arc::clone(&current);
        Frames::start(move |_| match current.load(Ordering::SeqCst) {
            0 => good.clone(),
            case => answers[case - 1].clone(),
        })
        .await
    };
    let gateway = Gateway::start().await;
    gateway
        .put(
            "/routes/1",
            json!({ "uri": "/*", "upstream": server.document() }),
        )
        .await;
    let ask = async || String::from_utf8_lossy(&gateway.raw(GET).await).into_owned();
    let mut wrong = Vec::new();
    for (case, (name, _)) in cases.iter().enumerate() {
        current.store(0, Ordering::SeqCst);
        let answer = ask().await;
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "before {name}: {answer}"
        );
        assert!(answer.contains("marked"), "before {name}: {answer}");
        current.store(case + 1, Ordering::SeqCst);
        let answer = ask().await;
        let refused = answer.contains("HTTP/1.1 502 ");
        // With a head that is in order the client has seen it; then the end is missing.
        let length = name.contains("data than said").then_some(
            answer.contains("content-length: 7")
                || answer.contains("Content-Length: 7")
                || !answer.contains("marked"),
        );
        if !(refused || length == Some(true)) {
            wrong.push(format!("{name}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
