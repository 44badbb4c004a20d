//! Messages of HTTP/2: what is none is refused, and what is one reaches an upstream of HTTP/1.1 as one.

use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpStream;

use crate::support::h2_frames::{
    DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PROTOCOL_ERROR, RST_STREAM, fields,
    frame, get, request,
};
use crate::support::{Gateway, Interface, PATIENCE, Upstream, eventually};

async fn world(limits: &str) -> (Gateway, Upstream) {
    let settings = format!("listen:\n  h2c: true\n{limits}");
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

async fn connect(gateway: &Gateway) -> Frames {
    Frames::open(gateway.addr(Interface::Http)).await
}

async fn until_stopped(gateway: &Gateway, reason: &str, least: u64) {
    let of = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} ");
    eventually(reason, PATIENCE, async || {
        let metrics = gateway.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&of));
        line.is_some_and(|count| count.parse::<u64>().unwrap() >= least)
    })
    .await;
}

/// How a request was refused.
#[derive(Debug, PartialEq)]
enum Refusal {
    Status(u16),
    Stream(u32),
    Connection,
}

/// What becomes of a request whose head is this block.
async fn refused(gateway: &Gateway, block: &[u8]) -> Refusal {
    let mut client = connect(gateway).await;
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    client.send(&head).await.unwrap();
    loop {
        let Some(frame) = client.next(PATIENCE).await else {
            return Refusal::Connection;
        };
        match frame.kind {
            RST_STREAM => {
                // What was on the way is answered on the same connection.
                client.send(&get(3, "/after")).await.unwrap();
                let after = client.on(3, PATIENCE).await.expect("an answer");
                assert_eq!((after.kind, after.status()), (HEADERS, 200));
                return Refusal::Stream(frame.code());
            }
            HEADERS => return Refusal::Status(frame.status()),
            GOAWAY => return Refusal::Connection,
            _ => {}
        }
    }
}

type Field<'a> = (&'a str, &'a [u8]);

