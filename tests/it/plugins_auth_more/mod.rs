//! Who may pass: signatures, several authenticators at once, encrypted tokens, policies; directories and services in files of
//! their own.

mod ldap;
mod services;

use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{aead, digest, hmac};
use serde_json::{Value, json};

use crate::support::{Gateway, Response, Upstream};

const JWE_SECRET: &str = "key-length-should-be-32-chars123";
const BASE: &str = "ou=users,dc=example,dc=org";

/// A gateway with consumers jack and foo, and a route `/a` with these plugins.
async fn world(plugins: Value) -> (Gateway, Upstream) {
    world_in(Gateway::start().await, plugins).await
}

async fn world_in(gateway: Gateway, plugins: Value) -> (Gateway, Upstream) {
    let upstream = Upstream::start().await;
    let jack = json!({
        "username": "jack",
        "plugins": {
            "key-auth": { "key": "jack-key" },
            "basic-auth": { "username": "jack", "password": "jack-pass" },
            "hmac-auth": { "key_id": "jack-id", "secret_key": "jack-secret" },
            "jwe-decrypt": { "key": "jack-jwe", "secret": JWE_SECRET },
        },
    });
    let in_directory = json!({
        "username": "foo",
        "plugins": { "ldap-auth": { "user_dn": format!("cn=foo,{BASE}") } },
    });
    gateway
        .put_all([
            ("/consumers/jack", jack),
            ("/consumers/foo", in_directory),
            ("/routes/1", route(&upstream, plugins)),
        ])
        .await;
    (gateway, upstream)
}

fn route(upstream: &Upstream, plugins: Value) -> Value {
    json!({ "uris": ["/a", "/a/*"], "plugins": plugins, "upstream": upstream.document() })
}

#[track_caller]
fn says(answer: &Response, status: u16, message: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "message": message }));
}

/// `Date` and `Authorization` of a request that jack signs.
fn signed(method: &str, target: &str) -> (String, String) {
    let date = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let text = format!("jack-id\n{method} {target}\ndate: {date}\n");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"jack-secret");
    let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
    let authorization = format!(
        "Signature keyId=\"jack-id\",algorithm=\"hmac-sha256\",headers=\"@request-target date\",signature=\"{signature}\""
    );
    (date, authorization)
}

#[tokio::test(flavor = "multi_thread")]
async fn hmac_auth_lets_in_what_is_signed_and_nothing_else() {
    let (gateway, upstream) = world(json!({ "hmac-auth": { "hide_credentials": true } })).await;
    let answer = gateway.get("/a").await;
    says(
        &answer,
        401,
        "client request can't be validated: missing Authorization header",
    );
    assert_eq!(
        answer.header("www-authenticate"),
        Some("hmac realm=\"hmac\"")
    );

    let (date, authorization) = signed("GET", "/a?x=%41");
    let send = |target: &str| {
        let request = gateway.get(target).header("Date", &date);
        request.header("Authorization", &authorization)
    };
    let answer = send("/a?x=%41").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
    assert!(answer.echoed_headers("authorization").is_empty());
    let hits = upstream.hits();
    for target in ["/a", "/a?x=A", "/a?x=%41&y", "/a/?x=%41"] {
        says(
            &send(target).await,
            401,
            "client request can't be validated",
        );
    }
    let posted = gateway.request("POST", "/a?x=%41").header("Date", &date);
    let posted = posted.header("Authorization", &authorization).await;
    says(&posted, 401, "client request can't be validated");
    assert_eq!(upstream.hits(), hits);
}

