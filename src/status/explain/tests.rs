//! Explanations of requests against small configurations.

use super::super::fixture;
use super::*;
use http::{HeaderValue, Method};
use serde_json::{Value, json};

fn node() -> Value {
    json!({"nodes": {"127.0.0.1:1980": 1}})
}

fn ask(documents: &[(&str, Value)], host: &str, uri: &str) -> Explanation {
    explain(&fixture::with(documents), &Question::new(host, uri))
}

fn fates(explanation: &Explanation) -> Vec<(&str, Fate)> {
    let candidates = explanation.candidates.iter();
    candidates.map(|c| (c.route.as_str(), c.fate)).collect()
}

fn status(explanation: &Explanation) -> (u16, &str) {
    match &explanation.answer {
        Answer::Status { status, why } => (*status, why),
        other => panic!("{other:?}"),
    }
}

fn names(plugins: &[PluginReport]) -> Vec<(&str, &str, &str)> {
    let plugins = plugins.iter();
    plugins
        .map(|p| (p.name.as_str(), p.level.as_str(), p.origin.as_str()))
        .collect()
}

#[tokio::test]
async fn an_exact_host_beats_a_wildcard() {
    let explanation = ask(
        &[
            (
                "routes/any",
                json!({"uri": "/*", "host": "*.example", "upstream": node(), "priority": 9}),
            ),
            (
                "routes/own",
                json!({"uri": "/*", "host": "a.example", "upstream": node(), "name": "mine"}),
            ),
        ],
        "A.example:8080",
        "/x//y/../z?q=1",
    );
    assert_eq!(
        fates(&explanation),
        [("own", Fate::Won), ("any", Fate::Shadowed)]
    );
    assert_eq!(explanation.revision, 7);
    assert_eq!(explanation.request.host, "a.example");
    assert_eq!(explanation.request.path.as_deref(), Some("/x/z"));
    let route = explanation.route.unwrap();
    assert_eq!(
        (route.id.as_str(), route.name.as_deref()),
        ("own", Some("mine"))
    );
    assert_eq!(
        (route.host.as_deref(), route.path.as_str()),
        (Some("a.example"), "/*")
    );
    assert!(matches!(explanation.answer, Answer::Forwarded { .. }));
    let upstream = explanation.upstream.unwrap();
    assert_eq!(upstream.key, "routes/own#upstream");
    assert_eq!(upstream.named_by, "routes/own");
    let node = &upstream.nodes[0];
    assert_eq!((node.host.as_str(), node.port), ("127.0.0.1", 1980));
    assert_eq!(node.addresses.len(), 1);
    assert_eq!(node.health, None);
}

#[tokio::test]
async fn each_candidate_that_loses_says_why() {
    let documents = [
        (
            "routes/1",
            json!({"uri": "/a/b", "methods": ["POST"], "upstream": node()}),
        ),
        (
            "routes/2",
            json!({"uri": "/a/*", "remote_addr": "10.0.0.0/8", "priority": 3, "upstream": node()}),
        ),
        (
            "routes/3",
            json!({"uri": "/a/*", "vars": [["arg_k", "==", "v"]], "priority": 2, "upstream": node()}),
        ),
        (
            "routes/4",
            json!({"uri": "/a/*", "vars": [["server_port", "==", "80"]], "priority": 1, "upstream": node()}),
        ),
        ("routes/5", json!({"uri": "/*", "upstream": node()})),
    ];
    let explanation = ask(&documents, "a.example", "/a/b?k=w");
    let reasons: Vec<_> = explanation
        .candidates
        .iter()
        .map(|c| (c.route.as_str(), c.reason.as_deref()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("1", Some("method")),
            ("2", Some("remote_addr")),
            ("3", Some("vars")),
            ("4", Some("vars")),
            ("5", None),
        ]
    );
    let detail = explanation.candidates[2].detail.as_deref().unwrap();
    assert!(
        detail.contains("arg_k") && detail.contains("\"w\""),
        "{detail}"
    );
    assert_eq!(explanation.unknown, ["server_port"]);
    assert_eq!(explanation.route.unwrap().id, "5");
}

