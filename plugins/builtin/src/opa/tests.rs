use super::Opa;
use crate::{
    remote::service::{Service, nowhere},
    testing::*,
};
use bytes::Bytes;
use crossway_sdk::{
    consumer::{AuthSlot, Consumer, CredentialTable, Identity},
    definition::Definition,
    request::Configuration,
    route::RouteInfo,
    testing::Scene,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn definition() -> Definition {
    Definition::of::<Opa>()
}

fn config(host: &str, changes: Value) -> Value {
    let mut config = json!({"host": host, "policy": "example/authz"});
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

async fn deciding(decision: &Value) -> Service {
    Service::saying(200, "", &decision.to_string()).await
}

async fn outcome(service: &Service, changes: Value, scene: &mut Scene) -> (u16, String) {
    let plugin = built(&definition(), config(&service.url(), changes));
    match scene.access(&*plugin).await {
        Ok(crossway_sdk::flow::Flow::Next) => (200, "passed".to_owned()),
        other => said(other),
    }
}

async fn judged(decision: Value) -> (u16, String) {
    let service = deciding(&decision).await;
    outcome(&service, json!({}), &mut scene(get("/", "")).await).await
}

#[tokio::test]
async fn the_policy_sees_the_request() {
    let service = deciding(&json!({"result": {"allow": true}})).await;
    let raw = b"GET /a%20b?x=1&x=2&y&z=%41+b HTTP/1.1\r\nHost: A.example:81\r\nX-One: 1\r\nX-Two: a\r\nX-Two: b\r\nX-Bad: \xff\r\n\r\n";
    let mut scene = scene(raw).await;
    assert_eq!(outcome(&service, json!({}), &mut scene).await.0, 200);
    let asked = service.request();
    assert!(
        asked.starts_with("POST /v1/data/example/authz HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains("content-type: application/json\r\n"));
    let (_, body) = asked.split_once("\r\n\r\n").unwrap();
    let mut input = serde_json::from_str::<Value>(body).unwrap()["input"].take();
    assert!(input["var"]["timestamp"].take().as_u64().unwrap() > 1_700_000_000);
    assert_eq!(
        input,
        json!({
            "type": "http",
            "request": {
                "scheme": "http", "method": "GET", "host": "a.example", "port": 9080, "path": "/a%20b",
                "headers": {"host": "A.example:81", "x-one": "1", "x-two": ["a", "b"], "x-bad": "\u{fffd}"},
                "query": {"x": ["1", "2"], "y": true, "z": "A b"},
            },
            "var": {
                "server_addr": "192.0.2.2", "server_port": "9080",
                "remote_addr": "192.0.2.1", "remote_port": "40000", "timestamp": null,
            },
        })
    );
}

/// Has two documents.
struct Documents;

impl Configuration for Documents {
    fn credentials(&self, _: AuthSlot) -> Option<&CredentialTable> {
        None
    }
    fn consumer(&self, _: &str) -> Option<Arc<Consumer>> {
        None
    }
    fn document(&self, key: &str) -> Option<Bytes> {
        let document = match key {
            "routes/r" => json!({"id": "r", "uri": "/*", "upstream": {"nodes": {}}}),
            "services/s" => json!({"id": "s", "upstream": {"nodes": {}}}),
            _ => return None,
        };
        Some(document.to_string().into())
    }
}

#[tokio::test]
async fn documents_are_sent_when_asked_for_and_secrets_never() {
    let service = deciding(&json!({"result": {"allow": true}})).await;
    let mut scene = Scene::with(&get("/", ""), Arc::new(Documents))
        .await
        .unwrap();
    scene.request.route = Some(Arc::new(RouteInfo {
        id: "r".into(),
        service_id: Some("s".into()),
        ..RouteInfo::default()
    }));
    let consumer = Consumer {
        serial: 1,
        username: "jack".into(),
        group_id: Some("g".into()),
        labels: [("team".to_owned(), "a".to_owned())].into(),
        username_header: http::HeaderValue::from_static("jack"),
        custom_id: None,
    };
    scene.request.identity = Some(Identity {
        consumer: Arc::new(consumer),
        credential: Some(http::HeaderValue::from_static("c-1")),
    });
    let all = json!({"with_route": true, "with_service": true, "with_consumer": true});
    assert_eq!(outcome(&service, all, &mut scene).await.0, 200);
    let asked = service.request();
    let input: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(input["input"]["route"], json!({"id": "r", "uri": "/*"}));
    assert_eq!(
        input["input"]["service"],
        json!({"id": "s", "upstream": {"nodes": {}}})
    );
    assert_eq!(
        input["input"]["consumer"],
        json!({"username": "jack", "consumer_name": "jack", "group_id": "g", "labels": {"team": "a"}, "credential_id": "c-1"})
    );
}

#[tokio::test]
async fn what_is_not_there_is_left_out() {
    let service = deciding(&json!({"result": {"allow": true}})).await;
    let all = json!({"with_route": true, "with_service": true, "with_consumer": true});
    let mut scene = scene(get("/", "")).await;
    assert_eq!(outcome(&service, all, &mut scene).await.0, 200);
    let asked = service.request();
    for name in ["\"route\"", "\"service\"", "\"consumer\""] {
        assert!(!asked.contains(name), "{asked}");
    }
}

#[tokio::test]
async fn a_refusal_is_as_the_policy_says() {
    let no = |more: Value| {
        let mut result = json!({"allow": false});
        result
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({ "result": result })
    };
    assert_eq!(judged(no(json!({}))).await, (403, String::new()));
    assert_eq!(
        judged(no(json!({"reason": "why"}))).await,
        (403, "why".to_owned())
    );
    assert_eq!(
        judged(no(json!({"reason": null, "headers": null}))).await,
        (403, String::new())
    );
    assert_eq!(
        judged(no(json!({"reason": {"code": 40001}, "status_code": 401}))).await,
        (401, "{\"code\":40001}".to_owned())
    );
    let headers = json!({"Location": "http://a/auth", "X-N": 5, "X-L": ["a", "b"], "X-Bad": "a\nb", "Content-Length": "9", "x y": "z"});
    let service = deciding(&no(json!({"status_code": 302, "headers": headers}))).await;
    let plugin = built(&definition(), config(&service.url(), json!({})));
    let reply = reply(scene(get("/", "")).await.access(&*plugin).await);
    assert_eq!(reply.status, 302);
    assert_eq!(header(&reply, "location"), Some("http://a/auth"));
    assert_eq!(header(&reply, "x-n"), Some("5"));
    assert_eq!(reply.headers.iter().filter(|(n, _)| n == "x-l").count(), 2);
    assert_eq!(reply.headers.len(), 4, "{:?}", reply.headers);
}

#[tokio::test]
async fn headers_of_the_decision_reach_the_upstream_and_forged_ones_do_not() {
    let allow = json!({"result": {"allow": true, "headers": {"x-user": "ann", "X-Other": "o", "X-Bad": "a\r\nb"}}});
    let service = deciding(&allow).await;
    let mut scene = scene(get("/", "X-User: root\r\nX-Group: wheel\r\nX-Bad: b\r\n")).await;
    let names = json!({"send_headers_upstream": ["X-User", "X-Group", "X-Bad"]});
    assert_eq!(outcome(&service, names, &mut scene).await.0, 200);
    assert_eq!(sent_up(&scene, "x-user"), Some("ann"));
    for name in ["x-group", "x-bad", "x-other"] {
        assert_eq!(sent_up(&scene, name), None, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_decision_is_a_503() {
    for nonsense in [
        json!({}),
        json!([]),
        json!({"result": {}}),
        json!({"result": null}),
        json!({"result": true}),
        json!({"result": {"allow": "true"}}),
        json!({"result": {"allow": 1}}),
        json!({"result": {"allow": false, "status_code": 99}}),
        json!({"result": {"allow": false, "status_code": 101}}),
        json!({"result": {"allow": false, "headers": "x"}}),
    ] {
        assert_eq!(
            judged(nonsense.clone()).await,
            (503, String::new()),
            "{nonsense}"
        );
    }
    let html = Service::saying(502, "", "<html>").await;
    assert_eq!(
        outcome(&html, json!({}), &mut scene(get("/", "")).await)
            .await
            .0,
        503
    );
}

#[tokio::test]
async fn without_a_decision_nobody_passes() {
    let plugin = built(&definition(), config(&nowhere().await, json!({})));
    assert_eq!(
        said(scene(get("/", "")).await.access(&*plugin).await).0,
        403
    );
    for nonsense in [
        "nonsense\r\n\r\n",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"result\":{\"allow\":true}}",
    ] {
        let service = Service::start(Some(nonsense.into())).await;
        assert_eq!(
            outcome(&service, json!({}), &mut scene(get("/", "")).await)
                .await
                .0,
            403
        );
    }
    let slow = Service::start(None).await;
    let began = Instant::now();
    let outcome = outcome(
        &slow,
        json!({"timeout": 50}),
        &mut scene(get("/", "")).await,
    )
    .await;
    assert_eq!(outcome.0, 403);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn refused_configurations_say_where() {
    let refused =
        |changes: Value| refused(&definition(), config("http://127.0.0.1:8181", changes)).0;
    for host in ["", "127.0.0.1:8181", "ftp://a"] {
        assert_eq!(refused(json!({"host": host})), "/host");
    }
    for policy in ["", "a b", "a?b=1"] {
        assert_eq!(refused(json!({"policy": policy})), "/policy", "{policy}");
    }
    assert_eq!(refused(json!({"timeout": 0})), "/timeout");
    assert_eq!(
        refused(json!({"send_headers_upstream": ["Connection"]})),
        "/send_headers_upstream/0"
    );
    assert_eq!(refused(json!({"keepalive_pool": 0})), "/keepalive_pool");
}
