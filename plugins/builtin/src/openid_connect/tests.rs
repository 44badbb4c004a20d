use super::OpenidConnect;
use crate::{remote::service::nowhere, testing::*};
use crossway_sdk::definition::Definition;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

const RSA: &str = include_str!("../jwt_auth/test_keys/rsa.private.pem");
const RSA_PUBLIC: &str = include_str!("../jwt_auth/test_keys/rsa.public.pem");
const P384_PUBLIC: &str = include_str!("../jwt_auth/test_keys/p384.public.pem");

fn definition() -> Definition {
    Definition::of::<OpenidConnect>()
}

fn with(mut config: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

fn flow(changes: Value) -> Value {
    let config = json!({
        "client_id": "c", "client_secret": "s", "discovery": "http://127.0.0.1:1/d",
        "session": {"secret": "0123456789abcdef"},
    });
    with(config, changes)
}

fn by_key(changes: Value) -> Value {
    let config = json!({
        "client_id": "c", "discovery": "http://127.0.0.1:1/d", "bearer_only": true, "public_key": RSA_PUBLIC,
        "claim_validator": {"issuer": {"valid_issuers": ["i"]}},
    });
    with(config, changes)
}

fn signed(algorithm: Algorithm, claims: Value) -> String {
    let key = match algorithm {
        Algorithm::HS256 => EncodingKey::from_secret(RSA_PUBLIC.as_bytes()),
        _ => EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap(),
    };
    encode(&Header::new(algorithm), &claims, &key).unwrap()
}

async fn judged(config: Value, lines: String) -> Option<u16> {
    let plugin = built(&definition(), config);
    let flow = scene(get("/", lines)).await.rewrite(&*plugin).await;
    match flow.as_ref().unwrap() {
        crossway_sdk::flow::Flow::Next => None,
        crossway_sdk::flow::Flow::Respond(_) => Some(reply(flow).status.as_u16()),
    }
}

#[test]
fn what_would_not_be_done_is_refused() {
    let refused = |changes| refused(&definition(), flow(changes));
    for (changes, path) in [
        (json!({"accept_none_alg": true}), "/accept_none_alg"),
        (
            json!({"accept_unsupported_alg": true}),
            "/accept_unsupported_alg",
        ),
        (
            json!({"proxy_opts": {"http_proxy": "socks5://p"}}),
            "/proxy_opts",
        ),
        (
            json!({"proxy_opts": {"https_proxy": "http://p", "https_proxy_authorization": "a\nb"}}),
            "/proxy_opts",
        ),
        (
            json!({"backchannel_logout": {"path": "/b"}}),
            "/backchannel_logout",
        ),
        (
            json!({"par": {"enabled": true, "endpoint": "x"}}),
            "/par/endpoint",
        ),
        (
            json!({"par": {"enabled": true, "endpoint_auth_method": "private_key_jwt"}}),
            "/client_rsa_private_key",
        ),
        (json!({"dpop": {"enabled": true}}), "/dpop/enabled"),
        (
            json!({"session": {"secret": "0123456789abcdef", "storage": "redis", "redis": {"ssl": true, "server_name": "a b"}}}),
            "/session/redis/server_name",
        ),
        (
            json!({"session": {"secret": "0123456789abcdef", "storage": "redis", "redis": {"port": 0}}}),
            "/session/redis/port",
        ),
        (
            json!({"session": {"secret": "0123456789abcdef", "storage": "redis", "redis": {"pool": "x"}}}),
            "/session/redis/pool",
        ),
        (
            json!({"authorization_params": {"request_uri": "x"}}),
            "/authorization_params/request_uri",
        ),
        (json!({"session": {"secret": "short"}}), "/session/secret"),
        (
            json!({"session": {"secret": "0123456789abcdef", "cookie_name": "a b"}}),
            "/session/cookie_name",
        ),
        (
            json!({"session": {"secret": "0123456789abcdef", "cookie_path": "/;x"}}),
            "/session/cookie_path",
        ),
        (
            json!({"session": {"secret": "0123456789abcdef", "cookie_same_site": "None", "cookie_secure": false}}),
            "/session/cookie_secure",
        ),
        (json!({"session": null}), "/session"),
        (json!({"client_secret": null}), "/client_secret"),
        (json!({"discovery": "ftp://x"}), "/discovery"),
        (json!({"redirect_uri": "//evil"}), "/redirect_uri"),
        (
            json!({"post_logout_redirect_uri": "//evil"}),
            "/post_logout_redirect_uri",
        ),
        (json!({"public_key": "x"}), "/public_key"),
        (
            json!({"public_key": include_str!("../jwt_auth/test_keys/rsa1024.public.pem")}),
            "/public_key",
        ),
        (
            json!({"token_signing_alg_values_expected": "none"}),
            "/token_signing_alg_values_expected",
        ),
        (
            json!({"token_signing_alg_values_expected": "HS256", "use_jwks": true}),
            "/token_signing_alg_values_expected",
        ),
        (
            json!({"authorization_params": {"state": "x"}}),
            "/authorization_params/state",
        ),
        (
            json!({"authorization_params": {"a": []}}),
            "/authorization_params/a",
        ),
        (
            json!({"token_endpoint_auth_method": "private_key_jwt"}),
            "/client_rsa_private_key",
        ),
        (
            json!({"token_endpoint_auth_method": "client_secret_jwt", "client_jwt_assertion_alg": "RS256"}),
            "/client_jwt_assertion_alg",
        ),
        (
            json!({"introspection_endpoint": "x"}),
            "/introspection_endpoint",
        ),
        (json!({"claim_schema": {"type": 1}}), "/claim_schema/type"),
        (json!({"realm": "a\nb"}), "/realm"),
        (json!({"timeout": 0}), "/timeout"),
    ] {
        let (at, message) = refused(changes.clone());
        assert_eq!(at, path, "{changes}: {message}");
        assert!(!message.contains("0123456789abcdef"), "{message}");
    }
}

#[tokio::test]
async fn a_bearer_token_is_verified_with_the_public_key() {
    let far = 4_000_000_000_u64;
    let good = json!({"iss": "i", "exp": far, "sub": "ann"});
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let token = |claims: &Value| signed(Algorithm::RS256, claims.clone());
    let config = || by_key(json!({}));
    assert_eq!(judged(config(), bearer(&token(&good))).await, None);
    for algorithm in [Algorithm::RS512, Algorithm::PS256] {
        let token = signed(algorithm, good.clone());
        assert_eq!(judged(config(), bearer(&token)).await, None);
        let expected = by_key(json!({"token_signing_alg_values_expected": "RS256"}));
        assert_eq!(judged(expected, bearer(&token)).await, Some(401));
    }
    let unsigned = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIn0.";
    for bad in [
        signed(Algorithm::HS256, good.clone()),
        unsigned.to_owned(),
        token(&with(good.clone(), json!({"iss": "j"}))),
        token(&with(good.clone(), json!({"exp": 1000}))),
        token(&with(good.clone(), json!({"exp": "x"}))),
        token(&with(good.clone(), json!({"nbf": far}))),
        token(&with(good.clone(), json!({"iat": far}))),
        "a.b.c".to_owned(),
        "x".repeat(17_000),
    ] {
        let status = judged(config(), bearer(&bad)).await;
        assert!(matches!(status, Some(400 | 401)), "{bad}: {status:?}");
    }
    let other = by_key(json!({"public_key": P384_PUBLIC}));
    assert_eq!(judged(other, bearer(&token(&good))).await, Some(401));
    let header = format!("X-Access-Token: {}\r\n", token(&good));
    assert_eq!(judged(config(), header).await, None);
    assert_eq!(judged(config(), String::new()).await, Some(401));
}

#[tokio::test]
async fn claims_are_held_against_the_schema_and_the_user_is_known_to_plugins() {
    let schema = json!({"claim_schema": {"required": ["team"]}});
    let plugin = built(&definition(), by_key(schema));
    for (claims, status) in [
        (json!({"iss": "i", "team": "a"}), None),
        (json!({"iss": "i"}), Some(401)),
    ] {
        let token = signed(Algorithm::RS256, claims.clone());
        let lines = format!("Authorization: Bearer {token}\r\nX-Userinfo: forged\r\n");
        let mut scene = scene(get("/", lines)).await;
        let flow = scene.rewrite(&*plugin).await;
        match status {
            Some(status) => assert_eq!(reply(flow).status.as_u16(), status),
            None => {
                assert!(goes_on(flow));
                assert_eq!(scene.request.external_user.as_deref(), Some(&claims));
                assert_eq!(sent_up(&scene, "x-access-token"), Some(&*token));
            }
        }
        assert_ne!(sent_up(&scene, "x-userinfo"), Some("forged"));
    }
}

#[tokio::test]
async fn an_absent_provider_is_a_500_for_users_and_a_503_at_the_logout() {
    let config = flow(json!({"discovery": nowhere().await}));
    let plugin = built(&definition(), config);
    let flow = scene(get("/", "")).await.rewrite(&*plugin).await;
    assert_eq!(reply(flow).status, 500);
    let flow = scene(get("/logout?x", "")).await.rewrite(&*plugin).await;
    assert_eq!(reply(flow).status, 503);
}
