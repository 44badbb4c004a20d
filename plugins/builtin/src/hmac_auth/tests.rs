use super::{Algorithm, HmacAuth};
use crate::testing::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use crossway_sdk::{definition::Definition, testing::Consumers};
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::time::SystemTime;

const REFUSED: &str = "{\"message\":\"client request can't be validated\"}\n";

fn definition() -> Definition {
    Definition::auth::<HmacAuth>()
}

fn john() -> Consumers {
    let credential = json!({"key_id": "john-key", "secret_key": "john-secret-key"});
    Consumers::default()
        .with("john", &definition(), credential)
        .unwrap()
        .with("nobody", &definition(), json!(null))
        .unwrap()
}

fn at(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).unwrap();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap().as_secs().try_into().unwrap()
}

fn mac(algorithm: Algorithm, message: &str) -> String {
    let (key, message) = (b"john-secret-key", message.as_bytes());
    STANDARD.encode(match algorithm {
        Algorithm::Sha1 => Hmac::<Sha1>::new_from_slice(key)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        Algorithm::Sha256 => Hmac::<Sha256>::new_from_slice(key)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        Algorithm::Sha512 => Hmac::<Sha512>::new_from_slice(key)
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
    })
}

fn authorization(algorithm: &str, headers: &str, signature: &str) -> String {
    format!(
        "Authorization: Signature keyId=\"john-key\",algorithm=\"{algorithm}\",headers=\"{headers}\",signature=\"{signature}\"\r\n"
    )
}

/// The lines of a request for `target` at this time that is signed as the documentation says.
fn signed(target: &str, date: &str) -> String {
    let message = format!("john-key\nGET {target}\ndate: {date}\n");
    let signature = mac(Algorithm::Sha256, &message);
    format!(
        "Date: {date}\r\n{}",
        authorization("hmac-sha256", "@request-target date", &signature)
    )
}

async fn outcome(config: Value, raw: Vec<u8>) -> (u16, String) {
    let plugin = built(&definition(), config);
    let mut scene = scene_with(raw, john()).await;
    match scene.rewrite(&*plugin).await {
        Ok(crossway_sdk::flow::Flow::Next) => (
            200,
            scene.request.consumer_name().unwrap_or_default().to_owned(),
        ),
        other => said(other),
    }
}

async fn passes(config: Value, raw: Vec<u8>) {
    assert_eq!(outcome(config, raw).await, (200, "john".to_owned()));
}

async fn refuses(config: Value, raw: Vec<u8>) {
    let text = String::from_utf8_lossy(&raw).into_owned();
    assert_eq!(
        outcome(config, raw).await,
        (401, REFUSED.to_owned()),
        "{text}"
    );
}

/// Made by the script in APISIX's documentation.
#[tokio::test]
async fn a_signature_that_another_program_made_is_right() {
    let date = "Fri, 06 Sep 2024 06:41:29 GMT";
    let signature = "j+feO3Wm5em0agp0A70FZErf6lrMDVs7zjQ9MxomPx0=";
    let line = authorization("hmac-sha256", "@request-target date", signature);
    let raw = get("/get", format!("Date: {date}\r\n{line}"));
    let config = json!({"clock_skew": 4_000_000_000u32});
    passes(config.clone(), raw).await;
    assert_eq!(
        signature,
        mac(
            Algorithm::Sha256,
            &format!("john-key\nGET /get\ndate: {date}\n")
        )
    );
    // Another target, or another day, is another request.
    refuses(
        config.clone(),
        get("/get?a=1", format!("Date: {date}\r\n{line}")),
    )
    .await;
    refuses(
        config,
        get("/get", format!("Date: {}\r\n{line}", at(now()))),
    )
    .await;
}