#[tokio::test(flavor = "multi_thread")]
async fn hmac_auth_holds_a_body_to_its_digest_and_sends_it_on() {
    let (gateway, upstream) =
        world(json!({ "hmac-auth": { "validate_request_body": true } })).await;
    let send = |body: &'static str, digested: &str| {
        let (date, authorization) = signed("POST", "/a");
        let hash = digest::digest(&digest::SHA256, digested.as_bytes());
        let request = gateway.request("POST", "/a").header("Date", date);
        let request = request.header("Authorization", authorization);
        request
            .header("Digest", format!("SHA-256={}", STANDARD.encode(hash)))
            .body(body)
    };
    let answer = send("{\"a\":1}", "{\"a\":1}").await.expect_status(200);
    assert_eq!(answer.json()["body"], "{\"a\":1}");
    says(
        &send("{\"a\":2}", "{\"a\":1}").await,
        401,
        "client request can't be validated",
    );
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn multi_auth_takes_the_first_that_lets_in() {
    let plugins = json!({ "multi-auth": { "auth_plugins": [
        { "basic-auth": { "hide_credentials": true } },
        { "key-auth": { "hide_credentials": true } },
        { "hmac-auth": {} },
    ] } });
    let (gateway, upstream) = world(plugins).await;
    let answer = gateway.get("/a?apikey=wrong").await;
    says(&answer, 401, "Authorization Failed");
    let challenges = answer
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    assert_eq!(challenges.count(), 3);
    assert_eq!(upstream.hits(), 0);

    let basic = STANDARD.encode("jack:jack-pass");
    let (date, signature) = signed("GET", "/a");
    let requests = [
        gateway
            .get("/a")
            .header("Authorization", format!("Basic {basic}")),
        gateway.get("/a").header("apikey", "jack-key"),
        gateway
            .get("/a")
            .header("Date", date)
            .header("Authorization", signature),
    ];
    for request in requests {
        let answer = request
            .header("X-Consumer-Username", "root")
            .await
            .expect_status(200);
        assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
        assert!(answer.echoed_headers("apikey").is_empty());
        assert_eq!(answer.header("www-authenticate"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn multi_auth_takes_authenticators_only() {
    let (gateway, upstream) = world(json!({ "key-auth": {} })).await;
    for (inner, message) in [
        ("cors", "cors plugin is not supported"),
        ("nothing", "nothing plugin did not found"),
    ] {
        let plugins =
            json!({ "multi-auth": { "auth_plugins": [{ "key-auth": {} }, { inner: {} }] } });
        let answer = gateway
            .admin()
            .put("/routes/2", &route(&upstream, plugins))
            .await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(message), "{}", answer.text());
    }
    let on_a_consumer = json!({ "username": "x", "plugins": { "multi-auth": { "auth_plugins": [{ "key-auth": {} }, { "jwt-auth": {} }] } } });
    assert_eq!(
        gateway
            .admin()
            .put("/consumers/x", &on_a_consumer)
            .await
            .status,
        400
    );
}

/// A token whose tag covers its header (RFC 7516).
fn jwe(kid: &str, text: &[u8]) -> String {
    let header =
        URL_SAFE_NO_PAD.encode(json!({ "alg": "dir", "enc": "A256GCM", "kid": kid }).to_string());
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, JWE_SECRET.as_bytes()).unwrap();
    let key = aead::LessSafeKey::new(key);
    let mut sealed = text.to_vec();
    let nonce = aead::Nonce::assume_unique_for_key(*b"123456789012");
    let aad = aead::Aad::from(header.as_bytes());
    let tag = key
        .seal_in_place_separate_tag(nonce, aad, &mut sealed)
        .unwrap();
    let [iv, text, tag] =
        [&b"123456789012"[..], &sealed, tag.as_ref()].map(|part| URL_SAFE_NO_PAD.encode(part));
    format!("{header}..{iv}.{text}.{tag}")
}

#[tokio::test(flavor = "multi_thread")]
async fn jwe_decrypt_hands_on_what_was_encrypted() {
    let (gateway, upstream) =
        world(json!({ "jwe-decrypt": { "forward_header": "X-Payload" } })).await;
    says(
        &gateway.get("/a").await,
        403,
        "missing JWE token in request",
    );
    let token = jwe("jack-jwe", b"{\"id\":7}");
    let send = |token: &str| {
        let request = gateway.get("/a").header("X-Payload", "forged");
        request.header("Authorization", format!("Bearer {token}"))
    };
    let answer = send(&token).await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-payload"), ["{\"id\":7}"]);
    let (untagged, _) = token.rsplit_once('.').unwrap();
    for tampered in [
        format!("{untagged}."),
        format!("{untagged}.AA"),
        token.replace("..", "..A"),
    ] {
        let answer = send(&tampered).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    says(
        &send(&jwe("jill", b"x")).await,
        400,
        "invalid kid in JWE token",
    );
    assert_eq!(upstream.hits(), 1);
}

const MODEL: &str = "[request_definition]
r = sub, obj, act
[policy_definition]
p = sub, obj, act
[policy_effect]
e = some(where (p.eft == allow))
[matchers]
m = keyMatch(r.sub, p.sub) && keyMatch(r.obj, p.obj) && keyMatch(r.act, p.act)";

#[tokio::test(flavor = "multi_thread")]
async fn authz_casbin_admits_as_the_policy_says_and_follows_its_metadata() {
    let plugins = json!({ "authz-casbin": { "username": "user", "model": MODEL, "policy": "p, alice, /a/*, GET" } });
    let (gateway, upstream) = world(plugins).await;
    let alice = |target: &str| gateway.get(target).header("user", "alice");
    alice("/a/b").await.expect_status(200);
    says(&alice("/a").await, 403, "Access Denied");
    says(&gateway.get("/a/b").await, 403, "Access Denied");
    // A path is judged as the upstream would take it.
    says(&alice("/a/../a").await, 403, "Access Denied");

    let metadata = |policy: &str| json!({ "model": MODEL, "policy": policy });
    let by_metadata = json!({ "authz-casbin": { "username": "user" } });
    let refused = gateway
        .admin()
        .put("/routes/1", &route(&upstream, by_metadata.clone()))
        .await;
    assert_eq!(refused.status, 400, "there is no metadata yet");
    gateway
        .put_all([
            ("/plugin_metadata/authz-casbin", metadata("p, alice, *, *")),
            ("/routes/1", route(&upstream, by_metadata)),
        ])
        .await;
    alice("/a").await.expect_status(200);
    gateway
        .put("/plugin_metadata/authz-casbin", metadata("p, bob, *, *"))
        .await;
    says(&alice("/a").await, 403, "Access Denied");
    gateway
        .get("/a")
        .header("user", "bob")
        .await
        .expect_status(200);
}
