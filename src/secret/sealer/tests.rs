//! Which fields are sealed, opened, shown and said.

use super::*;
use serde_json::json;

fn sealer() -> Sealer {
    Sealer {
        keyring: Keyring::new(["edd1c9f0985e76a2"]).ok(),
        passing: None,
        plugins: plugins(),
    }
}

/// As if nobody had set a key.
fn keyless() -> Sealer {
    Sealer {
        keyring: None,
        passing: Keyring::passing().ok(),
        plugins: plugins(),
    }
}

fn plugins() -> BTreeMap<&'static str, Fields> {
    let fields = |secret: &[&'static str], nested| Fields {
        secret: secret.to_vec(),
        nested,
    };
    [
        ("door", fields(&["key"], &[])),
        ("post", fields(&["headers", "to.password"], &[])),
        ("any", fields(&[], &["of"])),
        ("flow", fields(&[], &["rules.actions"])),
    ]
    .into()
}

fn key(text: &str) -> ResourceKey {
    text.parse().unwrap()
}

#[test]
fn secret_fields_are_sealed_and_opened_and_others_left_alone() {
    let route = json!({
        "uri": "/", "upstream": {"tls": {"client_cert": "C", "client_key": "hush"}},
        "plugins": {
            "door": {"key": "$env://KEY", "other": "plain"},
            "post": {"headers": {"a": "hush"}, "to": [{"password": "hush", "user": "me"}]}
        }
    });
    let mut sealed = route.clone();
    assert!(sealer().seal(&key("routes/1"), &mut sealed));
    let text = sealed.to_string();
    assert!(!text.contains("hush"), "{text}");
    for plain in ["plain", "$env://KEY", "\"me\"", "\"C\""] {
        assert!(text.contains(plain), "{text}");
    }
    let again = sealed.clone();
    sealer().seal(&key("routes/1"), &mut sealed);
    assert_eq!(sealed, again);
    let place = sealed_place(text.as_bytes(), &sealed);
    assert_eq!(place.as_deref(), Some("/plugins/post/headers/a"));
    assert_eq!(
        sealer().opened(&key("routes/1"), text.as_bytes()),
        Some(route)
    );
}

#[test]
fn every_kind_has_its_secrets() {
    for (at, document) in [
        (
            "ssls/1",
            json!({"cert": "c", "key": "hush", "keys": ["hush"]}),
        ),
        ("secrets/vault/1", json!({"uri": "u", "token": "hush"})),
        ("upstreams/1", json!({"tls": {"client_key": "hush"}})),
        (
            "consumers/jack",
            json!({"plugins": {"door": {"key": "hush"}}}),
        ),
        ("plugin_metadata/post", json!({"to": {"password": "hush"}})),
    ] {
        let mut sealed = document.clone();
        sealer().seal(&key(at), &mut sealed);
        assert!(!sealed.to_string().contains("hush"), "{at}");
        let mut hidden = document;
        sealer().hide(&key(at), &mut hidden);
        assert!(hidden.to_string().contains(HIDDEN), "{at}");
    }
}

#[test]
fn secrets_of_plugins_inside_of_plugins_are_sealed() {
    let document = json!({"plugins": {
        "any": {"of": [{"door": {"key": "hush"}}, {"flow": {"rules": [
            {"actions": [["return", {"code": 403}], ["door", {"key": "hush", "other": "plain"}]]}
        ]}}]}
    }});
    let mut sealed = document.clone();
    assert!(sealer().seal(&key("routes/1"), &mut sealed));
    let text = sealed.to_string();
    assert!(!text.contains("hush") && text.contains("plain"), "{text}");
    let opened = sealer().opened(&key("routes/1"), text.as_bytes());
    assert_eq!(opened, Some(document));
}

#[test]
fn without_keys_nothing_is_sealed_and_what_is_shown_is() {
    let (sealer, at) = (keyless(), key("consumers/jack"));
    let document = json!({"plugins": {"door": {"key": "hush"}}});
    let mut stored = document.clone();
    assert!(sealer.seal(&at, &mut stored));
    assert_eq!(stored, document);

    let veiled = |sealer: &Sealer, at: &ResourceKey| {
        let mut shown = document.clone();
        sealer.veil(at, &mut shown);
        assert!(!shown.to_string().contains("hush"), "{shown}");
        shown
    };
    let shown = veiled(&sealer, &at);
    assert_eq!(veiled(&sealer, &at), shown);
    assert_ne!(veiled(&sealer, &key("consumers/jill")), shown);
    let mut back = shown.clone();
    sealer.open(&at, &mut back);
    assert_eq!(back, document);
    // Another process cannot open it, and says so.
    let mut back = shown;
    keyless().open(&at, &mut back);
    assert!(sealed_place(back.to_string().as_bytes(), &back).is_some());
    let blank = veiled(
        &Sealer {
            passing: None,
            ..keyless()
        },
        &at,
    );
    assert_eq!(blank["plugins"]["door"]["key"], HIDDEN);
}

#[test]
fn what_repeats_a_secret_is_not_said() {
    let long = format!("hunter2\n{}", "x".repeat(100));
    let said = |secret: Value, message: String| {
        let document = json!({"plugins": {"door": {"key": secret}}});
        let said = sealer().hushed((Kind::Consumer, "jack"), &document, "/p", message.clone());
        said == message
    };
    for (secret, message) in [
        (json!("hunter2"), "not hunter2".to_owned()),
        (json!(&long), format!("not {:?}", long.get(..20).unwrap())),
        (json!(&long), format!("not {}", json!(long))),
        (json!([{"a": "hunter2"}]), "not hunter2".to_owned()),
        (json!(1_234_567), "not 1234567".to_owned()),
        (json!("ab"), "not \"ab\"".to_owned()),
    ] {
        assert!(!said(secret, message.clone()), "{message}");
    }
    for (secret, message) in [
        (json!("ab"), "not able".to_owned()),
        (json!(""), "not this".to_owned()),
        (
            json!("$env://HUSH"),
            "$env://HUSH: there is none".to_owned(),
        ),
    ] {
        assert!(said(secret, message.clone()), "{message}");
    }
}
