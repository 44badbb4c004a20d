use super::Cors;
use crate::testing::*;
use crossway_sdk::{
    definition::Definition,
    pingora_http::ResponseHeader,
    testing::{Bench, Scene},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn definition() -> Definition {
    Definition::of::<Cors>()
}

fn bench(metadata: Option<Value>) -> Bench {
    Bench {
        metadata,
        ..Bench::default()
    }
}

fn headers_of(head: &ResponseHeader) -> BTreeMap<String, String> {
    let text = |v: &http::HeaderValue| v.to_str().unwrap().to_owned();
    let keys = head.headers.keys();
    keys.map(|name| {
        let values = head.headers.get_all(name).into_iter().map(text);
        (name.to_string(), values.collect::<Vec<_>>().join(" | "))
    })
    .collect()
}

async fn filtered(bench: &Bench, config: Value, lines: &str) -> BTreeMap<String, String> {
    let plugin = bench.build(&definition(), config).unwrap();
    let mut scene = scene(get("/", lines)).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    headers_of(&head)
}

async fn allowed(config: Value, origin: &str) -> Option<String> {
    let lines = format!("Origin: {origin}\r\n");
    let mut headers = filtered(&bench(None), config, &lines).await;
    headers.remove("access-control-allow-origin")
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).into()
}

#[tokio::test]
async fn by_default_everything_is_open_and_nothing_varies() {
    let expected = pairs([
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "*"),
        ("access-control-allow-headers", "*"),
        ("access-control-max-age", "5"),
    ]);
    for lines in ["", "Origin: https://a.example\r\n"] {
        assert_eq!(filtered(&bench(None), json!({}), lines).await, expected);
    }
}

#[tokio::test]
async fn every_options_request_is_answered_before_anything_else() {
    let plugin = built(&definition(), json!({"allow_origins": "https://a.example"}));
    for lines in [
        "",
        "Origin: https://b.example\r\nAccess-Control-Request-Method: PUT\r\n",
    ] {
        let raw = format!("OPTIONS /x HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        assert_eq!(
            said(scene(raw).await.rewrite(&*plugin).await),
            (200, String::new())
        );
    }
}

#[tokio::test]
async fn only_the_listed_origins_may_read() {
    let config = json!({"allow_origins": "https://a.example,http://b.example:81"});
    for origin in ["https://a.example", "http://b.example:81"] {
        assert_eq!(
            allowed(config.clone(), origin).await.as_deref(),
            Some(origin)
        );
    }
    for origin in [
        "https://a.example.evil",
        "http://a.example",
        "https://A.example",
        "https://a.example,http://b.example:81",
        "null",
        "*",
    ] {
        assert_eq!(allowed(config.clone(), origin).await, None, "{origin}");
    }
    let without = filtered(&bench(None), config, "").await;
    assert_eq!(without, pairs([("vary", "Origin")]));
    assert_eq!(
        allowed(json!({"allow_origins": "null"}), "null")
            .await
            .as_deref(),
        Some("null")
    );
}

#[tokio::test]
async fn two_stars_echo_what_the_browser_says() {
    let config = json!({
        "allow_origins": "**", "allow_methods": "**", "allow_headers": "**",
        "expose_headers": "x-a,x-b", "max_age": -1, "allow_credential": true,
    });
    let lines = "Origin: https://a.example\r\nAccess-Control-Request-Headers: x-c\r\n";
    let mut expected = pairs([
        ("access-control-allow-origin", "https://a.example"),
        (
            "access-control-allow-methods",
            "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE",
        ),
        ("access-control-allow-headers", "x-c"),
        ("access-control-expose-headers", "x-a,x-b"),
        ("access-control-allow-credentials", "true"),
        ("access-control-max-age", "-1"),
        ("vary", "Origin"),
    ]);
    assert_eq!(
        filtered(&bench(None), config.clone(), lines).await,
        expected
    );
    expected.remove("access-control-allow-headers");
    expected.insert("access-control-allow-origin".to_owned(), "*".to_owned());
    assert_eq!(filtered(&bench(None), config, "").await, expected);
}

#[tokio::test]
async fn expressions_take_the_place_of_the_list() {
    let config = json!({
        "allow_origins": "https://other.example",
        "allow_origins_by_regex": [r"^https://[a-z]+\.example$", r"\.test$"],
    });
    for origin in ["https://a.example", "http://x.y.test"] {
        assert_eq!(
            allowed(config.clone(), origin).await.as_deref(),
            Some(origin)
        );
    }
    for origin in [
        "https://a.b.example",
        "http://x.test:80",
        "https://other.example.evil",
    ] {
        assert_eq!(allowed(config.clone(), origin).await, None, "{origin}");
    }
    // The response depends on the origin although `allow_origins` is `*`.
    let config = json!({"allow_origins_by_regex": [r"\.test$"]});
    assert_eq!(
        filtered(&bench(None), config, "").await,
        pairs([("vary", "Origin")])
    );
}