#[tokio::test]
async fn headers_cookies_and_the_address_of_the_question_count() {
    let state = fixture::with(&[(
        "routes/1",
        json!({"uri": "/", "upstream": node(), "remote_addr": "1.2.3.0/24", "vars": [
            ["http_x_a", "==", "b"], ["cookie_c", "==", "d"], ["scheme", "==", "https"],
            ["http_host", "==", "A.example:1"], ["request_uri", "==", "/?x"], ["consumer_name", "==", null],
        ]}),
    )]);
    let mut question = Question::new("A.example:1", "/?x");
    question.method = Method::POST;
    question.remote = [1, 2, 3, 4].into();
    question.tls = true;
    let headers = &mut question.headers;
    headers.insert("x-a", HeaderValue::from_static("b"));
    headers.insert("cookie", HeaderValue::from_static("c=d"));
    let explanation = explain(&state, &question);
    assert_eq!(fates(&explanation), [("1", Fate::Won)], "{explanation:?}");
    assert_eq!(explanation.unknown, Vec::<String>::new());
    question.headers.clear();
    let explanation = explain(&state, &question);
    assert_eq!(fates(&explanation), [("1", Fate::Lost)]);
    assert_eq!(status(&explanation).0, 404);
}

#[tokio::test]
async fn what_depends_on_the_body_is_left_open() {
    let explanation = ask(
        &[
            (
                "routes/1",
                json!({"uri": "/*", "vars": [["post_arg_a", "==", "b"]], "priority": 1, "upstream": node()}),
            ),
            ("routes/2", json!({"uri": "/*", "upstream": node()})),
        ],
        "a.example",
        "/",
    );
    assert_eq!(
        fates(&explanation),
        [("1", Fate::Open), ("2", Fate::Shadowed)]
    );
    assert!(matches!(&explanation.answer, Answer::Open { why } if why.contains("route 1")));
    assert_eq!(explanation.route, None);
}

#[tokio::test]
async fn a_route_that_is_switched_off_is_named_when_it_would_fit() {
    let off = |uri: &str| json!({"uri": uri, "status": 0, "upstream": node()});
    let explanation = ask(
        &[("routes/off", off("/x")), ("routes/other", off("/y"))],
        "a.example",
        "/x",
    );
    assert_eq!(
        status(&explanation),
        (404, "no route has this host and this path")
    );
    assert_eq!(explanation.disabled.len(), 1);
    assert_eq!(explanation.disabled[0].route, "off");
    assert_eq!(explanation.disabled[0].fate, Fate::Disabled);
}

#[tokio::test]
async fn a_request_that_is_refused_meets_no_route() {
    let routes = [("routes/1", json!({"uri": "/*", "upstream": node()}))];
    let explanation = ask(&routes, "a.example", "/a/%2e%2e/../b");
    assert_eq!(status(&explanation), (400, "the path leads above the root"));
    assert_eq!(explanation.request.path, None);
    assert_eq!(fates(&explanation), []);
    assert_eq!(status(&ask(&routes, "a b", "/")).0, 400);
    let mut question = Question::new("a.example", "/");
    question.method = Method::TRACE;
    assert_eq!(status(&explain(&fixture::with(&routes), &question)).0, 405);
}

