//! The control API over a store in memory.

use super::*;
use crate::{
    listener::endpoint,
    status::explain::print as cli,
    store::{HistoryLimit, Key, Memory, MemoryStore, Revision, Store, Transaction, Write},
};
use axum::{body::Body, http::Request};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{net::TcpListener, sync::oneshot};
use tower::ServiceExt;

struct House {
    control: Arc<Control>,
    life: Arc<Life>,
    store: MemoryStore,
    // Keeps the store open.
    _memory: Memory,
}

impl House {
    fn closed() -> Self {
        let memory = Memory::new(HistoryLimit::default());
        let store = memory.group("/apisix");
        let authority = Authority::new(Arc::new(store.clone()), fixture::empty());
        let life = Arc::new(Life::default());
        life.begin();
        let control = Control::new(authority, Arc::default(), life.clone());
        Self {
            control: Arc::new(control),
            life,
            store,
            _memory: memory,
        }
    }

    async fn open(documents: &[(&str, Value)]) -> Self {
        let house = Self::closed();
        house.put(documents).await;
        tokio::spawn(house.control.authority.clone().follow());
        house.settle().await;
        house
    }

    async fn put(&self, documents: &[(&str, Value)]) {
        let writes = documents.iter().map(|(key, value)| Write::Put {
            key: Key::new(key).unwrap(),
            value: fixture::stored(key, value),
            ttl: None,
        });
        let transaction = Transaction::of(writes.collect());
        if !transaction.writes.is_empty() {
            self.store.commit(transaction).await.unwrap();
        }
    }

    async fn settle(&self) {
        let Revision(revision) = self.store.revision().await.unwrap();
        let mut status = self.control.authority.status();
        let there = status.wait_for(|s| s.seen >= revision && s.ready);
        let there = tokio::time::timeout(Duration::from_secs(10), there).await;
        assert!(there.unwrap().is_ok());
    }

