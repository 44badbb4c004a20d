use super::KeyAuth;
use crate::testing::*;
use crossway_sdk::{definition::Definition, expr::Template, testing::Consumers};
use proptest::prelude::*;
use serde_json::json;

fn definition() -> Definition {
    Definition::auth::<KeyAuth>()
}

fn jack() -> Consumers {
    Consumers::default()
        .with("jack", &definition(), json!({"key": "jack-key"}))
        .unwrap()
        .with("nobody", &definition(), json!(null))
        .unwrap()
}

async fn refusal(config: serde_json::Value, raw: Vec<u8>) -> (String, String) {
    let plugin = built(&definition(), config);
    let mut scene = scene_with(raw, jack()).await;
    let reply = reply(scene.rewrite(&*plugin).await);
    assert_eq!(reply.status, 401);
    assert!(scene.request.identity.is_none());
    let challenge = header(&reply, "www-authenticate").unwrap();
    (body(&reply), challenge.to_owned())
}

#[tokio::test]
async fn the_key_names_the_consumer() {
    let plugin = built(&definition(), json!({}));
    for (target, lines) in [
        ("/", "apikey: jack-key\r\n"),
        ("/?a=1&apikey=jack-key", ""),
        ("/?apikey=jack%2Dkey", ""),
        ("/?apikey=wrong", "ApiKey: jack-key\r\n"),
    ] {
        let mut scene = scene_with(get(target, lines), jack()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await), "{target} {lines}");
        assert_eq!(scene.request.consumer_name(), Some("jack"));
        // Nothing is hidden unless that is asked for.
        assert_eq!(crate::testing::target(&scene), target);
    }
}