#[tokio::test]
async fn a_signed_request_names_the_consumer() {
    let date = at(now());
    for target in ["/", "/a?b=1&c=%20", "/%41//x?%"] {
        passes(json!({}), get(target, signed(target, &date))).await;
    }
    for (algorithm, name) in [
        (Algorithm::Sha1, "hmac-sha1"),
        (Algorithm::Sha512, "hmac-sha512"),
    ] {
        let signature = mac(algorithm, &format!("john-key\ndate: {date}\nX-A: 1\n"));
        let line = authorization(name, "date X-A", &signature);
        passes(
            json!({}),
            get("/", format!("Date: {date}\r\nx-a: 1\r\n{line}")),
        )
        .await;
        // The algorithm is not taken from the signature's length, and must be allowed.
        let other = line.replace(name, "hmac-sha256");
        refuses(
            json!({}),
            get("/", format!("Date: {date}\r\nx-a: 1\r\n{other}")),
        )
        .await;
        let only = json!({"allowed_algorithms": ["hmac-sha256"]});
        refuses(only, get("/", format!("Date: {date}\r\nx-a: 1\r\n{line}"))).await;
    }
}

#[tokio::test]
async fn a_header_that_is_not_there_gives_no_line() {
    let date = at(now());
    let signature = mac(Algorithm::Sha256, &format!("john-key\ndate: {date}\n"));
    let line = authorization("hmac-sha256", "x-none date", &signature);
    passes(json!({}), get("/", format!("Date: {date}\r\n{line}"))).await;
    // Taking a signed header away does not help.
    let signature = mac(
        Algorithm::Sha256,
        &format!("john-key\nx-role: user\ndate: {date}\n"),
    );
    let line = authorization("hmac-sha256", "x-role date", &signature);
    refuses(json!({}), get("/", format!("Date: {date}\r\n{line}"))).await;
    refuses(
        json!({}),
        get("/", format!("Date: {date}\r\nx-role: admin\r\n{line}")),
    )
    .await;
}

#[tokio::test]
async fn the_clock_may_differ_by_so_much() {
    for (offset, good) in [
        (0, true),
        (-290, true),
        (290, true),
        (-320, false),
        (320, false),
    ] {
        let raw = get("/", signed("/", &at(now() + offset)));
        match good {
            true => passes(json!({}), raw).await,
            false => refuses(json!({}), raw).await,
        }
    }
    let raw = |seconds| get("/", signed("/", &at(now() - seconds)));
    passes(json!({"clock_skew": 1000}), raw(900)).await;
    refuses(json!({"clock_skew": 10}), raw(60)).await;
    refuses(json!({}), get("/", signed("/", "yesterday"))).await;
    refuses(
        json!({}),
        get("/", signed("/", "Thu, 01 Jan 1960 00:00:00 GMT")),
    )
    .await;
}

#[tokio::test]
async fn x_date_counts_where_date_is_absent_and_must_be_signed_then() {
    let date = at(now());
    let with = |headers: &str, message: &str| {
        let signature = mac(Algorithm::Sha256, message);
        let line = authorization("hmac-sha256", headers, &signature);
        get("/", format!("X-Date: {date}\r\n{line}"))
    };
    let lines = format!("john-key\nx-date: {date}\n");
    passes(json!({}), with("x-date date", &lines)).await;
    // A signature without a time in it would be good for ever.
    refuses(json!({}), with("date", "john-key\n")).await;
    passes(json!({"signed_headers": []}), with("x-date", &lines)).await;
    passes(json!({"signed_headers": []}), with("", "john-key\n")).await;
}

