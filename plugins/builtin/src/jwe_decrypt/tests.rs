use super::JweDecrypt;
use crate::testing::*;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::{definition::Definition, testing::Consumers};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

const SECRET: &str = "key-length-should-be-32-chars123";
const IV: &[u8; 12] = b"123456789012";

fn definition() -> Definition {
    Definition::auth::<JweDecrypt>()
}

fn jack() -> Consumers {
    Consumers::default()
        .with(
            "jack",
            &definition(),
            json!({"key": "jack-key", "secret": SECRET}),
        )
        .unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A token; the tag covers its header when `aad` says so, as RFC 7516 wants it.
fn token(header: &Value, text: &[u8], aad: bool) -> String {
    let header = encode(header.to_string());
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, SECRET.as_bytes()).unwrap());
    let mut sealed = text.to_vec();
    let nonce = Nonce::assume_unique_for_key(*IV);
    let covered = if aad { header.as_bytes() } else { b"" };
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(covered), &mut sealed)
        .unwrap();
    format!(
        "{header}..{}.{}.{}",
        encode(IV),
        encode(sealed),
        encode(tag.as_ref())
    )
}

fn header_of(kid: &str) -> Value {
    json!({"alg": "dir", "kid": kid, "enc": "A256GCM"})
}

async fn refusal(config: Value, lines: impl AsRef<[u8]>) -> (u16, String) {
    let plugin = built(&definition(), config);
    let (status, body) = said(
        scene_with(get("/", lines), jack())
            .await
            .rewrite(&*plugin)
            .await,
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    (status, body["message"].as_str().unwrap().to_owned())
}

async fn sent(config: Value, lines: String, name: &str) -> Option<String> {
    let plugin = built(&definition(), config);
    let mut scene = scene_with(get("/", lines), jack()).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(scene.request.consumer_name(), None);
    sent_up(&scene, name).map(str::to_owned)
}

#[tokio::test]
async fn the_upstream_gets_what_was_encrypted() {
    for aad in [true, false] {
        let token = token(&header_of("jack-key"), b"hello", aad);
        for written in [
            token.clone(),
            format!("Bearer {token}"),
            format!("bearer {token}"),
        ] {
            let lines = format!("Authorization: {written}\r\n");
            assert_eq!(
                sent(json!({}), lines, "authorization").await.unwrap(),
                "hello"
            );
        }
    }
    let lines = format!(
        "X-T: {}\r\nX-P: forged\r\nx-p: again\r\n",
        token(&header_of("jack-key"), b"p", true)
    );
    let config = json!({"header": "X-T", "forward_header": "X-P"});
    assert_eq!(sent(config, lines, "x-p").await.unwrap(), "p");
}

#[tokio::test]
async fn without_a_token_it_depends_on_strict() {
    let missing = (403, "missing JWE token in request".to_owned());
    assert_eq!(refusal(json!({}), "").await, missing);
    let config = json!({"strict": false, "forward_header": "X-Payload"});
    let lines = "X-Payload: forged\r\n".to_owned();
    assert_eq!(sent(config.clone(), lines, "x-payload").await, None);
    // A token that is there must be good.
    assert_eq!(refusal(config, "Authorization: a\r\n").await.0, 400);
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let failed = (400, "failed to decrypt JWE token".to_owned());
    for aad in [true, false] {
        let good = token(&header_of("jack-key"), b"{\"user\":\"jack\"}", aad);
        let parts: Vec<&str> = good.split('.').collect();
        let [header, _, iv, text, tag] = parts[..] else {
            panic!()
        };
        let full = URL_SAFE_NO_PAD.decode(tag).unwrap();
        let mut bent = full.clone();
        bent[15] ^= 1;
        let mut longer = full.clone();
        longer.push(0);
        let other_text = encode(b"{\"user\":\"root\"}");
        for (iv, text, tag) in [
            (iv, text, ""),
            (iv, text, &*encode(&full[..1])),
            (iv, text, &*encode(&full[..12])),
            (iv, text, &*encode(&full[..15])),
            (iv, text, &*encode(&bent)),
            (iv, text, &*encode(&longer)),
            (iv, &*other_text, tag),
            (iv, "", tag),
            ("", text, tag),
            (&*encode(b"1234567890123"), text, tag),
            (&*encode(b"123456789013"), text, tag),
        ] {
            let lines = format!("Authorization: {header}..{iv}.{text}.{tag}\r\n");
            assert_eq!(refusal(json!({}), &lines).await, failed, "{lines}");
        }
    }
}

#[tokio::test]
async fn a_header_that_the_tag_covers_cannot_be_changed() {
    let jill = json!({"key": "jill-key", "secret": SECRET});
    let both = jack().with("jill", &definition(), jill).unwrap();
    let good = token(&header_of("jack-key"), b"jack", true);
    let rest = good.split_once('.').unwrap().1;
    let changed = format!("{}.{rest}", encode(header_of("jill-key").to_string()));
    let plugin = built(&definition(), json!({}));
    let mut scene = scene_with(get("/", format!("Authorization: {changed}\r\n")), both).await;
    assert_eq!(said(scene.rewrite(&*plugin).await).0, 400);
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    let invalid = |lines: &str| (lines.to_owned(), "JWE token invalid");
    let of = |header: Value| format!("Authorization: {}\r\n", token(&header, b"x", true));
    let good = token(&header_of("jack-key"), b"x", true);
    let with_key = good.replacen("..", ".YQ.", 1);
    for (lines, message) in [
        invalid("Authorization: a\r\n"),
        invalid("Authorization: a.b.c\r\n"),
        invalid("Authorization: Bearer \r\n"),
        invalid("Authorization: bnVsbA..MTIzNDU2Nzg5MDEy._0DrWD0.vl-ydutnNuMpkYskwNqu-Q\r\n"),
        invalid("Authorization: !!!..MTIz.YQ.YQ\r\n"),
        invalid(&format!("Authorization: {good}.a\r\n")),
        invalid(&format!("Authorization: {with_key}\r\n")),
        invalid(&format!("Authorization: {good}!\r\n")),
        invalid(&format!(
            "Authorization: {good}\r\nAuthorization: {good}\r\n"
        )),
        invalid(&of(json!([]))),
        invalid(&of(json!("kid"))),
        invalid(&of(
            json!({"alg": "none", "enc": "A256GCM", "kid": "jack-key"}),
        )),
        invalid(&of(
            json!({"alg": "dir", "enc": "A128GCM", "kid": "jack-key"}),
        )),
        invalid(&of(
            json!({"alg": "dir", "enc": "A256GCM", "kid": "jack-key", "zip": "DEF"}),
        )),
        invalid(&of(
            json!({"alg": "dir", "enc": "A256GCM", "kid": "jack-key", "crit": ["x"]}),
        )),
        (
            of(json!({"alg": "dir", "enc": "A256GCM"})),
            "missing kid in JWE token",
        ),
        (of(json!({"kid": null})), "missing kid in JWE token"),
        (of(json!({"kid": 7})), "invalid kid in JWE token"),
        (of(header_of("jill-key")), "invalid kid in JWE token"),
    ] {
        assert_eq!(
            refusal(json!({}), &lines).await,
            (400, message.to_owned()),
            "{lines}"
        );
    }
    let long = format!("Authorization: {}\r\n", "x".repeat(20_000));
    assert_eq!(refusal(json!({}), &long).await.0, 400);
    assert_eq!(
        refusal(json!({}), b"Authorization: \xff\xfe\r\n").await.0,
        400
    );
}

#[tokio::test]
async fn what_cannot_stand_in_a_header_is_refused() {
    for text in [&b"a\r\nX-Admin: 1"[..], b"a\nb", b"\0"] {
        let token = token(&header_of("jack-key"), text, true);
        let lines = format!("Authorization: {token}\r\n");
        assert_eq!(refusal(json!({}), &lines).await.0, 400);
    }
}

#[test]
fn a_key_has_32_bytes() {
    let message = |credential: Value| {
        definition()
            .credential(&credential)
            .err()
            .map(|e| (e.path, e.message))
    };
    let refused = |message: &str| Some(("/secret".to_owned(), message.to_owned()));
    assert_eq!(message(json!({"key": "k", "secret": SECRET})), None);
    for alphabet in [
        base64::engine::general_purpose::STANDARD.encode([0xfb; 32]),
        encode([0xfb; 32]),
    ] {
        let credential = json!({"key": "k", "secret": alphabet, "is_base64_encoded": true});
        assert_eq!(message(credential), None);
    }
    for secret in ["", "short", &format!("{SECRET}x")] {
        assert_eq!(
            message(json!({"key": "k", "secret": secret})),
            refused("the secret length should be 32 chars")
        );
    }
    assert_eq!(
        message(json!({"key": "k", "secret": "YWJj", "is_base64_encoded": true})),
        refused("the secret length after base64 decode should be 32 chars")
    );
    assert_eq!(
        message(json!({"key": "k", "secret": "!", "is_base64_encoded": true})),
        refused("expected a secret in Base64")
    );
    assert_eq!(refused_at(json!({"header": "a b"})), "/header");
    assert_eq!(refused_at(json!({"forward_header": ""})), "/forward_header");
}

fn refused_at(config: Value) -> String {
    refused(&definition(), config).0
}