    async fn get(&self, uri: &str) -> (u16, Value) {
        let (status, text) = self.request("GET", uri, "application/json").await;
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    async fn request(&self, method: &str, uri: &str, accept: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(uri);
        let request = request
            .header("accept", accept)
            .body(Body::empty())
            .unwrap();
        send(control_router(self.control.clone()), request).await
    }
}

async fn send(router: Router, request: Request<Body>) -> (u16, String) {
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await;
    (status, String::from_utf8(body.unwrap().to_vec()).unwrap())
}

fn error(text: &str) -> Value {
    json!({"error_msg": text})
}

fn checked() -> Value {
    json!({"nodes": {"127.0.0.1:1980": 1}, "checks": {"active": {"healthy": {}, "unhealthy": {}}}})
}

#[tokio::test]
async fn it_is_ready_with_a_configuration_and_until_it_drains() {
    let closed = House::closed();
    assert_eq!(closed.get("/status").await, (200, json!({"status": "ok"})));
    let (status, body) = closed.get("/status/ready").await;
    assert_eq!(status, 503);
    let waiting = json!({"status": "error", "error": "has not received configuration"});
    assert_eq!(body, waiting);

    let house = House::open(&[]).await;
    assert_eq!(
        house.get("/status/ready").await,
        (200, json!({"status": "ok"}))
    );
    house.life.end();
    let (status, body) = house.get("/status/ready").await;
    assert_eq!(status, 503);
    assert_eq!(body["error"], "the gateway is shutting down");
    assert_eq!(house.get("/status").await.0, 200);
}

#[tokio::test]
async fn the_standing_tells_what_serves_and_what_was_refused() {
    let house = House::open(&[("routes/1", json!({"uri": "/", "upstream": checked()}))]).await;
    let (status, standing) = house.get("/v1/status").await;
    assert_eq!(status, 200);
    assert_eq!(standing["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        standing["store"],
        json!({"name": "memory", "writable": true, "trouble": null})
    );
    let configuration = &standing["configuration"];
    assert_eq!(configuration["ready"], true);
    assert_eq!(configuration["revision"], 1);
    assert_eq!(configuration["refused"], Value::Null);
    assert_eq!(standing["resources"]["routes"], 1);
    assert_eq!(standing["resources"]["services"], 0);
    assert_eq!(
        standing["upstreams"],
        json!({"live": 1, "nodes": 1, "unhealthy_nodes": 0})
    );

    house
        .put(&[("routes/1", json!({"uri": "/", "plugins": {"nothing": {}}}))])
        .await;
    house.settle().await;
    let (_, standing) = house.get("/v1/status").await;
    let refused = &standing["configuration"]["refused"];
    assert_eq!(standing["configuration"]["refused_total"], 1);
    assert_eq!(refused["revision"], 2);
    assert_eq!(refused["problems"][0]["key"], "routes/1");
    assert_eq!(refused["problems"][0]["path"], "/plugins/nothing");
}

#[tokio::test]
async fn health_is_told_by_the_document_that_holds_the_upstream() {
    let house = House::open(&[
        ("routes/1", json!({"uri": "/", "upstream": checked()})),
        ("routes/2", json!({"uri": "/2", "upstream_id": "u"})),
        ("upstreams/u", checked()),
        ("upstreams/plain", json!({"nodes": {"127.0.0.1:1980": 1}})),
    ])
    .await;
    let (status, all) = house.get("/v1/healthcheck").await;
    assert_eq!(status, 200);
    let names: Vec<_> = all.as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["/apisix/routes/1", "/apisix/upstreams/u"]);
    assert_eq!(all[0]["type"], "http");
    let counter = json!({"success": 0, "tcp_failure": 0, "http_failure": 0, "timeout_failure": 0});
    assert_eq!(all[0]["nodes"][0]["hostname"], json!("127.0.0.1"), "{all}");
    assert_eq!(all[0]["nodes"][0]["counter"], counter);

    let (_, one) = house.get("/v1/healthcheck/routes/1").await;
    assert_eq!(one["name"], "/apisix/routes/1");
    for (path, status, message) in [
        ("consumers/x", 400, "invalid src type consumers"),
        ("upstreams/9", 404, "upstreams[9] not found"),
        ("upstreams/plain", 404, "no checker for upstreams[plain]"),
        ("routes/2", 404, "no checker for routes[2]"),
    ] {
        let answer = house.get(&format!("/v1/healthcheck/{path}")).await;
        assert_eq!(answer, (status, error(message)), "{path}");
    }
    let (_, page) = house
        .request("GET", "/v1/healthcheck", "text/html,*/*")
        .await;
    assert!(page.contains("<td>/apisix/upstreams/u</td>"), "{page}");
}

#[tokio::test]
async fn documents_are_shown_without_their_keys() {
    let key = include_str!("../model/testdata/test-only.key");
    let certificate = include_str!("../model/testdata/test-only.crt");
    let tls = json!({"client_cert": certificate, "client_key": key});
    let house = House::open(&[
        (
            "routes/1",
            json!({"id": "1", "uri": "/", "upstream_id": "u"}),
        ),
        (
            "upstreams/u",
            json!({"nodes": {"127.0.0.1:1": 1}, "scheme": "https", "tls": tls}),
        ),
        (
            "consumers/jack",
            json!({"username": "jack", "plugins": {"door": {"key": "secret"}}}),
        ),
        ("plugin_metadata/tag", json!({"a": 1})),
    ])
    .await;
    let (status, routes) = house.get("/v1/routes").await;
    assert_eq!(status, 200);
    let route = json!({
        "key": "/apisix/routes/1", "createdIndex": 1, "modifiedIndex": 1,
        "value": {"id": "1", "uri": "/", "upstream_id": "u"},
    });
    assert_eq!(routes, json!([route]));
    assert_eq!(house.get("/v1/route/1").await, (200, route));
    assert_eq!(house.get("/v1/services").await, (200, json!([])));
    let (_, upstream) = house.get("/v1/upstream/u").await;
    assert_eq!(upstream["value"]["tls"]["client_key"], "<hidden>");
    let metadata = json!({"id": "tag", "a": 1});
    assert_eq!(
        house.get("/v1/plugin_metadatas").await,
        (200, json!([metadata]))
    );
    assert_eq!(house.get("/v1/plugin_metadata/tag").await, (200, metadata));
    for (path, message) in [
        ("/v1/route/2", "route[2] not found"),
        ("/v1/service/a%2Fb", "service[a/b] not found"),
        ("/v1/upstream/2", "upstream[2] not found"),
        ("/v1/plugin_metadata/x", "plugin metadata[x] not found"),
    ] {
        assert_eq!(house.get(path).await, (404, error(message)), "{path}");
    }
}

#[tokio::test]
async fn the_schema_names_all_kinds_and_plugins() {
    let house = House::closed();
    let (status, schema) = house.get("/v1/schema").await;
    assert_eq!(status, 200);
    assert!(schema["main"]["route"]["properties"]["uri"].is_object());
    assert_eq!(schema["plugins"]["tag"]["priority"], 10);
    assert_eq!(schema["plugins"]["door"]["type"], "auth");
    let key = &schema["plugins"]["door"]["consumer_schema"]["properties"]["key"];
    assert!(key.is_object());
}

#[tokio::test]
async fn methods_and_paths_that_are_not_there_are_refused_in_words() {
    let house = House::closed();
    let reload = house.request("PUT", "/v1/plugins/reload", "*/*").await;
    assert_eq!(reload, (200, "done".to_owned()));
    assert_eq!(house.request("POST", "/v1/gc", "*/*").await.0, 200);
    assert_eq!(house.get("/v1/gc").await.0, 405);
    let (status, body) = house.get("/v1/nothing").await;
    assert_eq!(status, 404);
    assert_eq!(body, error("the control API has no /v1/nothing"));
}

#[tokio::test]
async fn a_question_that_cannot_be_understood_gets_a_400_with_what_was_expected() {
    let house = House::open(&[("routes/1", json!({"uri": "/x", "upstream": checked()}))]).await;
    let (status, body) = house.get("/v1/explain?host=a.example").await;
    assert_eq!(status, 400);
    let text = body["error_msg"].as_str().unwrap();
    assert!(
        text.starts_with("missing parameter uri: expected"),
        "{text}"
    );
    let uri = "/v1/explain?method=GET&host=a.example&uri=/x%3Fa=1&remote_addr=1.2.3.4&header=K:V&header=L:W";
    let (status, body) = house.get(uri).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["answer"]["is"], "forwarded");
    assert_eq!(body["request"]["path"], "/x");
    assert_eq!(body["request"]["remote_addr"], "1.2.3.4");
}