#[tokio::test]
async fn metadata_names_lists_of_origins() {
    let metadata = json!({"allow_origins": {
        "one": "https://a.example,https://b.example", "all": "*",
    }});
    let bench = bench(Some(metadata));
    let read = async |config: Value, origin: &str| {
        let lines = format!("Origin: {origin}\r\n");
        filtered(&bench, config, &lines)
            .await
            .remove("access-control-allow-origin")
    };
    let config = json!({"allow_origins_by_metadata": ["gone", "one"]});
    assert_eq!(
        read(config.clone(), "https://b.example").await.as_deref(),
        Some("https://b.example")
    );
    assert_eq!(read(config, "https://c.example").await, None);
    let beside = json!({
        "allow_origins": "https://c.example", "allow_origins_by_metadata": ["one"],
    });
    for origin in ["https://a.example", "https://c.example"] {
        assert_eq!(read(beside.clone(), origin).await.as_deref(), Some(origin));
    }
    let all = json!({"allow_origins_by_metadata": ["all"]});
    assert_eq!(
        read(all, "https://z.example").await.as_deref(),
        Some("https://z.example")
    );
    assert!(
        definition()
            .check_metadata(&json!({"allow_origins": {"x": "a.example"}}))
            .is_err()
    );
    assert!(
        definition()
            .check_metadata(&json!({"allow_origins": {"x": "http://a"}}))
            .is_ok()
    );
}

#[tokio::test]
async fn timings_have_lists_of_their_own() {
    let config = json!({"timing_allow_origins": "https://a.example"});
    let timing = async |config: Value, origin: &str| {
        let lines = format!("Origin: {origin}\r\n");
        filtered(&bench(None), config, &lines)
            .await
            .remove("timing-allow-origin")
    };
    assert_eq!(
        timing(config.clone(), "https://a.example").await.as_deref(),
        Some("https://a.example")
    );
    assert_eq!(timing(config, "https://b.example").await, None);
    let star = json!({"timing_allow_origins": "*"});
    assert_eq!(
        timing(star, "https://b.example").await.as_deref(),
        Some("*")
    );
    let regex = json!({"timing_allow_origins_by_regex": ["a"], "timing_allow_origins": "*"});
    assert_eq!(timing(regex, "https://b.test").await, None);
}

async fn over(config: Value, sent: &[(&'static str, &'static str)]) -> BTreeMap<String, String> {
    let plugin = built(&definition(), config);
    let mut scene: Scene = scene(get("/", "Origin: https://a.example\r\n")).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut head = ResponseHeader::build(200, None).unwrap();
    for (name, value) in sent {
        head.append_header(*name, *value).unwrap();
    }
    scene.header_filter(&*plugin, &mut head).unwrap();
    headers_of(&head)
}

#[tokio::test]
async fn headers_of_the_upstream_are_replaced_and_its_vary_is_kept() {
    let config = json!({"allow_origins": "https://a.example"});
    let sent = [("Access-Control-Allow-Origin", "*"), ("Vary", "Accept")];
    let got = over(config.clone(), &sent).await;
    assert_eq!(got["access-control-allow-origin"], "https://a.example");
    assert_eq!(got["vary"], "Accept | Origin");
    let got = over(config, &[("Vary", "accept, ORIGIN")]).await;
    assert_eq!(got["vary"], "accept, ORIGIN");
}

#[tokio::test]
async fn the_client_s_origin_counts_when_a_plugin_has_changed_the_header() {
    let plugin = built(&definition(), json!({"allow_origins": "https://a.example"}));
    let mut scene = scene(get("/", "Origin: https://a.example\r\n")).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let request = scene.session.req_header_mut();
    request
        .insert_header("Origin", "https://inside.example")
        .unwrap();
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert_eq!(
        head.headers["access-control-allow-origin"],
        "https://a.example"
    );
}

#[tokio::test]
async fn strange_origins_are_not_echoed_and_harm_nothing() {
    let plugin = built(&definition(), json!({"allow_origins": "**"}));
    let twice = b"Origin: https://a.example\r\nOrigin: https://b.example\r\n";
    let mut scene = scene(get("/", twice)).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert_eq!(head.headers["access-control-allow-origin"], "*");

    let plugin = built(&definition(), json!({"allow_origins": "https://a.example"}));
    let mut scene = crate::testing::scene(get("/", b"Origin: https://a.example\xff\r\n")).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert!(!head.headers.contains_key("access-control-allow-origin"));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    let message = "you can not set '*' for other option when 'allow_credential' is true";
    let closed = json!({
        "allow_credential": true, "allow_origins": "**", "allow_methods": "**",
        "allow_headers": "**", "expose_headers": "a",
    });
    built(&definition(), closed.clone());
    for option in [
        "allow_origins",
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "timing_allow_origins",
    ] {
        let mut open = closed.clone();
        open[option] = json!("*");
        assert_eq!(
            refused(open),
            ("/allow_credential".to_owned(), message.to_owned()),
            "{option}"
        );
    }
    for origins in ["a.example", "http://a, http://b", "*,http://a", ""] {
        assert_eq!(
            refused(json!({"allow_origins": origins})).0,
            "/allow_origins"
        );
    }
    let path = |config| refused(config).0;
    assert_eq!(
        path(json!({"allow_origins_by_regex": ["a", "("]})),
        "/allow_origins_by_regex/1"
    );
    assert_eq!(
        path(json!({"timing_allow_origins_by_regex": ["("]})),
        "/timing_allow_origins_by_regex/0"
    );
    assert_eq!(
        path(json!({"allow_origins_by_regex": []})),
        "/allow_origins_by_regex"
    );
    assert_eq!(path(json!({"allow_methods": "GET\n"})), "/allow_methods");
}
