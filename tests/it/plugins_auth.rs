//! Who is asking: the authentication plugins, and the restriction by consumer.

use serde_json::{Value, json};

use crate::support::{Gateway, Response, Upstream};

/// Signed with `SECRET`, HS256, key `jack-key`, valid until 2100.
const VALID: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqYWNrLWtleSIsImV4cCI6NDEwMjQ0NDgwMH0.j-N047RQPrPxPr3lsTGlSA2fUIvq9yVOIwkXYOqg3ME";
/// The same, expired in 2001.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJrZXkiOiJqYWNrLWtleSIsImV4cCI6MTAwMDAwMDAwMH0.bUNcNIrg4DyQ-cBqPsOqt5U3O55bTzAzeqc_Catf7_A";
/// The claims of `VALID` with `alg: none` and no signature.
const UNSIGNED: &str =
    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJrZXkiOiJqYWNrLWtleSIsImV4cCI6NDEwMjQ0NDgwMH0.";
const SECRET: &str = "a-secret-of-jack-for-tests-only";

/// A gateway with consumers jack and jill, and a route `/a` with these plugins.
async fn world(plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let consumer = |name: &str| {
        json!({
            "username": name,
            "labels": { "custom_id": format!("{name}-custom") },
            "plugins": {
                "key-auth": { "key": format!("{name}-key") },
                "basic-auth": { "username": name, "password": format!("{name}-pass") },
                "jwt-auth": { "key": format!("{name}-key"), "secret": SECRET },
            },
        })
    };
    gateway
        .put_all([
            ("/consumers/jack", consumer("jack")),
            ("/consumers/jill", consumer("jill")),
            (
                "/routes/1",
                json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() }),
            ),
        ])
        .await;
    (gateway, upstream)
}