#[tokio::test]
async fn headers_that_must_be_signed_are_asked_for() {
    let date = at(now());
    let config = json!({"signed_headers": ["date", "x-user"]});
    refuses(config.clone(), get("/", signed("/", &date))).await;
    let signature = mac(
        Algorithm::Sha256,
        &format!("john-key\ndate: {date}\nx-user: ann\n"),
    );
    let line = authorization("hmac-sha256", "date x-user", &signature);
    let raw = get("/", format!("Date: {date}\r\nX-User: ann\r\n{line}"));
    passes(config.clone(), raw).await;
    let doubled = get(
        "/",
        format!("Date: {date}\r\nX-User: ann\r\nX-User: eve\r\n{line}"),
    );
    refuses(config, doubled).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_apart() {
    let prefix = "client request can't be validated: ";
    let message = |text: &str| (401, format!("{{\"message\":\"{prefix}{text}\"}}\n"));
    assert_eq!(
        outcome(json!({}), get("/", "")).await,
        message("missing Authorization header")
    );
    for other in ["Basic YTpi", "signature keyId=\"john-key\"", "Bearer x"] {
        assert_eq!(
            outcome(json!({}), get("/", format!("Authorization: {other}\r\n"))).await,
            message("Authorization header does not start with 'Signature'"),
        );
    }
    let plugin = built(&definition(), json!({"realm": "r"}));
    let refusal = reply(
        scene_with(get("/", ""), john())
            .await
            .rewrite(&*plugin)
            .await,
    );
    assert_eq!(
        header(&refusal, "www-authenticate"),
        Some("hmac realm=\"r\"")
    );
}

#[tokio::test]
async fn hostile_requests_are_refused() {
    let date = at(now());
    let good = signed("/", &date);
    for lines in [
        "Authorization: Signature\r\n".to_owned(),
        "Authorization: Signature keyId=\"john-key\"\r\n".to_owned(),
        good.replace("john-key", "jack-key"),
        good.replace("john-key", "john-key\",keyId=\"jack-key"),
        good.replace("hmac-sha256", "none"),
        good.replace("algorithm=\"hmac-sha256\",", ""),
        good.replace("signature=\"", "signature=\"AAAA"),
        good.replace("signature=\"", "signature=\"!!"),
        format!("{good}{good}"),
        format!("{good}Date: {date}\r\n"),
        good.replace("Date: ", "Date: x"),
        format!(
            "Date: {date}\r\nAuthorization: Signature {}\r\n",
            "k=\"v\",".repeat(4000)
        ),
        format!(
            "Date: {date}\r\n{}",
            authorization("hmac-sha256", "date", "")
        ),
    ] {
        refuses(json!({}), get("/", lines)).await;
    }
    let mut bytes = b"Authorization: Signature keyId=\"".to_vec();
    bytes.extend_from_slice(b"\xff\xfe\"\r\n");
    refuses(json!({}), get("/", bytes)).await;
}

#[tokio::test]
async fn every_digest_of_the_signature_counts() {
    let date = at(now());
    let line = signed("/", &date);
    let at_signature = line.find("signature=\"").unwrap() + 11;
    for i in [0, 10, 40] {
        let mut bent = line.clone().into_bytes();
        let byte = &mut bent[at_signature + i];
        *byte = if *byte == b'A' { b'B' } else { b'A' };
        refuses(json!({}), get("/", bent)).await;
    }
    // A beginning of the signature is not the signature.
    let short = mac(Algorithm::Sha256, &format!("john-key\ndate: {date}\n"));
    let bytes = STANDARD.decode(short).unwrap();
    let line = authorization("hmac-sha256", "date", &STANDARD.encode(&bytes[..16]));
    refuses(json!({}), get("/", format!("Date: {date}\r\n{line}"))).await;
}

fn post(digest: Option<&str>, body: &str) -> Vec<u8> {
    let date = at(now());
    let message = format!("john-key\nPOST /p\ndate: {date}\n");
    let line = authorization(
        "hmac-sha256",
        "@request-target date",
        &mac(Algorithm::Sha256, &message),
    );
    let digest = digest.map_or(String::new(), |d| format!("Digest: {d}\r\n"));
    let length = body.len();
    format!("POST /p HTTP/1.1\r\nHost: a\r\nDate: {date}\r\n{line}{digest}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

fn digest(body: &str) -> String {
    format!("SHA-256={}", STANDARD.encode(Sha256::digest(body)))
}

#[tokio::test]
async fn the_body_must_be_what_its_digest_says() {
    let config = json!({"validate_request_body": true});
    passes(
        config.clone(),
        post(Some(&digest("{\"a\": 1}")), "{\"a\": 1}"),
    )
    .await;
    passes(config.clone(), post(Some(&digest("")), "")).await;
    refuses(
        config.clone(),
        post(Some(&digest("{\"a\": 1}")), "{\"a\": 2}"),
    )
    .await;
    refuses(config.clone(), post(None, "a")).await;
    refuses(config.clone(), post(Some("SHA-256="), "a")).await;
    refuses(
        config.clone(),
        post(Some(&format!("{0}\r\nDigest: {0}", digest("a"))), "a"),
    )
    .await;
    // Not asked for, not looked at.
    passes(json!({}), post(Some("nonsense"), "a")).await;
    let small = json!({"validate_request_body": true, "max_req_body_size": 3});
    passes(small.clone(), post(Some(&digest("abc")), "abc")).await;
    assert_eq!(
        outcome(small, post(Some(&digest("abcd")), "abcd")).await.0,
        413
    );
}

#[tokio::test]
async fn the_signature_is_hidden_when_asked() {
    let config = json!({"hide_credentials": true, "anonymous_consumer": "nobody"});
    let plugin = built(&definition(), config);
    for (lines, name) in [
        (signed("/", &at(now())), "john"),
        ("Authorization: Signature x\r\n".to_owned(), "nobody"),
    ] {
        let mut scene = scene_with(get("/", lines), john()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
        assert_eq!(sent_up(&scene, "authorization"), None);
        assert_eq!(scene.request.consumer_name(), Some(name));
    }
    let gone = json!({"anonymous_consumer": "gone"});
    assert_eq!(
        outcome(gone, get("/", "")).await,
        (
            401,
            "{\"message\":\"Invalid user authorization\"}\n".to_owned()
        )
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({"allowed_algorithms": []})).0,
        "/allowed_algorithms"
    );
    assert_eq!(
        refused(json!({"allowed_algorithms": ["hmac-md5"]})).0,
        "/allowed_algorithms/0"
    );
    assert_eq!(refused(json!({"clock_skew": 0})).0, "/clock_skew");
    assert_eq!(
        refused(json!({"signed_headers": [""]})).0,
        "/signed_headers/0"
    );
    assert_eq!(
        refused(json!({"max_req_body_size": 0})).0,
        "/max_req_body_size"
    );
    assert_eq!(refused(json!({"realm": "\n"})).0, "/realm");
    assert_eq!(
        refused(json!({"anonymous_consumer": ""})).0,
        "/anonymous_consumer"
    );
    let credential = |c| definition().credential(&c).err().unwrap().message;
    assert_eq!(
        credential(json!({"key_id": "a"})),
        "property \"secret_key\" is required"
    );
    let long = json!({"key_id": "a", "secret_key": "x".repeat(257)});
    assert!(!credential(long).contains("xxx"), "a secret in the text");
}

#[test]
fn a_key_belongs_to_one_consumer() {
    let credential = json!({"key_id": "john-key", "secret_key": "other"});
    let error = john()
        .with("jill", &definition(), credential)
        .err()
        .unwrap();
    assert!(error.to_string().contains("john") && !error.to_string().contains("john-key"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nothing_but_the_signature_passes(header in "Signature [ -~]{0,80}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let date = at(now());
        let raw = get("/", format!("Date: {date}\r\nAuthorization: {header}\r\n"));
        prop_assert_eq!(runtime.block_on(outcome(json!({}), raw)).0, 401);
    }
}

#[test]
fn a_time_before_1970_is_no_reason_to_panic() {
    assert!(super::date::seconds("Thu, 01 Jan 1960 00:00:00 GMT").is_some_and(|s| s < 0));
}
