//! Plugins that guard and shape traffic, where it takes a real upstream, a real client or the whole gateway to tell.

use serde_json::{Value, json};

use crate::support::{
    Answer, Gateway, PATIENCE, Port, Reply, Response, Upstream, eventually, wait_until,
};

async fn world(uri: &str, plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": uri, "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn real_ip_decides_who_the_client_is_for_plugins_and_upstreams() {
    let plugins = |trusted: &str| {
        json!({
            "real-ip": {
                "source": "http_x_forwarded_for", "recursive": true,
                "trusted_addresses": [trusted, "10.0.0.0/8"],
            },
            "ip-restriction": { "blacklist": ["6.6.6.6"] },
        })
    };
    let (gateway, upstream) = world("/a", plugins("127.0.0.1")).await;
    let distrustful =
        json!({ "uri": "/b", "plugins": plugins("10.0.0.1"), "upstream": upstream.document() });
    gateway.put("/routes/2", distrustful).await;
    let ask = |path: &str, chain: &str| gateway.get(path).header("X-Forwarded-For", chain);

    let answer = ask("/a", "6.6.6.6, 9.9.9.9, 10.0.0.7")
        .await
        .expect_status(200);
    assert_eq!(answer.echoed_headers("x-real-ip"), ["9.9.9.9"]);
    assert_eq!(
        answer.echoed_headers("x-forwarded-for"),
        ["6.6.6.6, 9.9.9.9, 10.0.0.7, 9.9.9.9"]
    );
    ask("/a", "9.9.9.9, 6.6.6.6").await.expect_status(403);
    // Whom the plugin does not trust, it does not believe.
    let answer = ask("/b", "6.6.6.6").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-real-ip"), ["127.0.0.1"]);
    wait_until("the client is in the access log", PATIENCE, || {
        gateway
            .log()
            .lines()
            .any(|line| line.starts_with("9.9.9.9 ") && line.contains("GET /a"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uri_blocker_knows_a_path_in_every_spelling() {
    let rules = json!({ "uri-blocker": {
        "block_rules": ["^/admin/", "union\\s+select"], "rejected_code": 410, "rejected_msg": "gone",
    } });
    let (gateway, upstream) = world("/*", rules).await;
    for target in [
        "/admin/x",
        "/%61dmin/x",
        "//admin///x",
        "/./admin/x",
        "/x/../admin/x",
        "/x/%2e%2e/admin/x",
        "/%2e/admin%2fx",
        "/ok?q=union%20select",
        "/ok?q=UNION&q=union+%73elect",
    ] {
        let answer = gateway.get(target).await.expect_status(410);
        assert_eq!(answer.text(), "{\"error_msg\":\"gone\"}\n", "{target}");
    }
    let raw = gateway
        .raw("GET http://a.test/%61dmin/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .await;
    assert!(
        raw.starts_with(b"HTTP/1.1 410"),
        "{}",
        String::from_utf8_lossy(&raw)
    );
    assert_eq!(upstream.hits(), 0);
    for target in [
        "/administrator",
        "/x/admin",
        "/Admin/x",
        "/ok?q=unionselect",
    ] {
        gateway.get(target).await.expect_status(200);
    }
}

fn chunked(pieces: &[usize]) -> Vec<u8> {
    let mut body = Vec::new();
    for length in pieces {
        body.extend(format!("{length:x}\r\n{}\r\n", "x".repeat(*length)).bytes());
    }
    body.extend(b"0\r\n\r\n");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn client_control_takes_the_place_of_the_settings_limit() {
    let settings = "limits:\n  body_bytes: 100\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let upstream = Upstream::answering("ok").await;
    let route = |path: &str, plugins: Value| json!({ "uri": path, "plugins": plugins, "upstream": upstream.document() });
    let limited = |most: u64| json!({ "client-control": { "max_body_size": most } });
    gateway
        .put_all([
            ("/routes/1", route("/plain", json!({}))),
            ("/routes/2", route("/less", limited(10))),
            ("/routes/3", route("/more", limited(1000))),
            ("/routes/4", route("/any", limited(0))),
        ])
        .await;
    for (path, fits, is_too_much) in [
        ("/plain", 100, Some(101)),
        ("/less", 10, Some(11)),
        ("/more", 1000, Some(1001)),
        ("/any", 5000, None),
    ] {
        let said = |length: usize| gateway.request("POST", path).body(vec![b'x'; length]);
        let unsaid = |length: usize| {
            let request = gateway
                .request("POST", path)
                .header("Transfer-Encoding", "chunked");
            request.body(chunked(&[length / 2, length - length / 2]))
        };
        said(fits).await.expect_status(200);
        unsaid(fits).await.expect_status(200);
        if let Some(length) = is_too_much {
            said(length).await.expect_status(413);
            unsaid(length).await.expect_status(413);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csrf_asks_for_the_token_that_it_handed_out() {
    let (gateway, upstream) =
        world("/a", json!({ "csrf": { "key": "a-key-for-this-test" } })).await;
    upstream.answer(Answer::Reply(
        Reply::new(200, "ok").header("Set-Cookie", "own=1"),
    ));
    let page = gateway.get("/a").await.expect_status(200);
    let cookies = page.headers.all("set-cookie");
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    let token = cookies
        .iter()
        .find_map(|cookie| cookie.strip_prefix("apisix-csrf-token="))
        .and_then(|cookie| cookie.split(';').next())
        .expect("a token")
        .to_owned();
    let post = || gateway.request("POST", "/a").body("x");
    let refused = post().await.expect_status(401);
    assert_eq!(
        refused.text(),
        "{\"error_msg\":\"no csrf token in headers\"}\n"
    );
    let cookie = format!("apisix-csrf-token={token}");
    let hits = upstream.hits();
    post().header("Cookie", &cookie).await.expect_status(401);
    assert_eq!(upstream.hits(), hits);
    post()
        .header("Cookie", &cookie)
        .header("apisix-csrf-token", &token)
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn request_validation_sends_on_what_it_judged() {
    let schema = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer", "maximum": 9 } } });
    let plugins = json!({ "request-validation": { "body_schema": schema } });
    let (gateway, upstream) = world("/a", plugins).await;
    let post = |body: &str| {
        let request = gateway
            .request("POST", "/a")
            .header("Content-Type", "application/json");
        request.body(body)
    };
    let body = "{ \"n\" : 7, \"more\": [1, 2.50] }";
    post(body).await.expect_status(200);
    assert_eq!(upstream.last_request().body, body.as_bytes());
    let chunks = b"4\r\n{\"n\"\r\n4\r\n: 8}\r\n0\r\n\r\n".to_vec();
    let sent = gateway
        .request("POST", "/a")
        .header("Transfer-Encoding", "chunked")
        .body(chunks);
    sent.await.expect_status(200);
    assert_eq!(upstream.last_request().body, b"{\"n\": 8}");
    let refused = post("{\"n\":10}").await.expect_status(400);
    assert_eq!(
        refused.text(),
        "property \"n\" validation failed: expected 10 to be at most 9"
    );
    post("{\"n\":1,\"n\":99}").await.expect_status(400);
    post("").await.expect_status(400);
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn data_mask_hides_from_the_access_log_and_not_from_the_upstream() {
    let rule = |place: &str, name: &str| json!({ "type": place, "name": name, "action": "replace", "value": "hidden" });
    let rules = json!([
        rule("query", "token"),
        rule("header", "User-Agent"),
        { "type": "query", "name": "password", "action": "remove" },
    ]);
    let (gateway, upstream) = world("/a", json!({ "data-mask": { "request": rules } })).await;
    let target = "/a?password=s3cret&token=s3cret&%74oken=s3cret&seen=1";
    let asked = gateway.get(target).header("User-Agent", "agent-s3cret");
    let answer = asked.await.expect_status(200);
    assert_eq!(answer.json()["target"], target);
    assert_eq!(answer.echoed_headers("user-agent"), ["agent-s3cret"]);
    assert_eq!(upstream.hits(), 1);
    wait_until("the request is in the access log", PATIENCE, || {
        gateway.log().contains("seen=1")
    })
    .await;
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("seen=1")).unwrap();
    assert!(!line.contains("s3cret"), "{line}");
    assert!(
        line.contains("/a?token=hidden&%74oken=hidden&seen=1"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn data_mask_hides_from_loggers_and_not_from_the_upstream() {
    let server = Upstream::answering("").await;
    let rule = |place: &str, name: &str| json!({ "type": place, "name": name, "action": "replace", "value": "hidden" });
    let mut token = rule("body", "$.users[*].token");
    token["body_format"] = json!("json");
    let plugins = json!({
        "data-mask": { "request": [rule("query", "q"), rule("header", "X-Key"), token] },
        "http-logger": {
            "uri": format!("http://{}/", server.addr()), "batch_max_size": 1, "include_req_body": true,
        },
    });
    let (gateway, upstream) = world("/a", plugins).await;
    let body = json!({ "users": [{ "token": "s3cret", "name": "jack" }] });
    let post = || {
        gateway
            .request("POST", "/a?q=s3cret")
            .header("X-Key", "s3cret")
    };
    post().json(&body).await.expect_status(200);
    assert_eq!(upstream.last_request().body, body.to_string().as_bytes());
    wait_until("the entry came", PATIENCE, || server.hits() == 1).await;
    let sent = String::from_utf8(server.last_request().body).unwrap();
    assert!(!sent.contains("s3cret"), "{sent}");
    assert!(sent.contains("jack") && sent.contains("hidden"), "{sent}");
    // What cannot be read as JSON is not logged.
    post().body("s3cret").await.expect_status(200);
    wait_until("the entry came", PATIENCE, || server.hits() == 2).await;
    let sent = String::from_utf8(server.last_request().body).unwrap();
    assert!(!sent.contains("s3cret"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workflow_does_one_thing_or_another() {
    let limit =
        json!({ "count": 1, "time_window": 600, "rejected_code": 429, "key": "remote_addr" });
    let plugins = json!({ "workflow": { "rules": [
        { "case": [["arg_who", "==", "evil"]], "actions": [["return", { "code": 403 }]] },
        { "case": [["arg_who", "==", "busy"]], "actions": [["limit-count", limit]] },
    ] } });
    let (gateway, upstream) = world("/a", plugins).await;
    let refused = gateway.get("/a?who=evil").await.expect_status(403);
    assert_eq!(refused.text(), "{\"error_msg\":\"rejected by workflow\"}\n");
    let counted = gateway.get("/a?who=busy").await.expect_status(200);
    assert_eq!(counted.header("x-ratelimit-remaining"), Some("0"));
    gateway.get("/a?who=busy").await.expect_status(429);
    gateway.get("/a?who=other").await.expect_status(200);
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn error_page_replaces_the_gateways_own_pages() {
    let gateway = Gateway::start().await;
    let (upstream, dead) = (Upstream::start().await, Port::reserve());
    upstream.answer(Answer::Reply(Reply::new(404, "of the upstream")));
    let metadata = json!({
        "enable": true,
        "error_404": { "body": "{\"nothing at\":\"$uri\"}", "content_type": "application/json" },
        "error_502": { "body": "<b>sorry</b>" },
    });
    gateway
        .put_all([
            (
                "/routes/1",
                json!({ "uri": "/a", "upstream": upstream.document() }),
            ),
            (
                "/routes/2",
                json!({ "uri": "/dead", "upstream": { "nodes": { dead.addr().to_string(): 1 } } }),
            ),
            (
                "/global_rules/1",
                json!({ "plugins": { "error-page": {} } }),
            ),
            ("/plugin_metadata/error-page", metadata),
        ])
        .await;
    let missing = gateway.get("/none%22").await.expect_status(404);
    assert_eq!(missing.text(), "{\"nothing at\":\"/none\\\"\"}");
    assert_eq!(missing.header("content-type"), Some("application/json"));
    let dead = gateway.get("/dead").await.expect_status(502);
    assert_eq!(
        (dead.text().as_str(), dead.header("content-type")),
        ("<b>sorry</b>", Some("text/html"))
    );
    let head = gateway.request("HEAD", "/dead").await.expect_status(502);
    assert!(head.body.is_empty());
    assert_eq!(
        gateway.get("/a").await.expect_status(404).text(),
        "of the upstream"
    );
    gateway.remove("/plugin_metadata/error-page").await;
    assert!(
        gateway
            .get("/none")
            .await
            .text()
            .contains("404 Route Not Found")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_transformer_changes_the_gateways_own_answers() {
    let gateway = Gateway::start().await;
    let (upstream, dead) = (Upstream::start().await, Port::reserve());
    upstream.answer(Answer::Reply(Reply::new(401, "of the upstream")));
    let rules = json!([
        { "status_in": [401], "status": 403, "remove_headers": ["WWW-Authenticate"],
          "body": { "code": "$status", "why": "$message" } },
        { "status_in": ["5xx"], "status": 503 },
    ]);
    let plugins = json!({ "exit-transformer": { "rules": rules } });
    let mut keyed = plugins.clone();
    keyed["key-auth"] = json!({});
    let nodes = json!({ "nodes": { dead.addr().to_string(): 1 } });
    gateway
        .put_all([
            (
                "/routes/1",
                json!({ "uri": "/keyed", "plugins": keyed, "upstream": upstream.document() }),
            ),
            (
                "/routes/2",
                json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() }),
            ),
            (
                "/routes/3",
                json!({ "uri": "/dead", "plugins": plugins, "upstream": nodes }),
            ),
        ])
        .await;
    let refused = gateway.get("/keyed").await.expect_status(403);
    assert_eq!(
        refused.json(),
        json!({ "code": 401, "why": "Missing API key in request" })
    );
    assert!(!refused.headers.has("www-authenticate"));
    assert_eq!(
        gateway.get("/a").await.expect_status(401).text(),
        "of the upstream"
    );
    let page: Response = gateway.get("/dead").await.expect_status(503);
    assert!(
        page.text().contains("<h1>503 Service Unavailable</h1>"),
        "{}",
        page.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn api_breaker_spares_an_upstream_that_fails() {
    let plugins = json!({ "api-breaker": {
        "break_response_code": 599, "break_response_body": "{}",
        "break_response_headers": [{ "key": "X-Broken", "value": "$uri" }],
        "unhealthy": { "http_statuses": [500, 502], "failures": 2 }, "healthy": { "successes": 1 },
    } });
    let (gateway, mut upstream) = world("/*", plugins).await;
    upstream.answer(Answer::status(500));
    // A failure is put down when the request is over, which the client may see a moment earlier.
    let breaks = async |path: &str| {
        for _ in 0..2 {
            let answer = gateway.get(path).await;
            assert!([500, 502].contains(&answer.status), "{}", answer.status);
        }
        eventually("it breaks", PATIENCE, async || {
            gateway.get(path).await.status == 599
        })
        .await;
    };
    breaks("/a?x").await;
    let hits = upstream.hits();
    let broken = gateway.get("/a").await.expect_status(599);
    assert_eq!(
        (broken.text().as_str(), broken.header("x-broken")),
        ("{}", Some("/a"))
    );
    assert_eq!(upstream.hits(), hits);
    gateway.get("/b").await.expect_status(500);
    upstream.answer(Answer::text("well"));
    eventually("it lets requests through again", PATIENCE, async || {
        gateway.get("/a").await.status == 200
    })
    .await;
    // A node that is not there is a failure too.
    upstream.stop().await;
    breaks("/c").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_admit_consumers_and_are_told_to_the_upstream() {
    let plugins = json!({
        "key-auth": {},
        "acl": { "allow_labels": { "team": ["blue", "red"] }, "deny_labels": { "state": ["left"] } },
        "attach-consumer-label": { "headers": { "X-Team": "$team", "X-None": "$none" } },
        "traffic-label": { "rules": [{ "match": [["consumer_name", "==", "jack"]], "actions": [{ "set_headers": { "X-Lane": "fast for $consumer_name" } }] }] },
    });
    let (gateway, _upstream) = world("/a", plugins).await;
    let consumer = |name: &str, labels: Value| json!({ "username": name, "labels": labels, "plugins": { "key-auth": { "key": name } } });
    gateway
        .put_all([
            (
                "/consumers/jack",
                consumer("jack", json!({ "team": "green,blue" })),
            ),
            (
                "/consumers/jill",
                consumer("jill", json!({ "team": "green" })),
            ),
            (
                "/consumers/john",
                consumer("john", json!({ "team": "red", "state": "left" })),
            ),
        ])
        .await;
    let ask = |name: &str| {
        let request = gateway
            .get("/a")
            .header("apikey", name)
            .header("X-None", "mine");
        request.header("X-Team", "mine").header("x-lane", "mine")
    };
    let answer = ask("jack").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-team"), ["green,blue"]);
    assert!(answer.echoed_headers("x-none").is_empty());
    assert_eq!(answer.echoed_headers("x-lane"), ["fast for jack"]);
    for name in ["jill", "john"] {
        let refused = ask(name).await.expect_status(403);
        assert_eq!(
            refused.text(),
            "{\"message\":\"The consumer is forbidden.\"}\n",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn echo_frames_what_it_adds() {
    let plugins =
        json!({ "echo": { "before_body": "<", "after_body": ">", "headers": { "X-Echo": "1" } } });
    let (gateway, upstream) = world("/a", plugins).await;
    upstream.answer(Answer::text("body"));
    let mut connection = gateway.connect().await;
    for _ in 0..2 {
        let request = crate::support::Request::new(upstream.addr(), "GET", "/a");
        let answer = connection.send(&request).await.unwrap().expect_status(200);
        assert_eq!(
            (answer.text().as_str(), answer.header("x-echo")),
            ("<body>", Some("1"))
        );
    }
    let chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n";
    upstream.answer(Answer::Raw(chunks.to_vec()));
    assert_eq!(gateway.get("/a").await.text(), "<body>");
    upstream.answer(Answer::text("body"));
    let head = gateway.request("HEAD", "/a").await.expect_status(200);
    assert!(head.body.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_agents_and_referers_admit_and_refuse() {
    let plugins = json!({
        "ua-restriction": { "denylist": ["(?i)badbot"], "bypass_missing": true },
        "referer-restriction": { "whitelist": ["*.good.test", "good.test"] },
        "proxy-control": { "request_buffering": false },
    });
    let (gateway, upstream) = world("/a", plugins).await;
    let ask = |agent: &str, referer: &str| {
        gateway
            .get("/a")
            .header("User-Agent", agent)
            .header("Referer", referer)
    };
    ask("nice", "https://www.good.test/x")
        .await
        .expect_status(200);
    let refused = ask("a BadBot/1", "https://good.test")
        .await
        .expect_status(403);
    assert_eq!(refused.text(), "{\"message\":\"Not allowed\"}\n");
    let refused = ask("nice", "https://good.test.evil/")
        .await
        .expect_status(403);
    assert_eq!(
        refused.text(),
        "{\"message\":\"Your referer host is not allowed\"}\n"
    );
    gateway.get("/a").await.expect_status(403);
    assert_eq!(upstream.hits(), 1);
}
