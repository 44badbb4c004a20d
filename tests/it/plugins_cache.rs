//! Responses from the cache, copies of requests, and plain requests that become GraphQL, through the real binary.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, Reply, Upstream, eventually, wait_until};

async fn world(plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let route = json!({ "uri": "/*", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

fn memory(more: Value) -> Value {
    let mut config = json!({ "cache_strategy": "memory", "cache_zone": "memory_cache" });
    let Value::Object(more) = more else {
        panic!("an object was expected");
    };
    config.as_object_mut().unwrap().extend(more);
    json!({ "proxy-cache": config })
}

fn status(answer: &crate::support::Response) -> &str {
    answer.header("apisix-cache-status").unwrap_or("none")
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_answers_in_the_upstreams_place() {
    let (gateway, upstream) = world(memory(json!({}))).await;
    let large = vec![b'x'; 300_000];
    let reply = Reply::new(200, large.clone())
        .header("Content-Type", "text/large")
        .header("ETag", "\"v1\"");
    upstream.answer(Answer::Reply(reply));
    let first = gateway.get("/a?b=1").await.expect_status(200);
    assert_eq!((status(&first), first.header("age")), ("MISS", None));
    let second = gateway.get("/a?b=1").await.expect_status(200);
    assert_eq!(status(&second), "HIT");
    assert_eq!(second.header("content-type"), Some("text/large"));
    assert!(second.header("age").is_some());
    assert_eq!(second.body, large);
    let head = gateway.request("HEAD", "/a?b=1").await.expect_status(200);
    assert_eq!(head.header("content-length"), Some("300000"));
    let known = gateway.get("/a?b=1").header("If-None-Match", "\"v1\"");
    known.await.expect_status(304);
    assert_eq!(upstream.hits(), 1);
    gateway.request("PURGE", "/a?b=1").await.expect_status(200);
    gateway.request("PURGE", "/a?b=1").await.expect_status(404);
    assert_eq!(status(&gateway.get("/a?b=1").await), "MISS");
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_answers_in_the_upstreams_place() {
    let (gateway, upstream) = world(json!({ "proxy-cache": {} })).await;
    let reply = Reply::new(200, "from the disk").header("Cache-Control", "max-age=600");
    upstream.answer(Answer::Reply(reply));
    eventually("the response is stored", PATIENCE, async || {
        status(&gateway.get("/a").await) == "HIT"
    })
    .await;
    let hits = upstream.hits();
    let answer = gateway.get("/a").await.expect_status(200);
    assert_eq!(answer.text(), "from the disk");
    assert_eq!(upstream.hits(), hits);
    assert!(
        gateway
            .folder()
            .join("data/proxy-cache/disk_cache_one")
            .exists()
    );
    gateway.request("PURGE", "/a").await.expect_status(200);
    assert_eq!(status(&gateway.get("/a").await), "MISS");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hit_leaves_the_connection_right_although_the_body_was_not_read() {
    let plugins = memory(json!({ "cache_method": ["GET", "POST"], "cache_key": ["$uri"] }));
    let (gateway, upstream) = world(plugins).await;
    let post = |body: &str| gateway.request("POST", "/a").body(body.as_bytes().to_vec());
    post("x").await.expect_status(200);
    eventually("the response is kept", PATIENCE, async || {
        status(&post("x").await) == "HIT"
    })
    .await;
    upstream.clear();
    let mut connection = gateway.connect().await;
    // A body that looks like a request must never be read as one.
    let inner = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let raw = format!(
        "POST /a HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{inner}",
        gateway.addr(crate::support::Interface::Http),
        inner.len()
    );
    connection.write(raw.as_bytes()).await.unwrap();
    let hit = connection.read_response("POST").await.unwrap();
    assert_eq!(status(&hit), "HIT");
    if let Ok(next) = connection.send(&gateway.get("/next")).await {
        assert_eq!(next.status, 200);
    }
    let targets: Vec<_> = upstream.requests().into_iter().map(|r| r.target).collect();
    assert!(
        !targets.iter().any(|target| target == "/smuggled"),
        "{targets:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_do_not_see_each_others_responses() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let consumer = |name: &str| json!({ "username": name, "plugins": { "key-auth": { "key": format!("{name}-key") } } });
    let mut plugins = memory(json!({}));
    plugins["key-auth"] = json!({});
    let route = json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
    gateway
        .put_all([
            ("/consumers/jack", consumer("jack")),
            ("/consumers/jill", consumer("jill")),
            ("/routes/1", route),
        ])
        .await;
    let ask = |name: &str| gateway.get("/a").header("apikey", format!("{name}-key"));
    assert_eq!(status(&ask("jack").await), "MISS");
    assert_eq!(status(&ask("jack").await), "HIT");
    let other = ask("jill").await.expect_status(200);
    assert_eq!(status(&other), "MISS");
    assert_eq!(
        other.echoed_header("x-consumer-username").as_deref(),
        Some("jill")
    );
    gateway.get("/a").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_at_once_one_asks_the_upstream() {
    let (gateway, upstream) = world(memory(json!({}))).await;
    upstream.answer(Answer::text("slow").after(std::time::Duration::from_millis(500)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let request = gateway.get("/a");
        clients.spawn(async move { request.await.text() });
    }
    assert!(clients.join_all().await.iter().all(|text| text == "slow"));
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_plugins_added_is_not_kept() {
    let mut plugins = memory(json!({}));
    plugins["limit-count"] = json!({ "count": 100, "time_window": 600 });
    plugins["cors"] = json!({ "allow_origins": "http://a.test,http://b.test" });
    let (gateway, _upstream) = world(plugins).await;
    let ask = |origin: &str| gateway.get("/a").header("Origin", origin);
    ask("http://a.test").await.expect_status(200);
    let hit = ask("http://b.test").await.expect_status(200);
    assert_eq!(status(&hit), "HIT");
    assert_eq!(
        hit.headers.all("access-control-allow-origin"),
        ["http://b.test"]
    );
    let other = ask("http://c.test").await.expect_status(200);
    assert!(!other.headers.has("access-control-allow-origin"));
    // Hits are answered before limits that come later; what a limit said once is nobody else's.
    assert!(!hit.headers.has("x-ratelimit-remaining"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_gets_a_copy_and_the_client_does_not_notice() {
    let gateway = Gateway::start().await;
    let (upstream, mut mirror) = (
        Upstream::answering("real").await,
        Upstream::answering("copy").await,
    );
    let plugins = json!({ "proxy-mirror": { "host": format!("http://{}", mirror.node()), "path": "/m", "path_concat_mode": "prefix" } });
    let route = json!({ "uri": "/*", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let answer = gateway.request("POST", "/a?b=1").body("payload").await;
    assert_eq!(answer.expect_status(200).text(), "real");
    wait_until("the copy arrives", PATIENCE, || mirror.hits() == 1).await;
    let copy = mirror.last_request();
    assert_eq!(
        (copy.method.as_str(), copy.target.as_str()),
        ("POST", "/m/a?b=1")
    );
    assert_eq!(copy.body, b"payload");
    gateway.get("/bodiless").await.expect_status(200);
    wait_until("the copy arrives", PATIENCE, || mirror.hits() == 2).await;
    mirror.stop().await;
    for _ in 0..5 {
        gateway.get("/a").await.expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_requests_become_graphql() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let config =
        json!({ "query": "query($id: String) { user(id: $id) { name } }", "variables": ["id"] });
    let plugins = json!({ "degraphql": config });
    let route = json!({ "uri": "/*", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let post = gateway
        .request("POST", "/graphql")
        .json(&json!({ "id": "7", "more": "x".repeat(5000) }));
    post.await.expect_status(200);
    let received = upstream.last_request();
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body["variables"], json!({ "id": "7" }));
    assert_eq!(received.header("content-type"), Some("application/json"));
    gateway.get("/graphql?id=7").await.expect_status(200);
    assert!(
        upstream
            .last_request()
            .target
            .starts_with("/graphql?query=query")
    );
    let refused = gateway.request("POST", "/graphql").body("no json");
    refused.await.expect_status(400);
    gateway.request("PUT", "/graphql").await.expect_status(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_runs_its_requests_as_the_client_would() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let open = json!({ "uri": "/apisix/batch-requests", "plugins": { "public-api": {} } });
    let plain = json!({ "uri": "/plain", "upstream": upstream.document() });
    let secret =
        json!({ "uri": "/secret", "plugins": { "key-auth": {} }, "upstream": upstream.document() });
    let consumer = json!({ "username": "jack", "plugins": { "key-auth": { "key": "jack-key" } } });
    gateway
        .put_all([
            ("/consumers/jack", consumer),
            ("/routes/open", open),
            ("/routes/plain", plain),
            ("/routes/secret", secret),
        ])
        .await;
    let batch = json!({ "headers": { "X-Common": "c" }, "query": { "q": "1" }, "pipeline": [
        { "path": "/plain", "headers": { "X-Consumer-Username": "root" } },
        { "path": "/secret" },
        { "method": "POST", "path": "/secret", "headers": { "apikey": "jack-key" }, "body": "text" },
        { "path": "/none" },
        { "method": "POST", "path": "/apisix/batch-requests", "body": "{\"pipeline\": [{\"path\": \"/plain\"}]}" },
        { "path": "/apisix/admin/routes", "headers": { "X-API-KEY": "the-key-of-this-test" } },
    ] });
    let answer = gateway
        .request("POST", "/apisix/batch-requests")
        .json(&batch);
    let answer = answer.await.expect_status(200).json();
    let statuses: Vec<_> = answer
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["status"].clone())
        .collect();
    assert_eq!(
        json!(statuses),
        json!([200, 401, 200, 404, 400, 404]),
        "{answer}"
    );
    let echo: Value = serde_json::from_str(answer[0]["body"].as_str().unwrap()).unwrap();
    let received = echo.to_string().to_ascii_lowercase();
    assert!(
        received.contains("x-common") && received.contains("/plain?q=1"),
        "{received}"
    );
    assert!(
        !received.contains("x-crossway") && !received.contains("\"root\""),
        "{received}"
    );
    assert_eq!(upstream.requests()[1].body, b"text");
    assert_eq!(
        upstream.requests()[1].header("x-consumer-username"),
        Some("jack")
    );
    // What the metadata says is heeded at once.
    gateway
        .put(
            "/plugin_metadata/batch-requests",
            json!({ "max_pipeline_items": 2 }),
        )
        .await;
    let refused = gateway
        .request("POST", "/apisix/batch-requests")
        .json(&batch);
    refused.await.expect_status(400);
    gateway
        .get("/apisix/batch-requests")
        .await
        .expect_status(404);
    // Nobody else can speak for a client.
    let only = json!({ "uri": "/only", "plugins": { "ip-restriction": { "whitelist": ["192.0.2.7"] } }, "upstream": upstream.document() });
    gateway.put("/routes/only", only).await;
    let forged = gateway
        .get("/only")
        .header("X-Crossway-Relayed-For", "0 192.0.2.7:1");
    forged.await.expect_status(403);
}
