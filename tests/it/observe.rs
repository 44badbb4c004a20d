//! What the gateway tells of itself is true: connections on the metrics page, ids in the access log.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::{
    Answer, Gateway, PATIENCE, Request, Upstream, eventually, eventually_matches, wait_until,
};

/// `nginx_http_current_connections`, by state.
async fn connections(gateway: &Gateway) -> BTreeMap<String, u64> {
    let text = gateway.metrics().await;
    let of = "apisix_nginx_http_current_connections{state=\"";
    text.lines()
        .filter_map(|line| line.strip_prefix(of)?.split_once("\"} "))
        .map(|(state, value)| (state.to_owned(), value.parse().expect("a whole number")))
        .collect()
}

async fn until_open(gateway: &Gateway, open: u64) -> BTreeMap<String, u64> {
    let what = format!("{open} connections are open");
    let probe = async || connections(gateway).await;
    eventually_matches(&what, PATIENCE, probe, |seen| seen["active"] == open).await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_from_accept_to_close() {
    let gateway = Gateway::start().await;
    let mut upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let before = until_open(&gateway, 0).await;
    assert_eq!((before["writing"], before["waiting"]), (0, 0));

    let silent = gateway.connect().await;
    let mut kept = gateway.connect().await;
    let request = |path| Request::new(upstream.addr(), "GET", path);
    for _ in 0..3 {
        let answer = kept.send(&request("/kept")).await.unwrap();
        answer.expect_status(200);
    }
    let mut broken = gateway.connect().await;
    broken.write(b"no HTTP at all\r\n\r\n").await.unwrap();
    assert!(broken.closes_within(PATIENCE).await);
    upstream.answer(Answer::Hang);
    let hits = upstream.hits();
    let mut busy = gateway.connect().await;
    busy.write(b"GET /busy HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await
        .unwrap();
    wait_until("the request is at the upstream", PATIENCE, || {
        upstream.hits() > hits
    })
    .await;

    let during = until_open(&gateway, 3).await;
    let expected = [
        ("accepted", before["accepted"] + 4),
        ("handled", before["handled"] + 4),
        ("active", 3),
        ("writing", 1),
        ("waiting", 2),
    ];
    assert_eq!(
        during,
        expected.map(|(state, n)| (state.to_owned(), n)).into()
    );

    // While its answer is awaited, the gateway does not look whether a client is still there.
    upstream.stop().await;
    let answer = busy.read_response("GET").await.unwrap();
    assert!(answer.status >= 502, "{}", answer.status);
    drop((silent, kept, busy));
    let after = until_open(&gateway, 0).await;
    assert_eq!(after["accepted"], during["accepted"]);
    eventually("nothing is being answered", PATIENCE, async || {
        connections(&gateway).await["writing"] == 0
    })
    .await;
}

/// The last field of the access log line for `path`, which is the id of the request.
async fn logged_id(gateway: &Gateway, path: &str) -> String {
    let asked = format!("\"GET {path} HTTP/1.1\"");
    let mut id = None;
    wait_until("the request is in the access log", PATIENCE, || {
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(&asked));
        id = line.and_then(|line| Some(line.strip_suffix('"')?.rsplit_once('"')?.1.to_owned()));
        id.is_some()
    })
    .await;
    id.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_an_id_in_the_access_log() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let plain = json!({ "uri": "/plain/*", "upstream": upstream.document() });
    let named = json!({
        "uri": "/named", "plugins": { "request-id": {} }, "upstream": upstream.document(),
    });
    gateway
        .put_all([("/routes/plain", plain), ("/routes/named", named)])
        .await;
    let mut ids = Vec::new();
    for path in ["/plain/1", "/plain/2", "/nowhere"] {
        gateway.get(path).await;
        let id = logged_id(&gateway, path).await;
        let is_hex = id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(id.len() == 32 && is_hex, "{path}: {id:?}");
        assert!(!ids.contains(&id), "{id} twice");
        ids.push(id);
    }
    let answer = gateway.get("/named").await.expect_status(200);
    let told = answer.header("x-request-id").unwrap();
    assert_eq!(logged_id(&gateway, "/named").await, told);
}