const METHOD: Field<'static> = (":method", b"GET");
const SCHEME: Field<'static> = (":scheme", b"http");
const AUTHORITY: Field<'static> = (":authority", b"a.test");
const PATH: Field<'static> = (":path", b"/evil");

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_malformed_never_reaches_an_upstream() {
    let (gateway, upstream) = world("").await;
    let reset = Refusal::Stream(PROTOCOL_ERROR);
    let usual = [METHOD, SCHEME, AUTHORITY, PATH];
    let with = |more: &[Field<'static>]| [&usual[..], more].concat();
    let cases: Vec<(&str, Vec<Field<'_>>, Option<Refusal>)> = vec![
        // RFC 9113 §8.3: pseudo-header fields.
        (
            "no :method",
            vec![SCHEME, AUTHORITY, PATH],
            Some(Refusal::Stream(1)),
        ),
        (
            "no :scheme",
            vec![METHOD, AUTHORITY, PATH],
            Some(Refusal::Stream(1)),
        ),
        (
            "no :path",
            vec![METHOD, SCHEME, AUTHORITY],
            Some(Refusal::Stream(1)),
        ),
        (
            "an empty :path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"")],
            None,
        ),
        (
            ":path twice",
            with(&[(":path", b"/b")]),
            Some(Refusal::Stream(1)),
        ),
        (
            ":authority twice",
            with(&[(":authority", b"b.test")]),
            Some(Refusal::Stream(1)),
        ),
        (
            ":status",
            with(&[(":status", b"200")]),
            Some(Refusal::Stream(1)),
        ),
        ("an unknown one", with(&[(":what", b"x")]), None),
        (
            ":protocol",
            with(&[(":protocol", b"websocket")]),
            Some(Refusal::Stream(1)),
        ),
        (
            "one behind a field",
            vec![METHOD, SCHEME, ("x-a", b"b"), AUTHORITY, PATH],
            Some(Refusal::Stream(1)),
        ),
        // §8.2.2: fields of a connection.
        (
            "connection",
            with(&[("connection", b"close")]),
            Some(Refusal::Stream(1)),
        ),
        (
            "keep-alive",
            with(&[("keep-alive", b"timeout=1")]),
            Some(Refusal::Stream(1)),
        ),
        (
            "transfer-encoding",
            with(&[("transfer-encoding", b"chunked")]),
            Some(Refusal::Stream(1)),
        ),
        (
            "upgrade",
            with(&[("upgrade", b"websocket")]),
            Some(Refusal::Stream(1)),
        ),
        (
            "te",
            with(&[("te", b"gzip, trailers")]),
            Some(Refusal::Stream(1)),
        ),
        // §8.2.1: names and values.
        ("a name in capitals", with(&[("X-A", b"b")]), None),
        ("an empty name", with(&[("", b"b")]), None),
        ("a space in a name", with(&[("x a", b"b")]), None),
        ("a colon in a name", with(&[("x:a", b"b")]), None),
        ("NUL in a value", with(&[("x-a", b"b\0c")]), None),
        (
            "a line in a value",
            with(&[("x-a", b"b\r\nx-evil: c")]),
            None,
        ),
        ("a line feed in a value", with(&[("x-a", b"b\nc")]), None),
        // §8.3.1: who is asked for, and for what.
        (
            "another host",
            with(&[("host", b"b.test")]),
            Some(Refusal::Status(400)),
        ),
        (
            "two hosts",
            with(&[("host", b"a.test"), ("host", b"a.test")]),
            Some(Refusal::Status(400)),
        ),
        (
            "user information",
            vec![METHOD, SCHEME, (":authority", b"u@a.test"), PATH],
            None,
        ),
        (
            "a space in the authority",
            vec![METHOD, SCHEME, (":authority", b"a b"), PATH],
            None,
        ),
        (
            "no authority at all",
            vec![METHOD, SCHEME, PATH],
            Some(Refusal::Status(400)),
        ),
        (
            "a space in the path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"/a b")],
            None,
        ),
        (
            "a line in the path",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"/\r\nx: y")],
            None,
        ),
        (
            "a path without a slash",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"evil")],
            None,
        ),
        (
            "a path with a host",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"http://b.test/")],
            None,
        ),
        (
            "an escaped NUL",
            vec![METHOD, SCHEME, AUTHORITY, (":path", b"/%00")],
            Some(Refusal::Status(400)),
        ),
        (
            "a method with a space",
            vec![(":method", b"GET /"), SCHEME, AUTHORITY, PATH],
            None,
        ),
        (
            "CONNECT",
            vec![(":method", b"CONNECT"), (":authority", b"a.test:443")],
            None,
        ),
        (
            "TRACE",
            vec![(":method", b"TRACE"), SCHEME, AUTHORITY, PATH],
            Some(Refusal::Status(405)),
        ),
        // RFC 9110 §8.6: lengths.
        (
            "a length without a body",
            with(&[("content-length", b"5")]),
            Some(reset),
        ),
        (
            "two lengths",
            with(&[("content-length", b"0"), ("content-length", b"5")]),
            None,
        ),
        (
            "a length with a sign",
            with(&[("content-length", b"+0")]),
            None,
        ),
    ];
    for (what, head, expected) in cases {
        let refusal = refused(&gateway, &fields(&head)).await;
        if let Some(expected) = expected {
            assert_eq!(refusal, expected, "{what}");
        }
        if let Refusal::Status(status) = refusal {
            assert!((400..500).contains(&status), "{what}: {status}");
        }
    }
    let through = upstream.requests();
    let evil = through.iter().find(|r| r.target != "/after");
    assert!(evil.is_none(), "{evil:?}");
    until_stopped(&gateway, "http2_stream", 15).await;
    until_stopped(&gateway, "malformed_request", 3).await;
}