#[tokio::test]
async fn names_of_header_and_argument_can_be_chosen() {
    let plugin = built(&definition(), json!({"header": "X-Key", "query": "k[]"}));
    for (target, lines) in [("/", "x-key: jack-key\r\n"), ("/?k%5B%5D=jack-key", "")] {
        let mut scene = scene_with(get(target, lines), jack()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
    }
    let mut scene = scene_with(get("/?apikey=jack-key", "apikey: jack-key\r\n"), jack()).await;
    assert_eq!(said(scene.rewrite(&*plugin).await).0, 401);
}

#[tokio::test]
async fn without_a_valid_key_there_is_a_challenge() {
    let missing = (
        "{\"message\":\"Missing API key in request\"}\n",
        "apikey realm=\"key\"",
    );
    let invalid = (
        "{\"message\":\"Invalid API key in request\"}\n",
        "apikey realm=\"key\"",
    );
    for (target, lines, expected) in [
        ("/", "", missing),
        ("/apikey=jack-key", "", missing),
        ("/", "apikey: jack-ke\r\n", invalid),
        ("/", "apikey: \r\n", invalid),
        ("/?apikey", "", invalid),
        ("/?apikey=", "", invalid),
        ("/?apikey=Jack-key", "", invalid),
        // A wrong header is not mended by a right argument.
        ("/?apikey=jack-key", "apikey: wrong\r\n", invalid),
    ] {
        let got = refusal(json!({}), get(target, lines)).await;
        assert_eq!(
            (got.0.as_str(), got.1.as_str()),
            expected,
            "{target} {lines}"
        );
    }
}

#[tokio::test]
async fn hostile_keys_are_invalid() {
    let long = format!("apikey: {}\r\n", "x".repeat(20_000));
    for (target, lines) in [
        ("/", &b"apikey: jack-key\r\napikey: jack-key\r\n"[..]),
        ("/", b"apikey: \xff\xfe\r\n"),
        ("/", long.as_bytes()),
        ("/?apikey=jack-key&apikey=jack-key", b""),
        ("/?apikey=%ff", b""),
        ("/?apikey=jack-key%00", b""),
    ] {
        let (body, _) = refusal(json!({}), get(target, lines)).await;
        assert_eq!(body, "{\"message\":\"Invalid API key in request\"}\n");
    }
}

#[tokio::test]
async fn a_realm_is_quoted() {
    let (_, challenge) = refusal(json!({"realm": r#"a "b" \"#}), get("/", "")).await;
    assert_eq!(challenge, r#"apikey realm="a \"b\" \\""#);
}

#[tokio::test]
async fn a_hidden_key_stays_from_the_upstream() {
    let plugin = built(&definition(), json!({"hide_credentials": true}));
    let mut by_header = scene_with(get("/?a=1", "apikey: jack-key\r\n"), jack()).await;
    assert!(goes_on(by_header.rewrite(&*plugin).await));
    assert_eq!(sent_up(&by_header, "apikey"), None);
    assert_eq!(target(&by_header), "/?a=1");

    let mut by_query = scene_with(get("/%41?a=%41&apikey=jack-key&b", ""), jack()).await;
    assert!(goes_on(by_query.rewrite(&*plugin).await));
    assert_eq!(target(&by_query), "/%41?a=%41&b");
}

#[tokio::test]
async fn a_hidden_key_shows_in_no_variable() {
    let plugin = built(&definition(), json!({"hide_credentials": true}));
    let mut scene = scene_with(get("/?a=1&apikey=jack-key&b", ""), jack()).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let template = "$request $request_uri $real_request_uri $args $query_string <$arg_apikey>";
    let mut text = Vec::new();
    Template::parse(template)
        .unwrap()
        .render(&scene.exchange(), &mut text);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        "GET /?a=1&b HTTP/1.1 /?a=1&b /?a=1&b a=1&b a=1&b <>"
    );
}

#[tokio::test]
async fn what_was_rewritten_before_is_kept_when_the_key_is_hidden() {
    let plugin = built(&definition(), json!({"hide_credentials": true}));
    let mut scene = scene_with(get("/?apikey=jack-key", ""), jack()).await;
    scene.request.rewritten.target = Some("/new?apikey=jack-key&x=1".into());
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(target(&scene), "/new?x=1");
}

#[tokio::test]
async fn the_anonymous_consumer_stands_in() {
    let config = json!({"anonymous_consumer": "nobody", "hide_credentials": true});
    let plugin = built(&definition(), config);
    for lines in ["", "apikey: wrong\r\n", "apikey: a\r\napikey: b\r\n"] {
        let mut scene = scene_with(get("/", lines), jack()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
        assert_eq!(scene.request.consumer_name(), Some("nobody"));
        assert_eq!(sent_up(&scene, "apikey"), None);
    }
    let (body, _) = refusal(json!({"anonymous_consumer": "gone"}), get("/", "")).await;
    assert_eq!(body, "{\"message\":\"Invalid user authorization\"}\n");
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({"header": "a b"})).0, "/header");
    assert_eq!(refused(json!({"realm": "a\nb"})).0, "/realm");
    assert_eq!(
        refused(json!({"anonymous_consumer": ""})).0,
        "/anonymous_consumer"
    );
    assert_eq!(
        refused(json!({"hide": true})).1,
        "additional properties forbidden, found hide"
    );
    let credential = |c| definition().credential(&c).err().unwrap().message;
    assert_eq!(credential(json!({})), "property \"key\" is required");
    assert!(credential(json!({"key": ""})).contains("string too short"));
}

#[test]
fn a_key_belongs_to_one_consumer_and_is_not_named() {
    let error = jack().with("jill", &definition(), json!({"key": "jack-key"}));
    let message = error.err().unwrap().to_string();
    assert!(
        message.contains("jack") && !message.contains("jack-key"),
        "{message}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_but_the_key_passes(value in "[ -~\u{80}-\u{ff}]{0,20}") {
        prop_assume!(value.trim() != "jack-key");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let raw = get("/", format!("apikey: {value}\r\n"));
        let status = runtime.block_on(async {
            let plugin = built(&definition(), json!({}));
            said(scene_with(raw, jack()).await.rewrite(&*plugin).await).0
        });
        prop_assert_eq!(status, 401);
    }
}
