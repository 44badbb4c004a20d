//! Which route answers: hosts before paths, exact before prefix, predicates, fallback, 404.

use serde_json::{Value, json};

use crate::support::{Gateway, Request, Upstream};

/// A gateway with one upstream per name, so that the answer's body says which route matched.
struct World {
    gateway: Gateway,
    upstreams: Vec<Upstream>,
}

impl World {
    /// Routes as `(id, match)`; the route's answer is its id.
    async fn with<const N: usize>(routes: [(&str, Value); N]) -> Self {
        let gateway = Gateway::start().await;
        let mut upstreams = Vec::new();
        for (id, mut route) in routes {
            let upstream = Upstream::answering(id).await;
            route["upstream"] = upstream.document();
            gateway
                .admin()
                .put(&format!("/routes/{id}"), &route)
                .await
                .expect_status(201);
            upstreams.push(upstream);
        }
        gateway.settle().await;
        Self { gateway, upstreams }
    }

    /// The id of the route that answers, or the status of a refusal.
    async fn who(&self, request: Request) -> String {
        let answer = request.await;
        if answer.status == 200 {
            answer.text()
        } else {
            answer.status.to_string()
        }
    }

    async fn path(&self, target: &str) -> String {
        self.who(self.gateway.get(target)).await
    }