#[track_caller]
fn refused(answer: &Response, message: &str, challenge: &str) {
    assert_eq!(answer.status, 401, "{}", answer.text());
    assert_eq!(answer.json(), json!({ "message": message }));
    assert_eq!(answer.header("www-authenticate"), Some(challenge));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_auth_lets_in_whom_it_knows_and_tells_the_upstream_who() {
    let (gateway, upstream) = world(json!({ "key-auth": {} })).await;
    let challenge = "apikey realm=\"key\"";
    refused(
        &gateway.get("/a").await,
        "Missing API key in request",
        challenge,
    );
    let wrong = gateway.get("/a").header("apikey", "nobody-key").await;
    refused(&wrong, "Invalid API key in request", challenge);
    assert_eq!(upstream.hits(), 0);

    let answer = gateway
        .get("/a")
        .header("apikey", "jack-key")
        .header("X-Consumer-Username", "admin")
        .await
        .expect_status(200);
    assert_eq!(
        answer.echoed_headers("x-consumer-username"),
        ["jack"],
        "not what the client says"
    );
    assert_eq!(
        answer.echoed_headers("x-consumer-custom-id"),
        ["jack-custom"]
    );
    assert_eq!(answer.echoed_headers("apikey"), ["jack-key"]);
    gateway.get("/a?apikey=jill-key").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_auth_hides_credentials_when_asked() {
    let plugins =
        json!({ "key-auth": { "hide_credentials": true, "header": "X-Key", "query": "k" } });
    let (gateway, _upstream) = world(plugins).await;
    let answer = gateway
        .get("/a")
        .header("x-key", "jack-key")
        .await
        .expect_status(200);
    assert!(answer.echoed_headers("x-key").is_empty());
    let answer = gateway
        .get("/a?x=1&k=jack-key&y=2")
        .await
        .expect_status(200);
    let target = answer.json()["target"].as_str().unwrap().to_owned();
    assert!(!target.contains("jack-key") && target.contains("x=1") && target.contains("y=2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn key_auth_accepts_credentials_of_a_consumer() {
    let (gateway, _upstream) = world(json!({ "key-auth": {} })).await;
    let credential = json!({ "plugins": { "key-auth": { "key": "second-key" } } });
    gateway
        .put("/consumers/jack/credentials/c-2", credential)
        .await;
    let answer = gateway
        .get("/a")
        .header("apikey", "second-key")
        .await
        .expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
    assert_eq!(answer.echoed_headers("x-credential-identifier"), ["c-2"]);
    gateway.remove("/consumers/jack/credentials/c-2").await;
    gateway
        .get("/a")
        .header("apikey", "second-key")
        .await
        .expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_auth_may_let_strangers_in_under_a_name() {
    let (gateway, _upstream) = world(json!({ "key-auth": { "anonymous_consumer": "jill" } })).await;
    let answer = gateway.get("/a").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jill"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn basic_auth_checks_name_and_password() {
    let (gateway, _upstream) = world(json!({ "basic-auth": {} })).await;
    let challenge = "Basic realm=\"basic\"";
    refused(
        &gateway.get("/a").await,
        "Missing authorization in request",
        challenge,
    );
    let ask = |value: &str| gateway.get("/a").header("Authorization", value);
    let junk = ask("Basic !!!").await;
    refused(&junk, "Invalid authorization in request", challenge);
    // jack:wrong, nobody:jack-pass, jack:jack-pass
    refused(
        &ask("Basic amFjazp3cm9uZw==").await,
        "Invalid user authorization",
        challenge,
    );
    let nobody = ask("Basic bm9ib2R5OmphY2stcGFzcw==").await;
    refused(&nobody, "Invalid user authorization", challenge);
    let answer = ask("Basic amFjazpqYWNrLXBhc3M=").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn jwt_auth_checks_signature_and_time() {
    let (gateway, _upstream) = world(json!({ "jwt-auth": {} })).await;
    let challenge = "Bearer realm=\"jwt\"";
    refused(
        &gateway.get("/a").await,
        "Missing JWT token in request",
        challenge,
    );
    let ask = |token: &str| {
        gateway
            .get("/a")
            .header("Authorization", format!("Bearer {token}"))
    };

    let answer = ask(VALID).await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-consumer-username"), ["jack"]);
    gateway
        .get(&format!("/a?jwt={VALID}"))
        .await
        .expect_status(200);
    let cookie = format!("jwt={VALID}");
    gateway
        .get("/a")
        .header("Cookie", cookie)
        .await
        .expect_status(200);

    refused(&ask("not-a-token").await, "JWT token invalid", challenge);
    refused(&ask(EXPIRED).await, "failed to verify jwt", challenge);
    ask(UNSIGNED).await.expect_status(401);
    let forged = format!("{}AAAA", &VALID[..VALID.len() - 4]);
    refused(&ask(&forged).await, "failed to verify jwt", challenge);
    assert!(
        !gateway.log().contains(SECRET),
        "no log line contains a secret"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_restriction_admits_by_name() {
    let plugins = json!({
        "key-auth": {},
        "consumer-restriction": { "whitelist": ["jack"] },
    });
    let (gateway, upstream) = world(plugins).await;
    gateway
        .get("/a")
        .header("apikey", "jack-key")
        .await
        .expect_status(200);
    let answer = gateway
        .get("/a")
        .header("apikey", "jill-key")
        .await
        .expect_status(403);
    assert_eq!(
        answer.json(),
        json!({ "message": "The consumer_name is forbidden." })
    );
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_restriction_refuses_by_name_method_and_for_want_of_a_name() {
    let plugins = json!({
        "key-auth": {},
        "consumer-restriction": {
            "blacklist": ["jill"], "rejected_code": 451, "rejected_msg": "not you",
        },
    });
    let (gateway, upstream) = world(plugins).await;
    gateway
        .get("/a")
        .header("apikey", "jack-key")
        .await
        .expect_status(200);
    let answer = gateway
        .get("/a")
        .header("apikey", "jill-key")
        .await
        .expect_status(451);
    assert_eq!(answer.json(), json!({ "message": "not you" }));

    let by_method = json!([{ "user": "jack", "methods": ["GET"] }]);
    gateway
        .put_all([
            (
                "/routes/2",
                json!({
                    "uri": "/methods",
                    "upstream": upstream.document(),
                    "plugins": {
                        "key-auth": {},
                        "consumer-restriction": { "allowed_by_methods": by_method },
                    },
                }),
            ),
            (
                "/routes/3",
                json!({
                    "uri": "/nobody",
                    "upstream": upstream.document(),
                    "plugins": { "consumer-restriction": { "whitelist": ["jack"] } },
                }),
            ),
        ])
        .await;
    gateway
        .get("/methods")
        .header("apikey", "jack-key")
        .await
        .expect_status(200);
    let post = gateway
        .request("POST", "/methods")
        .header("apikey", "jack-key");
    post.await.expect_status(403);
    gateway.get("/nobody").await.expect_status(401);
}