#[tokio::test]
async fn plugins_are_merged_and_tell_where_they_come_from() {
    let documents = [
        (
            "services/s",
            json!({"upstream": node(), "plugins": {"tag": {"text": 1}, "late": {}}}),
        ),
        (
            "plugin_configs/p",
            json!({"plugins": {"tag": {"text": 2, "_meta": {"priority": 1}}}}),
        ),
        (
            "routes/1",
            json!({"uri": "/", "service_id": "s", "plugin_config_id": "p", "plugins": {
                "door": {"_meta": {"filter": [["arg_a", "==", "b"]]}},
            }}),
        ),
        (
            "global_rules/g",
            json!({"plugins": {"tag": {"text": 3}, "late": {"_meta": {"disable": true}}}}),
        ),
    ];
    let explanation = ask(&documents, "a.example", "/");
    assert_eq!(
        names(&explanation.plugins),
        [
            ("door", "route", "routes/1"),
            ("late", "service", "services/s"),
            ("tag", "plugin_config", "plugin_configs/p"),
        ]
    );
    let [door, late, tag] = &explanation.plugins[..] else {
        panic!()
    };
    assert_eq!((door.priority, late.priority, tag.priority), (20, 5, 1));
    assert_eq!(tag.phases, ["rewrite", "log"]);
    assert_eq!(tag.notes, ["its own priority is 10"]);
    assert_eq!(door.filter.as_ref().unwrap().runs, Some(false));
    assert_eq!(
        names(&explanation.global_plugins),
        [("tag", "global_rule", "global_rules/g")]
    );
    let left_out: Vec<_> = explanation
        .left_out
        .iter()
        .map(|l| (l.name.as_str(), l.origin.as_str(), l.why.as_str()))
        .collect();
    assert_eq!(
        left_out,
        [
            ("late", "global_rules/g", "_meta.disable switches it off"),
            (
                "tag",
                "services/s",
                "plugin_configs/p configures it, too, and goes first"
            ),
        ]
    );
    assert_eq!(explanation.upstream.unwrap().named_by, "services/s");
    assert!(explanation.notes[0].starts_with("door authenticates"));
}

#[tokio::test]
async fn a_plugin_in_two_global_rules_counts_in_neither() {
    let rule = json!({"plugins": {"tag": {"text": 3}}});
    let explanation = ask(
        &[("global_rules/1", rule.clone()), ("global_rules/2", rule)],
        "a.example",
        "/",
    );
    assert_eq!(explanation.global_plugins, []);
    assert_eq!(explanation.left_out.len(), 2);
    assert!(explanation.left_out[0].why.contains("2 global rules"));
}

#[tokio::test]
async fn a_global_plugin_that_gives_way_to_the_routes_says_so() {
    let explanation = ask(
        &[
            ("global_rules/1", json!({"plugins": {"late": {}}})),
            (
                "routes/1",
                json!({"uri": "/", "upstream": node(), "plugins": {"late": {}}}),
            ),
            ("routes/2", json!({"uri": "/2", "upstream": node()})),
        ],
        "a.example",
        "/",
    );
    assert_eq!(names(&explanation.plugins), [("late", "route", "routes/1")]);
    let global = &explanation.global_plugins[..];
    assert_eq!(names(global), [("late", "global_rule", "global_rules/1")]);
    assert_eq!(
        global[0].notes,
        ["it leaves logging to the route's own copy"]
    );
}

#[tokio::test]
async fn a_consumer_brings_plugins_along() {
    let state = fixture::with(&[
        (
            "consumer_groups/g",
            json!({"plugins": {"late": {}, "tag": {"text": 4}}}),
        ),
        (
            "consumers/jack",
            json!({"username": "jack", "group_id": "g", "plugins": {
                "door": {"key": "k"}, "late": {"_meta": {"disable": true}},
            }}),
        ),
        (
            "routes/1",
            json!({"uri": "/", "upstream": node(), "plugins": {"door": {}, "tag": {"text": 1}}}),
        ),
        ("routes/2", json!({"uri": "/open", "upstream": node()})),
    ]);
    let mut question = Question::new("a.example", "/");
    question.consumer = Some("jack".into());
    let explanation = explain(&state, &question);
    assert_eq!(
        names(&explanation.plugins),
        [
            ("door", "route", "routes/1"),
            ("tag", "consumer_group", "consumer_groups/g"),
        ]
    );
    let why = |name: &str, origin: &str| {
        let left = explanation.left_out.iter();
        let mut left = left.filter(|l| l.name == name && l.origin == origin);
        left.next().unwrap().why.as_str()
    };
    assert_eq!(
        why("late", "consumers/jack"),
        "_meta.disable switches it off"
    );
    assert!(why("late", "consumer_groups/g").contains("consumers/jack configures it"));
    assert!(why("tag", "routes/1").contains("before the consumer is known"));
    let consumer = explanation.consumer.unwrap();
    assert_eq!(
        (consumer.found, consumer.group.as_deref()),
        (true, Some("g"))
    );

    question.consumer = Some("nobody".into());
    let explanation = explain(&state, &question);
    assert_eq!(explanation.notes, ["there is no consumer \"nobody\""]);
    assert_eq!(explanation.plugins.len(), 2);

    question.consumer = Some("jack".into());
    question.uri = "/open".into();
    assert!(explain(&state, &question).notes[0].starts_with("no plugin authenticates"));
}