async fn client(gateway: &Gateway) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.addr(Interface::Http))
        .await
        .unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_gets_the_gateways_page_and_is_logged_and_counted() {
    let (gateway, upstream) = world("limits:\n  header_count: 20\n").await;
    let mut client = client(&gateway).await;
    let many = (0..30)
        .map(|i| (format!("x-{i}"), "y".to_owned()))
        .collect();
    let large = vec![("x-large".to_owned(), "y".repeat(35_000))];
    for (status, path, fields) in [
        (431, "/many".to_owned(), many),
        (431, "/large".to_owned(), large),
        (414, format!("/{}", "x".repeat(9000)), Vec::new()),
    ] {
        let mut request = http::Request::get(format!("http://a.test{path}"));
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let request = request.body(()).unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status, "{path:.20}");
        let server = answer.headers()["server"].to_str().unwrap().to_owned();
        assert!(server.starts_with("Crossway/"), "{server}");
        let page = answer.into_body().data().await.unwrap().unwrap();
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(page.contains("<center>crossway</center>"), "{page}");
    }
    assert_eq!(upstream.hits(), 0);
    until_stopped(&gateway, "oversized_request", 3).await;
    // A head that is so large that the library does not unfold it to its end.
    let mut frames = connect(&gateway).await;
    let huge = request("GET", "/", &[("x-a", &[b'x'; 15_000])]);
    let more = fields(&[("x-b", &[b'x'; 15_000])]);
    let mut bytes = frame(HEADERS, 0, 1, &huge);
    bytes.extend(frame(9, 0, 1, &more));
    bytes.extend(frame(9, 0, 1, &more));
    bytes.extend(frame(9, END_HEADERS, 1, &more));
    frames.send(&bytes).await.unwrap();
    let head = frames.on(1, PATIENCE).await.expect("an answer");
    assert_eq!((head.kind, head.status()), (HEADERS, 431));
    until_stopped(&gateway, "http2_stream", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_another_length_than_was_said_ends_its_stream() {
    let (gateway, upstream) = world("").await;
    for (length, body, last) in [
        (b"5", &b"too long"[..], false),
        (b"5", b"too long", true),
        (b"9", b"short", true),
    ] {
        let mut client = connect(&gateway).await;
        let head = request("POST", "/", &[("content-length", length)]);
        let flags = if last { END_STREAM } else { 0 };
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, &head),
            frame(DATA, flags, 1, body),
        ];
        client.send(&bytes.concat()).await.unwrap();
        let reset = client.find(RST_STREAM, PATIENCE).await.expect("a reset");
        assert_eq!((reset.stream, reset.code()), (1, PROTOCOL_ERROR));
        client.send(&get(3, "/after")).await.unwrap();
        let after = client.on(3, PATIENCE).await.expect("an answer");
        assert_eq!(after.status(), 200);
    }
    // A whole one came to the upstream only of what followed.
    assert!(upstream.requests().iter().all(|r| r.target == "/after"));
    until_stopped(&gateway, "http2_stream", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crumbs_of_cookies_become_one_field_and_te_stays_here() {
    let (gateway, upstream) = world("").await;
    let mut client = connect(&gateway).await;
    let head = request(
        "GET",
        "/",
        &[
            ("cookie", b"a=1"),
            ("te", b"trailers"),
            ("cookie", b"b=2"),
            ("host", b"a.test"),
            ("cookie", b"c=3; d=4"),
        ],
    );
    let head = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    client.send(&head).await.unwrap();
    let answer = client.on(1, PATIENCE).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let received = upstream.last_request();
    assert_eq!(
        received.headers.all("cookie"),
        ["a=1; b=2; c=3; d=4"],
        "RFC 9113 §8.2.3"
    );
    assert_eq!(received.headers.all("host"), ["a.test"]);
    assert!(received.header("te").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_of_a_request_add_nothing_to_its_head() {
    let (gateway, upstream) = world("").await;
    let pseudo: &[Field<'_>] = &[(":path", b"/evil"), ("x-late", b"1")];
    let plain: &[Field<'_>] = &[
        ("x-late", b"1"),
        ("content-length", b"0"),
        ("host", b"b.test"),
    ];
    for trailers in [pseudo, plain] {
        upstream.clear();
        let mut client = connect(&gateway).await;
        let bytes = [
            frame(HEADERS, END_HEADERS, 1, &request("POST", "/said", &[])),
            frame(DATA, 0, 1, b"body"),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields(trailers)),
        ];
        client.send(&bytes.concat()).await.unwrap();
        let answer = client.on(1, PATIENCE).await.expect("an answer");
        assert_eq!((answer.kind, answer.status()), (HEADERS, 200));
        let received = upstream.last_request();
        assert_eq!(
            (received.target.as_str(), &received.body[..]),
            ("/said", &b"body"[..])
        );
        assert_eq!(received.headers.all("host"), ["a.test"]);
        assert!(received.header("x-late").is_none());
        assert!(!received.trailers.has("host"));
        assert!(!received.trailers.has("content-length"));
        assert_eq!(upstream.hits(), 1);
    }
    // Trailers that do not end the stream are none.
    let mut client = connect(&gateway).await;
    let bytes = [
        frame(HEADERS, END_HEADERS, 1, &request("POST", "/said", &[])),
        frame(HEADERS, END_HEADERS, 1, &fields(&[("x-late", b"1")])),
    ];
    client.send(&bytes.concat()).await.unwrap();
    let reset = client.find(RST_STREAM, PATIENCE).await.expect("a reset");
    assert_eq!(reset.code(), PROTOCOL_ERROR);
}
