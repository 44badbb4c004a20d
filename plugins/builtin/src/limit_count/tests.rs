#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, form, get, passes, promised, refused, reply, request, text};
use crossway_sdk::{
    definition::{Definition, Instance},
    testing::{Bench, Scene},
};
use serde_json::json;
use std::cell::Cell;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_700_000_000_000_000) };
}

fn at(bench: &Bench, resource: &str, config: Value) -> Result<LimitCount, BuildError> {
    let cx = BuildCx::new(
        resource,
        "limit-count",
        bench.metadata.as_ref(),
        None,
        bench,
    );
    LimitCount::with_clock(serde_json::from_value(config).unwrap(), &cx, || NOW.get())
}

fn timed(config: Value) -> LimitCount {
    at(&Bench::default(), "routes/1", config).unwrap()
}

fn later(seconds: f64) {
    NOW.set(NOW.get() + (seconds * 1e6) as u64);
}

fn quota(scene: &Scene) -> [Option<String>; 3] {
    [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
    ]
    .map(|n| promised(scene, n))
}

fn told(limit: &str, remaining: &str, reset: &str) -> [Option<String>; 3] {
    [limit, remaining, reset].map(|text| Some(text.to_owned()))
}

#[tokio::test]
async fn the_count_passes_and_the_rest_gets_503_until_the_window_ends() {
    let plugin = timed(json!({"count": 2, "time_window": 60}));
    for (left, reset) in [("1", "60"), ("0", "50")] {
        let mut scene = get().await;
        assert!(passes(scene.access(&plugin).await));
        assert_eq!(quota(&scene), told("2", left, reset));
        later(10.0);
    }
    let mut scene = get().await;
    let answer = reply(scene.access(&plugin).await);
    assert_eq!(answer.status, 503);
    assert_eq!(text(&answer), None, "the gateway's page");
    assert_eq!(quota(&scene), told("2", "0", "40"));
    later(40.0);
    assert!(passes(get().await.access(&plugin).await));
}

#[tokio::test]
async fn the_rejection_is_as_configured() {
    let plugin = timed(json!({"count": 1, "time_window": 60, "rejected_code": 429,
        "rejected_msg": "too \"fast\"", "show_limit_quota_header": false}));
    assert!(passes(get().await.access(&plugin).await));
    let mut scene = get().await;
    let answer = reply(scene.access(&plugin).await);
    assert_eq!(answer.status, 429);
    assert_eq!(
        text(&answer).unwrap(),
        "{\"error_msg\":\"too \\\"fast\\\"\"}\n"
    );
    assert_eq!(quota(&scene), [None, None, None]);
}

#[tokio::test]
async fn a_sliding_window_tells_fractions_of_seconds() {
    let plugin = timed(json!({"count": 10, "time_window": 60, "window_type": "sliding"}));
    NOW.set(1_700_000_040_000_000 + 500_000);
    let mut scene = get().await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(quota(&scene), told("10", "9", "59.5"));
}

#[tokio::test]
async fn requests_are_counted_by_the_key() {
    let by = |key: &str, kind: &str| {
        timed(json!({"count": 1, "time_window": 60, "key": key, "key_type": kind}))
    };
    let of = |user: &str| format!("GET / HTTP/1.1\nHost: a\nX-User: {user}");
    for plugin in [
        by("http_x_user", "var"),
        by("$http_x_user/$http_x_none", "var_combination"),
    ] {
        assert!(passes(request(&of("ann")).await.access(&plugin).await));
        assert!(passes(request(&of("bob")).await.access(&plugin).await));
        assert_eq!(
            reply(request(&of("ann")).await.access(&plugin).await).status,
            503
        );
        // Without the header the client's address counts.
        assert!(passes(get().await.access(&plugin).await));
        assert_eq!(reply(get().await.access(&plugin).await).status, 503);
        let mut other = get().await;
        other.request.client = "198.51.100.7:1".parse().unwrap();
        assert!(passes(other.access(&plugin).await));
    }
    let everyone = by("all", "constant");
    assert!(passes(request(&of("ann")).await.access(&everyone).await));
    assert_eq!(
        reply(request(&of("bob")).await.access(&everyone).await).status,
        503
    );
}

#[tokio::test]
async fn a_key_in_the_body_is_read_from_it() {
    let plugin = timed(json!({"count": 1, "time_window": 60, "key": "post_arg_user"}));
    assert!(passes(form("user=ann").await.access(&plugin).await));
    assert!(passes(form("user=bob").await.access(&plugin).await));
    assert_eq!(
        reply(form("user=ann").await.access(&plugin).await).status,
        503
    );
}