#[tokio::test]
async fn the_command_line_asks_a_gateway_that_runs() {
    let house = House::open(&[
        (
            "routes/1",
            json!({"uri": "/x", "name": "first", "upstream": checked(), "plugins": {"tag": {"text": 1}}}),
        ),
        ("routes/2", json!({"uri": "/x", "methods": ["PUT"], "priority": 1, "upstream": checked()})),
    ])
    .await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let router = control_router(house.control.clone());
    let server = tokio::spawn(endpoint::serve(listener, router, async {
        drop(stopped.await)
    }));

    let question = Question::new("a.example", "/x?a=1&b=%20");
    let explanation = cli::ask(&address, &question).await.unwrap();
    assert_eq!(explanation, explain(&house.control.state(), &question));
    let mut text = Vec::new();
    cli::write_text(&explanation, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        "GET http://a.example/x?a=1&b=%20 from 127.0.0.1, revision 1",
        "Route 1 \"first\"",
        "      10  tag  of routes/1  [rewrite log]",
        "  127.0.0.1:1980  weight 1  priority 0  healthy",
        "route 2  any host /x  priority 1: it does not take the method GET",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let mut again = Vec::new();
    cli::write_json(&explanation, &mut again).unwrap();
    let again: Explanation = serde_json::from_slice(&again).unwrap();
    assert_eq!(again, explanation);

    // A connection that stays open does not keep the server from leaving.
    let idle = tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await;
    stop.send(()).unwrap();
    let left = tokio::time::timeout(Duration::from_secs(10), server).await;
    assert!(left.unwrap().is_ok());
    drop(idle);
    let error = cli::ask(&address, &question).await.unwrap_err();
    assert!(matches!(error, cli::AskError::Unreachable(..)), "{error}");
}

#[tokio::test]
async fn metrics_are_a_page_of_text_under_their_path() {
    let ask = async |router: Router, method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        send(router, request.body(Body::empty()).unwrap()).await
    };
    let good = (200, "up 1\n".to_owned());
    let plain = metrics_router(|| Ok(Bytes::from_static(b"up 1\n")), "/metrics");
    assert_eq!(ask(plain.clone(), "GET", "/metrics").await, good);
    assert_eq!(ask(plain.clone(), "GET", "/metrics?a=1").await, good);
    assert_eq!(ask(plain.clone(), "POST", "/metrics").await.0, 405);
    assert_eq!(ask(plain, "GET", "/").await.0, 404);
    // Braces mean something to axum's router, and nothing here.
    drop(metrics_router(|| Ok(Bytes::new()), "no/{slash"));
    let broken = metrics_router(|| Err("no page".to_owned()), "/metrics");
    let failed = (500, "no page".to_owned());
    assert_eq!(ask(broken, "GET", "/metrics").await, failed);
}