#[tokio::test]
async fn a_route_without_an_upstream_says_what_is_missing() {
    let mut state = fixture::with(&[
        ("upstreams/u", node()),
        ("services/s", json!({"upstream": node()})),
        (
            "routes/none",
            json!({"uri": "/none", "plugins": {"late": {}}}),
        ),
        ("routes/gone", json!({"uri": "/gone", "upstream_id": "u"})),
        ("routes/serve", json!({"uri": "/serve", "service_id": "s"})),
    ]);
    let gone = ["upstreams/u", "services/s"].map(|key| (key.parse().unwrap(), None));
    assert_eq!(state.apply(8, gone.to_vec()), []);
    let ask = |uri| explain(&state, &Question::new("a.example", uri));
    assert_eq!(status(&ask("/none")).0, 503);
    assert_eq!(
        status(&ask("/gone")),
        (502, "the upstream that is referred to does not exist")
    );
    assert_eq!(status(&ask("/serve")).0, 404);
    assert_eq!(ask("/gone").upstream, None);
}

#[tokio::test]
async fn nodes_that_cannot_be_used_are_noted() {
    let checks = |on: &str| {
        json!({"nodes": {"127.0.0.1:1980": 1, "127.0.0.2:1980": 1}, "checks": {
            "on_all_unhealthy": on,
            "active": {"healthy": {}, "unhealthy": {}},
            "passive": {"unhealthy": {"tcp_failures": 1}},
        }})
    };
    let state = fixture::with(&[
        (
            "routes/use",
            json!({"uri": "/use", "upstream": checks("use_all")}),
        ),
        (
            "routes/fail",
            json!({"uri": "/fail", "upstream": checks("fail")}),
        ),
        (
            "routes/name",
            json!({"uri": "/name", "upstream": {"nodes": {"a.invalid:80": 1}}}),
        ),
    ]);
    let ask = |uri| explain(&state, &Question::new("a.example", uri));
    let notes = |uri| ask(uri).upstream.unwrap().notes;
    let fail = |route: &str, node: usize| {
        let Target::Upstream(upstream) = &state.route(route).unwrap().target else {
            panic!()
        };
        upstream.nodes()[node].report_tcp_failure();
    };
    assert_eq!(notes("/use"), Vec::<String>::new());
    fail("use", 0);
    fail("fail", 0);
    assert_eq!(notes("/use"), ["1 of 2 nodes are unhealthy"]);
    assert!(matches!(ask("/fail").answer, Answer::Forwarded { .. }));
    fail("use", 1);
    fail("fail", 1);
    assert_eq!(notes("/use"), ["all nodes are unhealthy: all are used"]);
    assert!(matches!(ask("/use").answer, Answer::Forwarded { .. }));
    assert_eq!(status(&ask("/fail")).0, 503);
    let node = ask("/fail").upstream.unwrap().nodes.remove(0);
    assert_eq!(node.health.as_deref(), Some("unhealthy"));
    assert!(notes("/name")[0].starts_with("no node has an address"));
}