#[tokio::test]
async fn the_first_rule_that_is_used_up_rejects() {
    let plugin = timed(json!({"rejected_code": 429, "rules": [
        {"count": 1, "time_window": 10, "key": "$http_x_user"},
        {"count": "${http_x_quota ?? 3}", "time_window": "60", "key": "$http_x_team", "header_prefix": "Team"},
    ]}));
    let ann = "GET / HTTP/1.1\nHost: a\nX-User: ann\nX-Team: red";
    let mut scene = request(ann).await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(promised(&scene, "x-1-ratelimit-limit").unwrap(), "1");
    assert_eq!(promised(&scene, "x-1-ratelimit-reset").unwrap(), "10");
    assert_eq!(promised(&scene, "x-team-ratelimit-limit").unwrap(), "3");
    assert_eq!(promised(&scene, "x-team-ratelimit-remaining").unwrap(), "2");
    let mut scene = request(ann).await;
    assert_eq!(reply(scene.access(&plugin).await).status, 429);
    assert_eq!(
        promised(&scene, "x-team-ratelimit-limit"),
        None,
        "the second rule was not asked"
    );

    let team = "GET / HTTP/1.1\nHost: a\nX-Team: red\nX-Quota: 2";
    let mut scene = request(team).await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(
        promised(&scene, "x-1-ratelimit-limit"),
        None,
        "the first rule does not apply"
    );
    assert_eq!(promised(&scene, "x-team-ratelimit-remaining").unwrap(), "0");
    assert_eq!(reply(request(team).await.access(&plugin).await).status, 429);
}

#[tokio::test]
async fn what_cannot_be_judged_fails_or_passes_by_choice() {
    for (degrade, rules) in [(false, true), (true, true), (false, false), (true, false)] {
        let plugin = timed(match rules {
            true => {
                json!({"allow_degradation": degrade, "rules": [{"count": 1, "time_window": 1, "key": "$http_x_user"}]})
            }
            false => {
                json!({"allow_degradation": degrade, "count": "$http_x_quota", "time_window": 1})
            }
        });
        for quota in ["", "\nX-Quota: 0", "\nX-Quota: -3", "\nX-Quota: many"] {
            let mut scene = request(&format!("GET / HTTP/1.1\nHost: a{quota}")).await;
            let flow = scene.access(&plugin).await;
            assert_eq!(flow.is_err(), !degrade, "{quota}");
        }
    }
}

#[tokio::test]
async fn the_metadata_names_the_headers() {
    let bench = Bench {
        metadata: Some(json!({"limit_header": "X-Quota", "reset_header": "Retry-After"})),
        ..Bench::default()
    };
    let plugin = at(&bench, "routes/1", json!({"count": 5, "time_window": 7})).unwrap();
    let mut scene = get().await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(promised(&scene, "x-quota").unwrap(), "5");
    assert_eq!(promised(&scene, "retry-after").unwrap(), "7");
    assert_eq!(promised(&scene, "x-ratelimit-remaining").unwrap(), "4");
    let bad = Bench {
        metadata: Some(json!({"limit_header": "a b"})),
        ..Bench::default()
    };
    let error = at(&bad, "routes/1", json!({"count": 5, "time_window": 7}))
        .err()
        .unwrap();
    assert!(error.message.contains("not a header name"), "{error}");
    assert!(
        Definition::of::<LimitCount>()
            .check_metadata(&json!({"limit_header": 1}))
            .is_err()
    );
}

#[tokio::test]
async fn counters_belong_to_the_place_and_the_configuration() {
    let bench = Bench::default();
    let one = json!({"count": 1, "time_window": 60});
    let first = at(&bench, "services/1", one.clone()).unwrap();
    assert!(passes(get().await.access(&first).await));
    // The same again, e.g. because the metadata changed: it goes on.
    let again = at(&bench, "services/1", one.clone()).unwrap();
    drop(first);
    assert_eq!(reply(get().await.access(&again).await).status, 503);
    let elsewhere = at(&bench, "routes/1", one).unwrap();
    assert!(passes(get().await.access(&elsewhere).await));
    let edited = at(&bench, "services/1", json!({"count": 1, "time_window": 61})).unwrap();
    assert!(passes(get().await.access(&edited).await));
}

#[tokio::test]
async fn a_group_shares_counters_and_must_be_configured_alike() {
    let bench = Bench::default();
    let conf = |count: u64| json!({"count": count, "time_window": 60, "group": "g"});
    let first = at(&bench, "routes/1", conf(1)).unwrap();
    let second = at(&bench, "routes/2", conf(1)).unwrap();
    assert!(passes(get().await.access(&first).await));
    assert_eq!(reply(get().await.access(&second).await).status, 503);
    let error = at(&bench, "routes/3", conf(2)).err().unwrap();
    assert_eq!(error.path, "/group");
    assert!(
        error.message.starts_with("group conf mismatched"),
        "{error}"
    );
    assert!(
        at(&bench, "routes/1", conf(2)).is_err(),
        "routes/2 still has the other"
    );
    drop(second);
    // The only member left may be edited.
    let edited = at(&bench, "routes/1", conf(2)).unwrap();
    drop(first);
    assert!(passes(get().await.access(&edited).await));
}

