use super::{JwtAuth, Payload};
use crate::testing::*;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use crossway_sdk::{
    definition::Definition,
    testing::{Consumers, Scene},
};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::{Duration, UNIX_EPOCH};

// Keys that were made for these tests and serve nothing else.
const RSA: &str = include_str!("test_keys/rsa.private.pem");
const RSA_PUBLIC: &str = include_str!("test_keys/rsa.public.pem");
const P256: &str = include_str!("test_keys/p256.private.pem");
const P256_PUBLIC: &str = include_str!("test_keys/p256.public.pem");
const P384: &str = include_str!("test_keys/p384.private.pem");
const P384_PUBLIC: &str = include_str!("test_keys/p384.public.pem");
const ED25519: &str = include_str!("test_keys/ed25519.private.pem");
const ED25519_PUBLIC: &str = include_str!("test_keys/ed25519.public.pem");

/// What the clock of every test shows.
const NOW: u64 = 1_700_000_000;

fn definition() -> Definition {
    Definition::auth::<JwtAuth>()
}

fn with(credential: Value) -> Consumers {
    Consumers::default()
        .with("jack", &definition(), credential)
        .unwrap()
        .with("nobody", &definition(), json!(null))
        .unwrap()
}

fn hs256() -> Value {
    json!({"key": "jack-key", "secret": "s3cret"})
}

fn sign(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
    encode(&Header::new(algorithm), claims, key).unwrap()
}

fn token(claims: Value) -> String {
    sign(
        Algorithm::HS256,
        &EncodingKey::from_secret(b"s3cret"),
        &claims,
    )
}

fn valid() -> String {
    token(json!({"key": "jack-key", "exp": NOW + 1}))
}

fn bearer(token: &str) -> Vec<u8> {
    get("/", format!("Authorization: Bearer {token}\r\n"))
}

async fn staged(raw: Vec<u8>, consumers: Consumers) -> Scene {
    let mut scene = scene_with(raw, consumers).await;
    scene.request.started_at = UNIX_EPOCH + Duration::from_secs(NOW);
    scene
}

/// The message of the refusal, or who was named.
async fn outcome(config: Value, credential: Value, raw: Vec<u8>) -> String {
    let plugin = built(&definition(), config);
    let mut scene = staged(raw, with(credential)).await;
    match scene.rewrite(&*plugin).await.unwrap() {
        crossway_sdk::flow::Flow::Next => scene.request.consumer_name().unwrap().to_owned(),
        crossway_sdk::flow::Flow::Respond(reply) => {
            assert_eq!(reply.status, 401);
            assert_eq!(
                header(&reply, "www-authenticate"),
                Some("Bearer realm=\"jwt\"")
            );
            let body: Value = serde_json::from_str(&body(&reply)).unwrap();
            body["message"].as_str().unwrap().to_owned()
        }
    }
}

async fn verdict(credential: Value, token: &str) -> String {
    outcome(json!({}), credential, bearer(token)).await
}

