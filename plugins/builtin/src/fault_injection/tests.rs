#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, form, get, header, passes, refused, reply, request, text};
use serde_json::json;
use std::time::Instant;

#[tokio::test]
async fn an_abort_answers_with_what_is_configured() {
    let plugin = built::<FaultInjection>(json!({"abort": {"http_status": 418,
        "body": "no coffee for $remote_addr at ${uri}\n",
        "headers": {"X-Who": "$http_x_user", "X-N": 3, "X-None": "$http_x_none"}}}));
    let mut scene = request("GET /pot HTTP/1.1\nHost: a\nX-User: ann").await;
    let answer = reply(scene.rewrite(&*plugin).await);
    assert_eq!(answer.status, 418);
    assert_eq!(text(&answer).unwrap(), "no coffee for 192.0.2.1 at /pot\n");
    assert_eq!(header(&answer, "x-who").unwrap(), "ann");
    assert_eq!(header(&answer, "x-n").unwrap(), "3");
    assert_eq!(header(&answer, "x-none"), None);
    for (config, body) in [
        (json!({"abort": {"http_status": 500}}), None),
        (json!({"abort": {"http_status": 200, "body": ""}}), Some("")),
        (
            json!({"abort": {"http_status": 200, "body": "plain"}}),
            Some("plain"),
        ),
    ] {
        let answer = reply(get().await.rewrite(&*built::<FaultInjection>(config)).await);
        assert_eq!(text(&answer).as_deref(), body);
    }
}

#[tokio::test]
async fn no_value_begins_another_header() {
    let plugin = built::<FaultInjection>(
        json!({"abort": {"http_status": 200, "headers": {"X-A": "$arg_a"}}}),
    );
    let answer = reply(
        request("GET /?a=1%0d%0aEvil:2 HTTP/1.1\nHost: a")
            .await
            .rewrite(&*plugin)
            .await,
    );
    assert_eq!(header(&answer, "x-a").unwrap(), "1%0D%0AEvil:2");
}

#[tokio::test]
async fn nought_and_a_hundred_percent_are_exact_and_half_is_about_half() {
    for (percentage, low, high) in [(0, 0, 0), (100, 400, 400), (50, 120, 280)] {
        let plugin = built::<FaultInjection>(
            json!({"abort": {"http_status": 503, "percentage": percentage}}),
        );
        let mut hits = 0;
        let mut scene = get().await;
        for _ in 0..400 {
            hits += u32::from(!matches!(
                scene.rewrite(&*plugin).await.unwrap(),
                Flow::Next
            ));
        }
        assert!(
            (low..=high).contains(&hits),
            "{percentage} %: {hits} of 400"
        );
    }
}

#[tokio::test]
async fn any_of_the_expressions_has_to_hold() {
    let plugin = built::<FaultInjection>(json!({"abort": {"http_status": 403, "vars": [
        [["arg_a", "==", "1"], ["arg_b", "==", "2"]],
        [["http_x_user", "==", "eve"]],
    ]}}));
    for (head, hit) in [
        ("GET /?a=1&b=2 HTTP/1.1\nHost: a", true),
        ("GET /?a=1 HTTP/1.1\nHost: a", false),
        ("GET / HTTP/1.1\nHost: a\nX-User: eve", true),
    ] {
        let flow = request(head).await.rewrite(&*plugin).await.unwrap();
        assert_eq!(matches!(flow, Flow::Respond(_)), hit, "{head}");
    }
}

#[tokio::test]
async fn a_delay_waits_and_comes_before_the_abort() {
    let plugin = built::<FaultInjection>(
        json!({"delay": {"duration": 0.03}, "abort": {"http_status": 502}}),
    );
    let began = Instant::now();
    assert_eq!(reply(get().await.rewrite(&*plugin).await).status, 502);
    assert!(began.elapsed() >= Duration::from_millis(30));
    let never = built::<FaultInjection>(json!({"delay": {"duration": 3600, "percentage": 0}}));
    assert!(passes(get().await.rewrite(&*never).await));
    let nought = built::<FaultInjection>(json!({"delay": {"duration": 0}}));
    let mut scene = get().await;
    assert!(matches!(
        nought.rewrite(&mut scene.exchange()),
        Step::Done(Ok(Flow::Next))
    ));
    let others = built::<FaultInjection>(
        json!({"delay": {"duration": 3600, "vars": [[["arg_a", "==", "1"]]]}}),
    );
    assert!(passes(get().await.rewrite(&*others).await));
}

#[tokio::test]
async fn conditions_on_the_body_read_it() {
    let plugin = built::<FaultInjection>(
        json!({"abort": {"http_status": 403, "body": "$post_arg_user", "vars": [[["post_arg_user", "==", "eve"]]]}}),
    );
    assert!(passes(form("user=ann").await.rewrite(&*plugin).await));
    assert_eq!(
        text(&reply(form("user=eve").await.rewrite(&*plugin).await)).unwrap(),
        "eve"
    );
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (json!({}), "expect object to have at least 1 properties"),
        (json!({"abort": {}}), "property \"http_status\" is required"),
        (
            json!({"abort": {"http_status": 100}}),
            "expected 100 to be at least 200",
        ),
        (
            json!({"abort": {"http_status": 200, "percentage": 101}}),
            "expected 101 to be at most 100",
        ),
        (
            json!({"abort": {"http_status": 200, "percentage": -1}}),
            "expected -1 to be at least 0",
        ),
        (
            json!({"abort": {"http_status": 200, "body": "$nothing"}}),
            "unknown variable `nothing` in the template (at /abort/body)",
        ),
        (
            json!({"abort": {"http_status": 200, "headers": {"a b": "c"}}}),
            "invalid field character in header \"a b\" (at /abort/headers/a b)",
        ),
        (
            json!({"abort": {"http_status": 200, "vars": [[["nothing", "==", 1]]]}}),
            "(at /abort/vars/0)",
        ),
        (json!({"delay": {}}), "property \"duration\" is required"),
        (
            json!({"delay": {"duration": -1}}),
            "expected -1 to be at least 0",
        ),
        (
            json!({"delay": {"duration": 1e300}}),
            "(at /delay/duration)",
        ),
        (
            json!({"delay": {"duration": 1, "chance": 1}}),
            "additional properties forbidden, found chance",
        ),
    ] {
        let said = refused::<FaultInjection>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