#[tokio::test]
async fn rate_limiting_info_tells_the_key_and_the_numbers() {
    let plugin = timed(json!({"count": 3, "time_window": 60, "key": "arg_k"}));
    let mut scene = request("GET /?k=%22%2C%0A%5C HTTP/1.1\nHost: a").await;
    assert!(passes(scene.access(&plugin).await));
    let info = scene.request.rate_limiting_info.as_ref().unwrap();
    let info: Value = serde_json::from_str(&info.to_json()).unwrap();
    assert_eq!(
        info,
        json!({"rate_limiting_key": "routes/1:\",\n\\", "rate_limiting_limit": 3,
        "rate_limiting_remaining": 2, "rate_limiting_reset": 60})
    );
}

#[tokio::test]
async fn exactly_the_count_passes_from_many_threads() {
    let plugin: Arc<dyn Instance> = built::<LimitCount>(json!({"count": 100, "time_window": 600}));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let plugin = plugin.clone();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                runtime.block_on(async {
                    let mut passed = 0;
                    for _ in 0..50 {
                        passed += usize::from(passes(get().await.access(&*plugin).await));
                    }
                    passed
                })
            })
        })
        .collect();
    let passed: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
    assert_eq!(passed, 100);
    assert_eq!(reply(get().await.access(&*plugin).await).status, 503);
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (json!({}), "expected count and time_window, or rules"),
        (
            json!({"count": 1}),
            "expected count and time_window, or rules",
        ),
        (
            json!({"count": 0, "time_window": 1}),
            "property \"count\" validation failed: expected 0 to be at least 1 (at /count)",
        ),
        (
            json!({"count": "many", "time_window": 1}),
            "expected an integer, or a text with a variable such as $http_x_quota (at /count)",
        ),
        (
            json!({"count": "$nothing", "time_window": 1}),
            "unknown variable `nothing` in the template (at /count)",
        ),
        (
            json!({"count": 1, "time_window": "0"}),
            "expected an integer, or a text with a variable such as $http_x_quota (at /time_window)",
        ),
        (
            json!({"count": 1, "time_window": 1, "rules": [{"count": 1, "time_window": 1, "key": "$uri"}]}),
            "count/time_window and rules cannot be specified at the same time (at /rules)",
        ),
        (
            json!({"group": "g", "rules": [{"count": 1, "time_window": 1, "key": "$uri"}]}),
            "group and rules cannot be specified at the same time (at /group)",
        ),
        (
            json!({"rules": [{"count": 1, "time_window": 1, "key": "$uri"}, {"count": 2, "time_window": 1, "key": "$uri"}]}),
            "duplicate key '$uri' in rules (at /rules/1/key)",
        ),
        (
            json!({"rules": [{"count": 1, "time_window": 1, "key": "all"}]}),
            "expected a text with at least one variable, such as $remote_addr (at /rules/0/key)",
        ),
        (
            json!({"rules": [{"count": 1, "time_window": 1, "key": "$uri", "header_prefix": "a b"}]}),
            "\"X-a b-RateLimit-Limit\" is not a header name (at /rules/0/header_prefix)",
        ),
        (
            json!({"rules": [{"count": 1, "key": "$uri"}]}),
            "property \"time_window\" is required",
        ),
        (
            json!({"count": 1, "time_window": 1, "key": "nothing"}),
            "unknown variable `nothing` (at /key)",
        ),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis", "redis_host": ""}),
            "string too short",
        ),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis-cluster"}),
            "policy redis-cluster needs redis_cluster_nodes",
        ),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis-sentinel"}),
            "policy redis-sentinel needs redis_sentinels",
        ),
        (
            json!({"count": 1, "time_window": 1, "sync_interval": 0.05}),
            "expected -1, or at least 0.1 (at /sync_interval)",
        ),
        (
            json!({"count": 1, "time_window": 1, "sync_interval": 1}),
            "sync_interval must be less than time_window (at /sync_interval)",
        ),
        (
            json!({"count": 1, "time_window": 1, "rejected_code": 199}),
            "expected 199 to be at least 200",
        ),
        (
            json!({"count": 1, "time_window": 1, "rejected_msg": ""}),
            "string too short",
        ),
        (json!({"count": 1, "time_window": 1, "counts": 1}), "counts"),
    ] {
        let said = refused::<LimitCount>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