    async fn host(&self, host: &str, target: &str) -> String {
        self.who(self.gateway.get(target).host(host)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_route_matches_is_404_to_the_byte() {
    let gateway = Gateway::start().await;
    let answer = gateway.get("/nothing").await.expect_status(404);
    assert_eq!(answer.text(), "{\"error_msg\":\"404 Route Not Found\"}\n");
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(
        answer
            .header("server")
            .unwrap_or("")
            .starts_with("Crossway/"),
        "{answer:?}"
    );
    assert_eq!(answer.headers.all("content-length").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_at_the_end_matches_what_follows_but_not_the_folder_itself() {
    let world = World::with([("below", json!({ "uri": "/foo/*" }))]).await;
    assert_eq!(world.path("/foo/").await, "below");
    assert_eq!(world.path("/foo/a/b?c=d").await, "below");
    assert_eq!(world.path("/foo").await, "404");
    assert_eq!(world.path("/foobar").await, "404");
    assert_eq!(
        world.path("/Foo/a").await,
        "404",
        "paths are case-sensitive"
    );

    let world = World::with([("prefix", json!({ "uri": "/foo*" }))]).await;
    assert_eq!(world.path("/foo").await, "prefix");
    assert_eq!(world.path("/foobar").await, "prefix");
    assert_eq!(world.path("/fo").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_beats_prefix_and_the_longer_prefix_beats_priority() {
    let world = World::with([
        ("exact", json!({ "uri": "/foo/bar" })),
        ("short", json!({ "uri": "/*", "priority": 100 })),
        ("long", json!({ "uri": "/foo/*" })),
    ])
    .await;
    assert_eq!(world.path("/foo/bar").await, "exact");
    assert_eq!(world.path("/foo/x").await, "long");
    assert_eq!(world.path("/other").await, "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn among_equal_paths_priority_decides() {
    let world = World::with([
        ("low", json!({ "uri": "/a", "priority": 1 })),
        ("high", json!({ "uri": "/a", "priority": 2 })),
        ("none", json!({ "uri": "/a" })),
    ])
    .await;
    assert_eq!(world.path("/a").await, "high");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_inside_a_path_matches_any_segments() {
    let world = World::with([("middle", json!({ "uri": "/a/*/b" }))]).await;
    assert_eq!(world.path("/a/x/b").await, "middle");
    assert_eq!(world.path("/a/x/y/b").await, "middle");
    assert_eq!(world.path("/a/x/c").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_decides_before_the_path() {
    let world = World::with([
        ("exact-host", json!({ "uri": "/*", "host": "api.foo.com" })),
        (
            "wild-host",
            json!({ "uri": "/v2/exact", "host": "*.foo.com" }),
        ),
        ("no-host", json!({ "uri": "/v2/exact" })),
    ])
    .await;
    assert_eq!(world.host("api.foo.com", "/v2/exact").await, "exact-host");
    assert_eq!(world.host("x.foo.com", "/v2/exact").await, "wild-host");
    assert_eq!(
        world.host("a.b.foo.com", "/v2/exact").await,
        "wild-host",
        "at any depth"
    );
    assert_eq!(
        world.host("foo.com", "/v2/exact").await,
        "no-host",
        "not the domain itself"
    );
    assert_eq!(world.host("other.org", "/v2/exact").await, "no-host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_matching_path_falls_back_to_a_broader_host() {
    let world = World::with([
        (
            "exact-host",
            json!({ "uri": "/one", "host": "api.foo.com" }),
        ),
        ("wild-host", json!({ "uri": "/two", "host": "*.foo.com" })),
        ("no-host", json!({ "uri": "/three" })),
    ])
    .await;
    assert_eq!(world.host("api.foo.com", "/one").await, "exact-host");
    assert_eq!(world.host("api.foo.com", "/two").await, "wild-host");
    assert_eq!(world.host("api.foo.com", "/three").await, "no-host");
    assert_eq!(world.host("api.foo.com", "/four").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_compared_without_case_and_port() {
    let world = World::with([("host", json!({ "uri": "/a", "host": "Api.Foo.com" }))]).await;
    assert_eq!(world.host("api.foo.com", "/a").await, "host");
    assert_eq!(world.host("API.FOO.COM:9080", "/a").await, "host");
    assert_eq!(world.host("other.com", "/a").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_a_condition_and_never_a_405() {
    let world = World::with([
        ("reads", json!({ "uri": "/a", "methods": ["GET", "HEAD"] })),
        ("writes", json!({ "uri": "/a", "methods": ["POST"] })),
        ("any", json!({ "uri": "/b" })),
    ])
    .await;
    let ask = |method: &str, path: &str| world.gateway.request(method, path);
    assert_eq!(world.who(ask("GET", "/a")).await, "reads");
    assert_eq!(world.who(ask("POST", "/a")).await, "writes");
    assert_eq!(world.who(ask("DELETE", "/a")).await, "404");
    assert_eq!(world.who(ask("REPORT", "/a")).await, "404");
    assert_eq!(world.who(ask("REPORT", "/b")).await, "any");
}

#[tokio::test(flavor = "multi_thread")]
async fn client_addresses_are_a_condition() {
    let world = World::with([
        (
            "elsewhere",
            json!({ "uri": "/a", "remote_addr": "10.0.0.0/8", "priority": 9 }),
        ),
        (
            "here",
            json!({ "uri": "/a", "remote_addrs": ["10.1.1.1", "127.0.0.0/8"] }),
        ),
    ])
    .await;
    assert_eq!(world.path("/a").await, "here");
}

#[tokio::test(flavor = "multi_thread")]
async fn vars_are_a_condition() {
    let world = World::with([
        ("json", json!({ "uri": "/a", "priority": 9, "vars": [["arg_f", "==", "json"]] })),
        ("regex", json!({ "uri": "/a", "priority": 8, "vars": [["http_x_user", "~~", "^j"]] })),
        ("not", json!({ "uri": "/a", "priority": 7, "vars": [["arg_n", "!", "in", ["1", "2"]], ["arg_n", "~=", null]] })),
        ("or", json!({ "uri": "/a", "priority": 6, "vars": ["OR", ["cookie_c", "==", "1"], ["arg_v", ">", 5]] })),
        ("rest", json!({ "uri": "/a" })),
    ])
    .await;
    assert_eq!(world.path("/a?f=json").await, "json");
    assert_eq!(world.path("/a?f=xml").await, "rest");
    assert_eq!(
        world
            .who(world.gateway.get("/a").header("X-User", "jack"))
            .await,
        "regex"
    );
    assert_eq!(world.path("/a?n=3").await, "not");
    assert_eq!(world.path("/a?n=2").await, "rest");
    assert_eq!(
        world
            .who(world.gateway.get("/a").header("Cookie", "b=2; c=1"))
            .await,
        "or"
    );
    assert_eq!(world.path("/a?v=6").await, "or");
    assert_eq!(world.path("/a?v=x").await, "rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_candidate_is_tried_when_a_condition_fails() {
    let world = World::with([
        ("exact", json!({ "uri": "/foo/a", "methods": ["PUT"] })),
        (
            "prefix",
            json!({ "uri": "/foo/*", "vars": [["arg_x", "==", "1"]] }),
        ),
        ("all", json!({ "uri": "/*" })),
    ])
    .await;
    assert_eq!(
        world.who(world.gateway.request("PUT", "/foo/a")).await,
        "exact"
    );
    assert_eq!(world.path("/foo/a?x=1").await, "prefix");
    assert_eq!(world.path("/foo/a").await, "all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_route_is_not_there() {
    let world = World::with([
        ("off", json!({ "uri": "/a", "status": 0, "priority": 9 })),
        ("on", json!({ "uri": "/a", "status": 1 })),
    ])
    .await;
    assert_eq!(world.path("/a").await, "on");
    world
        .gateway
        .patch("/routes/off", json!({ "status": 1 }))
        .await;
    assert_eq!(world.path("/a").await, "off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_without_hosts_has_those_of_its_service() {
    let world = World::with([("own", json!({ "uri": "/own", "host": "own.com" }))]).await;
    let gateway = &world.gateway;
    let upstream = Upstream::answering("service").await;
    gateway
        .put_all([
            (
                "/services/1",
                json!({ "hosts": ["Svc.com"], "upstream": upstream.document() }),
            ),
            (
                "/routes/inherits",
                json!({ "uri": "/a", "service_id": "1" }),
            ),
            (
                "/routes/own",
                json!({ "uri": "/own", "host": "own.com", "service_id": "1" }),
            ),
        ])
        .await;
    assert_eq!(world.host("svc.com", "/a").await, "service");
    assert_eq!(world.host("other.com", "/a").await, "404");
    assert_eq!(world.host("own.com", "/own").await, "service");
    assert_eq!(world.host("svc.com", "/own").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_uris_lead_to_one_route() {
    let world = World::with([("both", json!({ "uris": ["/a", "/b/*"] }))]).await;
    assert_eq!(world.path("/a").await, "both");
    assert_eq!(world.path("/b/c").await, "both");
    assert_eq!(world.path("/b").await, "404");
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_matched_normalised_and_forwarded_as_written() {
    let world = World::with([("a", json!({ "uri": "/a/b" }))]).await;
    for target in [
        "/a/b",
        "//a///b",
        "/a/./b",
        "/a/x/../b",
        "/%61/b",
        "/a/b?x=//y",
    ] {
        assert_eq!(world.path(target).await, "a", "{target}");
        assert_eq!(world.upstreams[0].last_request().target, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_insertion_does_not_change_what_matches() {
    let routes = [
        ("r1", json!({ "uri": "/a/*" })),
        (
            "r2",
            json!({ "uri": "/a/*", "methods": ["POST"], "priority": 1 }),
        ),
        ("r3", json!({ "uri": "/a/b" })),
        ("r4", json!({ "uri": "/*", "host": "h.com" })),
    ];
    let mut reversed = routes.clone();
    reversed.reverse();
    let (first, second) = (World::with(routes).await, World::with(reversed).await);
    for (method, host, target) in [
        ("GET", "x.com", "/a/b"),
        ("POST", "x.com", "/a/c"),
        ("GET", "x.com", "/a/c"),
        ("GET", "h.com", "/a/b"),
        ("GET", "x.com", "/z"),
    ] {
        let a = first
            .who(first.gateway.request(method, target).host(host))
            .await;
        let b = second
            .who(second.gateway.request(method, target).host(host))
            .await;
        assert_eq!(a, b, "{method} {host} {target}");
    }
}
