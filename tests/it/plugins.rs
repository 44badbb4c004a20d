//! Each built-in plugin that changes requests and answers, end to end.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, Reply, Upstream, eventually};

async fn world(uri: &str, plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": uri, "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_rewrite_changes_path_host_method_and_fields() {
    let (gateway, _upstream) = world(
        "/a",
        json!({ "proxy-rewrite": {
            "uri": "/inner/$arg_id", "host": "inner.test", "method": "POST",
            "headers": {
                "set": { "X-Set": "new-$http_x_from" },
                "add": { "X-Add": "second" },
                "remove": ["X-Remove"],
            },
        } }),
    )
    .await;
    let answer = gateway
        .get("/a?id=7&b=2")
        .header("X-From", "client")
        .header("X-Set", "old")
        .header("X-Add", "first")
        .header("X-Remove", "1")
        .await
        .expect_status(200);
    let echo = answer.json();
    assert_eq!(echo["method"], "POST");
    assert_eq!(echo["target"], "/inner/7?id=7&b=2", "the query is kept");
    assert_eq!(answer.echoed_headers("host"), ["inner.test"]);
    assert_eq!(answer.echoed_headers("x-set"), ["new-client"]);
    assert_eq!(answer.echoed_headers("x-add"), ["first", "second"]);
    assert!(answer.echoed_headers("x-remove").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_rewrite_takes_the_first_regex_that_matches() {
    let (gateway, _upstream) = world(
        "/*",
        json!({ "proxy-rewrite": {
            "regex_uri": ["^/v1/(.*)/(.*)$", "/one/$2/$1", "^/v(.*)$", "/two/$1"],
            "headers": { "X-Captured": "$1" },
        } }),
    )
    .await;
    let answer = gateway.get("/v1/a/b?q=1").await.expect_status(200);
    assert_eq!(answer.json()["target"], "/one/b/a?q=1");
    assert_eq!(answer.echoed_headers("x-captured"), ["a"]);
    assert_eq!(gateway.get("/v2").await.json()["target"], "/two/2");
    assert_eq!(gateway.get("/other").await.json()["target"], "/other");
}

#[tokio::test(flavor = "multi_thread")]
async fn response_rewrite_changes_status_fields_and_body() {
    let (gateway, upstream) = world(
        "/a",
        json!({ "response-rewrite": {
            "status_code": 202, "body": "{\"changed\":true}",
            "headers": { "set": { "Content-Type": "application/json", "X-Set": "1" },
                         "add": ["X-Add: 2"], "remove": ["X-Inner"] },
        } }),
    )
    .await;
    upstream.answer(Answer::Reply(
        Reply::new(200, "a much longer original body").header("X-Inner", "1"),
    ));
    let answer = gateway.get("/a").await.expect_status(202);
    assert_eq!(answer.text(), "{\"changed\":true}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(
        (answer.header("x-set"), answer.header("x-add")),
        (Some("1"), Some("2"))
    );
    assert!(!answer.headers.has("x-inner"));
}

#[tokio::test(flavor = "multi_thread")]
async fn response_rewrite_filters_a_body_and_only_where_its_vars_say() {
    let (gateway, upstream) = world(
        "/a",
        json!({ "response-rewrite": {
            "vars": [["status", "==", 200]],
            "filters": [{ "regex": "secret", "replace": "******", "scope": "global" }],
        } }),
    )
    .await;
    upstream.answer(Answer::text("a secret is a secret"));
    assert_eq!(gateway.get("/a").await.text(), "a ****** is a ******");
    upstream.answer(Answer::Reply(Reply::new(404, "a secret")));
    assert_eq!(
        gateway.get("/a").await.expect_status(404).text(),
        "a secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirect_sends_clients_elsewhere() {
    let (gateway, upstream) = world(
        "/a",
        json!({ "redirect": { "uri": "/b$uri", "ret_code": 307 } }),
    )
    .await;
    let answer = gateway.get("/a?x=1").await.expect_status(307);
    assert_eq!(answer.header("location"), Some("/b/a"));

    let regex = json!({ "regex_uri": ["^/old/(.*)$", "/new/$1"], "append_query_string": true });
    gateway
        .put_all([
            (
                "/routes/2",
                json!({ "uri": "/old/*", "plugins": { "redirect": regex } }),
            ),
            (
                "/routes/3",
                json!({ "uri": "/secure", "plugins": { "redirect": { "http_to_https": true } } }),
            ),
        ])
        .await;
    let answer = gateway.get("/old/x?y=1").await.expect_status(302);
    assert_eq!(answer.header("location"), Some("/new/x?y=1"));
    let answer = gateway
        .get("/secure?q=1")
        .host("a.example")
        .await
        .expect_status(301);
    let location = answer.header("location").unwrap();
    assert!(location.starts_with("https://a.example") && location.ends_with("/secure?q=1"));
    let answer = gateway.request("POST", "/secure").host("a.example").await;
    answer.expect_status(308);
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_answers_preflights_and_marks_answers() {
    let (gateway, upstream) = world("/a", json!({ "cors": {} })).await;
    let preflight = gateway
        .request("OPTIONS", "/a")
        .header("Origin", "https://web.example")
        .header("Access-Control-Request-Method", "PUT")
        .await
        .expect_status(200);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("*"));
    assert_eq!(preflight.header("access-control-max-age"), Some("5"));
    assert_eq!(upstream.hits(), 0, "a preflight is answered by the gateway");
    let answer = gateway
        .get("/a")
        .header("Origin", "https://web.example")
        .await;
    assert_eq!(
        answer
            .expect_status(200)
            .header("access-control-allow-origin"),
        Some("*")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn cors_names_the_origins_that_it_allows() {
    let allowed = json!({ "cors": {
        "allow_origins": "https://a.example,https://b.example", "allow_credential": true,
        "allow_methods": "GET,PUT", "allow_headers": "X-A", "max_age": 60,
    } });
    let (gateway, _upstream) = world("/a", allowed).await;
    let answer = gateway
        .get("/a")
        .header("Origin", "https://b.example")
        .await
        .expect_status(200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://b.example")
    );
    assert_eq!(
        answer.header("access-control-allow-credentials"),
        Some("true")
    );
    assert!(
        answer
            .headers
            .all("vary")
            .iter()
            .any(|v| v.contains("Origin"))
    );
    let answer = gateway
        .get("/a")
        .header("Origin", "https://evil.example")
        .await;
    let answer = answer.expect_status(200);
    assert!(
        !answer.headers.has("access-control-allow-origin"),
        "proxied, but not marked"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_names_each_request_once() {
    let (gateway, _upstream) = world("/a", json!({ "request-id": {} })).await;
    let answer = gateway.get("/a").await.expect_status(200);
    let id = answer.header("x-request-id").unwrap().to_owned();
    assert_eq!(
        answer.echoed_headers("x-request-id"),
        std::slice::from_ref(&id)
    );
    assert_eq!(id.len(), 36, "a uuid: {id}");
    let second = gateway.get("/a").await;
    assert_ne!(second.header("x-request-id"), Some(id.as_str()));
    let given = gateway.get("/a").header("X-Request-Id", "mine").await;
    assert_eq!(given.header("x-request-id"), Some("mine"));
    assert_eq!(given.echoed_headers("x-request-id"), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_id_may_have_another_name_and_stay_inside() {
    let plugins =
        json!({ "request-id": { "header_name": "X-Trace", "include_in_response": false } });
    let (gateway, _upstream) = world("/a", plugins).await;
    let answer = gateway.get("/a").await.expect_status(200);
    assert!(answer.echoed_header("x-trace").is_some() && !answer.headers.has("x-trace"));
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_split_shares_out_by_weight_and_by_condition() {
    let gateway = Gateway::start().await;
    let (main, canary, named) = (
        Upstream::answering("main").await,
        Upstream::answering("canary").await,
        Upstream::answering("named").await,
    );
    let rules = json!([
        {
            "match": [{ "vars": [["http_x_canary", "==", "yes"]] }],
            "weighted_upstreams": [{ "upstream_id": "named" }],
        },
        {
            "weighted_upstreams": [
                { "upstream": canary.document(), "weight": 1 },
                { "weight": 3 },
            ],
        },
    ]);
    let route = json!({
        "uri": "/a", "upstream": main.document(),
        "plugins": { "traffic-split": { "rules": rules } },
    });
    gateway
        .put_all([("/upstreams/named", named.document()), ("/routes/1", route)])
        .await;
    let mut tally = BTreeMap::new();
    for _ in 0..40 {
        *tally
            .entry(gateway.get("/a").await.expect_status(200).text())
            .or_insert(0) += 1;
    }
    let expected = BTreeMap::from([("main".to_owned(), 30), ("canary".to_owned(), 10)]);
    assert_eq!(tally, expected);
    assert_eq!(
        gateway.get("/a").header("X-Canary", "yes").await.text(),
        "named"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_injection_aborts_and_delays() {
    let plugins = json!({ "fault-injection": {
        "abort": {
            "http_status": 418, "body": "no coffee for $arg_name",
            "headers": { "X-Fault": "1" }, "vars": [[["arg_abort", "==", "1"]]],
        },
        "delay": { "duration": 0.4, "vars": [[["arg_slow", "==", "1"]]] },
    } });
    let (gateway, upstream) = world("/a", plugins).await;
    let answer = gateway.get("/a?abort=1&name=jack").await.expect_status(418);
    assert_eq!(answer.text(), "no coffee for jack");
    assert_eq!(answer.header("x-fault"), Some("1"));
    assert_eq!(upstream.hits(), 0);
    let started = std::time::Instant::now();
    gateway.get("/a?slow=1").await.expect_status(200);
    assert!(
        started.elapsed().as_millis() >= 380,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mocking_answers_without_an_upstream() {
    let gateway = Gateway::start().await;
    let mock = json!({ "mocking": {
        "response_example": "{\"a\":1}", "response_status": 201, "content_type": "application/json",
        "response_headers": { "X-Extra": "2" },
    } });
    gateway
        .put("/routes/1", json!({ "uri": "/a", "plugins": mock }))
        .await;
    let answer = gateway.get("/a").await.expect_status(201);
    assert_eq!(answer.json(), json!({ "a": 1 }));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("x-extra"), Some("2"));
    assert!(
        answer
            .header("x-mock-by")
            .unwrap_or("")
            .starts_with("Crossway/")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_counts_what_its_routes_answered() {
    let (gateway, upstream) = world("/a", json!({ "prometheus": {} })).await;
    let uncounted = json!({ "uri": "/b", "upstream": upstream.document() });
    gateway.put("/routes/uncounted", uncounted).await;
    for _ in 0..3 {
        gateway.get("/a").await.expect_status(200);
        gateway.get("/b").await.expect_status(200);
    }
    upstream.answer(Answer::status(500));
    gateway.get("/a").await.expect_status(500);

    let count = |text: &str, labels: &[&str]| {
        let line = text.lines().find(|line| {
            line.starts_with("apisix_http_status{") && labels.iter().all(|l| line.contains(l))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    eventually("the counters are there", PATIENCE, async || {
        let text = gateway.metrics().await;
        count(
            &text,
            &["code=\"200\"", "route=\"1\"", "node=\"127.0.0.1\""],
        ) == Some(3.0)
            && count(&text, &["code=\"500\"", "route=\"1\""]) == Some(1.0)
    })
    .await;
    let text = gateway.metrics().await;
    assert!(
        !text.contains("route=\"uncounted\""),
        "counted only where it is enabled"
    );
    for expected in [
        "# TYPE apisix_http_status counter",
        "# TYPE apisix_http_latency histogram",
        "# TYPE apisix_bandwidth counter",
        "apisix_http_latency_bucket{",
        "type=\"upstream\"",
        "type=\"ingress\"",
        "le=\"60000\"",
    ] {
        assert!(text.contains(expected), "{expected} is missing in:\n{text}");
    }
}