#[tokio::test]
async fn every_algorithm_verifies_its_own_tokens_and_no_others() {
    let hmac = EncodingKey::from_secret(b"s3cret");
    let rsa = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let p256 = EncodingKey::from_ec_pem(P256.as_bytes()).unwrap();
    let p384 = EncodingKey::from_ec_pem(P384.as_bytes()).unwrap();
    let ed25519 = EncodingKey::from_ed_pem(ED25519.as_bytes()).unwrap();
    let kinds = [
        ("HS256", Algorithm::HS256, &hmac, None),
        ("HS384", Algorithm::HS384, &hmac, None),
        ("HS512", Algorithm::HS512, &hmac, None),
        ("RS256", Algorithm::RS256, &rsa, Some(RSA_PUBLIC)),
        ("RS384", Algorithm::RS384, &rsa, Some(RSA_PUBLIC)),
        ("RS512", Algorithm::RS512, &rsa, Some(RSA_PUBLIC)),
        ("PS256", Algorithm::PS256, &rsa, Some(RSA_PUBLIC)),
        ("PS384", Algorithm::PS384, &rsa, Some(RSA_PUBLIC)),
        ("PS512", Algorithm::PS512, &rsa, Some(RSA_PUBLIC)),
        ("ES256", Algorithm::ES256, &p256, Some(P256_PUBLIC)),
        ("ES384", Algorithm::ES384, &p384, Some(P384_PUBLIC)),
        ("EdDSA", Algorithm::EdDSA, &ed25519, Some(ED25519_PUBLIC)),
    ];
    let claims = json!({"key": "jack-key", "exp": NOW + 1});
    for (name, _, _, public) in kinds {
        let credential = json!({
            "key": "jack-key", "algorithm": name, "secret": "s3cret", "public_key": public,
        });
        for (other, algorithm, key, _) in kinds {
            let verdict = verdict(credential.clone(), &sign(algorithm, key, &claims)).await;
            let expected = if name == other {
                "jack"
            } else {
                "failed to verify jwt"
            };
            assert_eq!(verdict, expected, "{other} token for an {name} credential");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let credential = json!({"key": "jack-key", "algorithm": "RS256", "public_key": RSA_PUBLIC});
    let claims = json!({"key": "jack-key", "exp": NOW + 1});
    for secret in [RSA_PUBLIC, RSA_PUBLIC.trim()] {
        let forged = sign(
            Algorithm::HS256,
            &EncodingKey::from_secret(secret.as_bytes()),
            &claims,
        );
        assert_eq!(
            verdict(credential.clone(), &forged).await,
            "failed to verify jwt"
        );
    }
    let error = definition().credential(&json!({"key": "k", "secret": RSA_PUBLIC}));
    assert_eq!(error.err().unwrap().path, "/secret");
}

fn raw_token(header: &str, claims: &str, signature: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", part(header), part(claims))
}

#[tokio::test]
async fn unsigned_and_tampered_tokens_fail() {
    let claims = r#"{"key":"jack-key"}"#;
    for alg in ["none", "None", "NONE", "", "HS256 ", "hs256"] {
        for signature in ["", "AAAA"] {
            let token = raw_token(&json!({ "alg": alg }).to_string(), claims, signature);
            assert_eq!(
                verdict(hs256(), &token).await,
                "failed to verify jwt",
                "{alg}"
            );
        }
    }
    let good = valid();
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other = URL_SAFE_NO_PAD.encode(r#"{"key":"jack-key","admin":true}"#);
    for token in [
        format!("{header}.{other}.{signature}"),
        format!("{message}."),
        format!("{message}.{}", signature.get(3..).unwrap()),
    ] {
        assert_eq!(
            verdict(hs256(), &token).await,
            "failed to verify jwt",
            "{token}"
        );
    }
}

#[tokio::test]
async fn what_is_no_token_is_invalid() {
    let good = valid();
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for token in [
        "abc".to_owned(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        format!("{good}.x"),
        format!("{good}="),
        format!("{good}!"),
        format!(" x {good}"),
        raw_token("{}", "{}", ""),
        raw_token(r#"{"alg":5}"#, "{}", ""),
        raw_token(r#"{"alg":"HS256","alg":"none"}"#, "{}", ""),
        raw_token(r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "{}", ""),
        raw_token(r#"{"alg":"HS256"}"#, "[]", ""),
        raw_token(r#"{"alg":"HS256"}"#, &deep, ""),
        "x".repeat(20_000),
    ] {
        assert_eq!(
            verdict(hs256(), &token).await,
            "JWT token invalid",
            "{token}"
        );
    }
    let raw = get("/", b"Authorization: Bearer \xff\xfe\r\n");
    assert_eq!(outcome(json!({}), hs256(), raw).await, "JWT token invalid");
    let twice = format!("Authorization: Bearer {good}\r\n").repeat(2);
    assert_eq!(
        outcome(json!({}), hs256(), get("/", twice)).await,
        "JWT token invalid"
    );
    assert_eq!(
        outcome(json!({}), hs256(), get("/", "")).await,
        "Missing JWT token in request"
    );
}

#[tokio::test]
async fn the_key_claim_leads_to_the_credential() {
    for (claims, said) in [
        (json!({}), "missing user key in JWT token"),
        (json!({"key": null}), "missing user key in JWT token"),
        (json!({"key": "jill"}), "Invalid user key in JWT token"),
        (json!({"key": 5}), "Invalid user key in JWT token"),
        (
            json!({"key": ["jack-key"]}),
            "Invalid user key in JWT token",
        ),
    ] {
        assert_eq!(verdict(hs256(), &token(claims)).await, said);
    }
    let raw = bearer(&token(json!({"iss": "jack-key"})));
    assert_eq!(
        outcome(json!({"key_claim_name": "iss"}), hs256(), raw).await,
        "jack"
    );
}

#[tokio::test]
async fn times_are_kept_when_they_are_there() {
    let failed = "failed to verify jwt";
    for (claims, said) in [
        (json!({}), "jack"),
        (json!({"exp": NOW + 1}), "jack"),
        (json!({"exp": NOW}), failed),
        (json!({"exp": NOW - 1}), failed),
        (json!({"exp": NOW as f64 + 0.5}), "jack"),
        (json!({"exp": "9999999999"}), failed),
        (json!({"exp": null}), failed),
        (json!({"exp": -1}), failed),
        (json!({"exp": 1e308}), "jack"),
        (json!({"nbf": NOW}), "jack"),
        (json!({"nbf": NOW + 1}), failed),
        (json!({"nbf": {}}), failed),
    ] {
        let mut all = json!({"key": "jack-key"});
        all.as_object_mut()
            .unwrap()
            .extend(claims.as_object().unwrap().clone());
        assert_eq!(verdict(hs256(), &token(all)).await, said, "{claims}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_the_grace_period() {
    let mut credential = hs256();
    credential["lifetime_grace_period"] = json!(10);
    let failed = "failed to verify jwt";
    for (claims, said) in [
        (json!({"key": "jack-key", "exp": NOW - 9}), "jack"),
        (json!({"key": "jack-key", "exp": NOW - 10}), failed),
        (json!({"key": "jack-key", "nbf": NOW + 10}), "jack"),
        (json!({"key": "jack-key", "nbf": NOW + 11}), failed),
    ] {
        assert_eq!(verdict(credential.clone(), &token(claims)).await, said);
    }
}

#[tokio::test]
async fn only_the_claims_that_are_asked_for_are_kept() {
    let expired = bearer(&token(json!({"key": "jack-key", "exp": 1})));
    let config = json!({"claims_to_verify": ["nbf"]});
    assert_eq!(outcome(config, hs256(), expired.clone()).await, "jack");
    let config = json!({"claims_to_verify": ["exp"]});
    assert_eq!(
        outcome(config, hs256(), expired).await,
        "failed to verify jwt"
    );
}

#[tokio::test]
async fn header_comes_before_argument_and_argument_before_cookie() {
    let good = valid();
    let raw = |target: &str, lines: String| get(target, lines);
    for (target, lines, said) in [
        (format!("/?jwt={good}"), String::new(), "jack"),
        (
            "/".to_owned(),
            format!("Cookie: a=b; jwt={good}\r\n"),
            "jack",
        ),
        ("/".to_owned(), format!("Authorization: {good}\r\n"), "jack"),
        (
            "/".to_owned(),
            format!("Authorization: bearer {good}\r\n"),
            "jack",
        ),
        (
            format!("/?jwt={good}"),
            "Authorization: Bearer x\r\n".to_owned(),
            "JWT token invalid",
        ),
        (
            "/?jwt=x".to_owned(),
            format!("Cookie: jwt={good}\r\n"),
            "JWT token invalid",
        ),
        (
            "/".to_owned(),
            format!("Cookie: jwt={good}; jwt={good}\r\n"),
            "JWT token invalid",
        ),
    ] {
        assert_eq!(outcome(json!({}), hs256(), raw(&target, lines)).await, said);
    }
    let config = json!({"header": "x-jwt", "query": "q", "cookie": "c"});
    for (target, lines) in [
        ("/".to_owned(), format!("X-Jwt: {good}\r\n")),
        (format!("/?q={good}"), String::new()),
        ("/".to_owned(), format!("Cookie: c={good}\r\n")),
    ] {
        assert_eq!(
            outcome(config.clone(), hs256(), raw(&target, lines)).await,
            "jack"
        );
    }
}

#[tokio::test]
async fn a_hidden_token_stays_from_the_upstream() {
    let plugin = built(&definition(), json!({"hide_credentials": true}));
    let good = valid();
    let run = async |target: &str, lines: String| {
        let mut scene = staged(get(target, lines), with(hs256())).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
        scene
    };
    let scene = run("/", format!("Authorization: Bearer {good}\r\n")).await;
    assert_eq!(sent_up(&scene, "authorization"), None);
    let scene = run(&format!("/a?x=1&jwt={good}"), String::new()).await;
    assert_eq!(target(&scene), "/a?x=1");
    let scene = run(
        "/",
        format!("Cookie: a=1; jwt={good}; b=\"2\"\r\nCookie: c=3\r\n"),
    )
    .await;
    assert_eq!(sent_up(&scene, "cookie"), Some("a=1; b=\"2\"; c=3"));
    let scene = run("/", format!("Cookie: jwt={good}\r\n")).await;
    assert_eq!(sent_up(&scene, "cookie"), None);
}

#[tokio::test]
async fn claims_are_kept_for_later_plugins_once_they_are_verified() {
    let plugin = built(
        &definition(),
        json!({"store_in_ctx": true, "anonymous_consumer": "nobody"}),
    );
    let good = token(json!({"key": "jack-key", "role": "admin"}));
    for (token, role) in [(good.clone(), Some("admin")), (format!("{good}A"), None)] {
        let mut scene = staged(bearer(&token), with(hs256())).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
        let payload = scene.session.req_header().extensions.get::<Payload>();
        assert_eq!(payload.and_then(|p| p.0["role"].as_str()), role);
    }
}

#[tokio::test]
async fn a_secret_in_base64_is_decoded() {
    let signed = sign(
        Algorithm::HS256,
        &EncodingKey::from_secret(b"\x00\xff\xfe"),
        &json!({"key": "jack-key"}),
    );
    let credential = json!({"key": "jack-key", "secret": "AP/+", "base64_secret": true});
    assert_eq!(verdict(credential, &signed).await, "jack");
}

#[test]
fn refused_credentials_say_where_and_keep_the_key_to_themselves() {
    let refused = |credential: Value| {
        let error = definition().credential(&credential).err().unwrap();
        assert!(
            !error.message.contains("MII") && !error.message.contains("s3c"),
            "{error}"
        );
        (error.path, error.message)
    };
    let (path, message) = refused(json!({"key": "k", "algorithm": "ES512", "public_key": "x"}));
    assert_eq!(path, "/algorithm");
    assert_eq!(
        message,
        "ES512 is not supported; use ES256, ES384 or another algorithm"
    );
    let (path, message) = refused(json!({"key": "k"}));
    assert_eq!(path, "/secret");
    assert!(message.starts_with("property \"secret\" is required"));
    let (path, message) = refused(json!({"key": "k", "secret": "s3c!", "base64_secret": true}));
    assert_eq!(path, "/secret");
    assert_eq!(
        message,
        "base64_secret required but the secret is not in base64 format"
    );
    for (algorithm, key) in [
        ("RS256", None),
        ("RS256", Some("x")),
        ("RS256", Some(RSA)),
        ("RS256", Some(P256_PUBLIC)),
        ("RS256", Some(include_str!("test_keys/rsa1024.public.pem"))),
        ("PS256", Some(include_str!("test_keys/rsa4160.public.pem"))),
        ("PS512", Some(ED25519_PUBLIC)),
        ("ES256", Some(P384_PUBLIC)),
        ("ES384", Some(P256_PUBLIC)),
        ("ES256", Some(RSA_PUBLIC)),
        (
            "ES256",
            Some(include_str!("test_keys/p256.compressed.public.pem")),
        ),
        ("EdDSA", Some(P256_PUBLIC)),
    ] {
        let (path, _) = refused(json!({"key": "k", "algorithm": algorithm, "public_key": key}));
        assert_eq!(path, "/public_key", "{algorithm}");
    }
    assert_eq!(
        refused(json!({"key": "k", "algorithm": "none"})).0,
        "/algorithm"
    );
    assert_eq!(refused(json!({"key": "", "secret": "a"})).0, "/key");
    assert_eq!(refused(json!({"key": "k", "secret": ""})).0, "/secret");
    assert_eq!(
        refused(json!({"key": "k", "secret": "a", "exp": 0})).0,
        "/exp"
    );
}

#[test]
fn refused_configurations_say_where() {
    let path = |config| refused(&definition(), config).0;
    assert_eq!(path(json!({"header": ""})), "/header");
    assert_eq!(path(json!({"key_claim_name": ""})), "/key_claim_name");
    assert_eq!(
        path(json!({"claims_to_verify": ["iss"]})),
        "/claims_to_verify/0"
    );
    assert_eq!(
        path(json!({"claims_to_verify": ["exp", "exp"]})),
        "/claims_to_verify"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_other_token_passes(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.=-]{0,2}") {
        let mut token = valid();
        let at = at.index(token.len());
        token.replace_range(at..=at, &with);
        prop_assume!(token != valid());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_ne!(runtime.block_on(verdict(hs256(), &token)), "jack");
    }
}
