//! Bearer tokens.

use std::time::Instant;

use serde_json::{Value, json};

use super::{World, decoded, now};
use crate::support::{Answer, PATIENCE, Reply, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn bearer_tokens_are_verified_with_the_keys_of_the_provider() {
    let world = World::with(json!({"bearer_only": true, "use_jwks": true})).await;
    let issuer = world.provider.issuer();
    let token = |changes: Value| {
        let mut claims = json!({"iss": issuer, "sub": "ann", "exp": now() + 60, "scope": "a b"});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        world.provider.token(&claims)
    };
    let ask = |token: &str| {
        let request = world.gateway.get("/page");
        request.header("Authorization", format!("Bearer {token}"))
    };
    let good = token(json!({}));
    let answer = ask(&good).await.expect_status(200);
    assert_eq!(answer.echoed_header("x-access-token"), Some(good.clone()));
    let user = decoded(&answer.echoed_header("x-userinfo").unwrap());
    assert_eq!(user["sub"], "ann");
    for bad in [
        token(json!({"exp": now() - 1})),
        token(json!({"iss": "http://elsewhere.test"})),
        token(json!({"nbf": now() + 4000})),
        format!("{}x", good),
        "x".to_owned(),
    ] {
        let answer = ask(&bad).await.expect_status(401);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(
            challenge.starts_with("Bearer realm=\"apisix\", error=\"invalid_token\""),
            "{challenge}"
        );
        assert!(!challenge.contains(&bad) || bad == "x");
    }
    let answer = world.gateway.get("/page").await.expect_status(401);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"apisix\"")
    );
    let fetched = world.provider.server.requests();
    let of = |path: &str| fetched.iter().filter(|r| r.target == path).count();
    assert_eq!(
        (of("/jwks"), of("/.well-known/openid-configuration")),
        (1, 1)
    );
    // The keys are kept while the provider is away.
    world.provider.behave(|m| {
        let gone = Answer::Reply(Reply::new(503, ""));
        m.instead.insert("/jwks".to_owned(), gone.clone());
        m.instead
            .insert("/.well-known/openid-configuration".to_owned(), gone);
    });
    ask(&token(json!({"jti": "2"}))).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn opaque_tokens_are_introspected_and_the_answer_is_kept() {
    let world = World::with(json!({
        "bearer_only": true, "required_scopes": ["read"],
        "claim_validator": {"audience": {"required": true, "match_with_client_id": true}},
    }))
    .await;
    let ask = |token: &str| {
        let request = world.gateway.get("/page");
        request.header("Authorization", format!("Bearer {token}"))
    };
    for _ in 0..3 {
        ask("opaque-good").await.expect_status(200);
    }
    assert_eq!(world.provider.asked("/introspect").len(), 1);
    ask("opaque-bad").await.expect_status(401);
    for broken in ["Bearer", "Bearer ", "Bearer a b"] {
        let request = world.gateway.get("/page").header("Authorization", broken);
        request.await.expect_status(400);
    }
    let doubled = world.gateway.get("/page");
    let doubled = doubled.header("Authorization", "Bearer opaque-good");
    let doubled = doubled.header("Authorization", "Bearer opaque-good");
    doubled.await.expect_status(400);
    let scopes = json!({"bearer_only": true, "required_scopes": ["admin"]});
    world.configure(scopes).await;
    let answer = ask("opaque-good").await.expect_status(403);
    assert_eq!(
        answer.text(),
        "{\"error\":\"required scopes admin not present\"}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_are_fetched_once_and_names_that_nobody_knows_fetch_none() {
    let world = World::with(json!({"bearer_only": true, "use_jwks": true})).await;
    let claims = json!({"iss": world.provider.issuer(), "sub": "ann", "exp": now() + 600});
    let began = Instant::now();
    // The keys are fetched anew every 10 s at most, whatever tokens say.
    let check_fetched = |least: usize| {
        let most = 1 + began.elapsed().as_secs() as usize / 10;
        let fetched = world.provider.asked("/jwks").len();
        assert!((least..=most).contains(&fetched), "{fetched} of {most}");
    };
    let ask = |token: String| {
        let request = world.gateway.get("/page");
        request.header("Authorization", format!("Bearer {token}"))
    };
    let old = world.provider.token(&claims);
    ask(old.clone()).await.expect_status(200);
    let bogus = |number: usize| {
        let header = json!({"alg": "ES256", "kid": format!("bogus-{number}")});
        world.provider.token_as(&header, &claims)
    };
    for number in 0..50 {
        ask(bogus(number)).await.expect_status(401);
    }
    check_fetched(1);
    world.provider.rotate("two");
    let new = world.provider.token(&claims);
    eventually("the new key is known", PATIENCE, async || {
        ask(new.clone()).await.status == 200
    })
    .await;
    check_fetched(2);
    ask(old).await.expect_status(401);
    for number in 0..50 {
        ask(bogus(number)).await.expect_status(401);
    }
    check_fetched(2);
    // The keys are of no use while the provider talks nonsense, but those that are known stay.
    world.provider.behave(|m| {
        let nonsense = Answer::text("{\"keys\": 7}");
        m.instead.insert("/jwks".to_owned(), nonsense);
    });
    ask(new).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_cannot_choose_how_it_is_verified() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::hmac;
    let world = World::with(json!({
        "bearer_only": true, "use_jwks": true,
        "claim_validator": {"audience": {"required": true, "match_with_client_id": true}},
    }))
    .await;
    let claims = json!({
        "iss": world.provider.issuer(), "sub": "ann", "exp": now() + 600, "aud": ["gateway", "x"],
    });
    let ask = |token: String| {
        let request = world.gateway.get("/page");
        request.header("Authorization", format!("bearer {token}"))
    };
    ask(world.provider.token(&claims)).await.expect_status(200);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let hmac = |header: Value, secret: &[u8]| {
        let message = format!("{}.{}", part(&header), part(&claims));
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, secret),
            message.as_bytes(),
        );
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let public = world.provider.public_key();
    for forged in [
        // With what everybody knows as the secret; with the secret of the client; with the secret among the keys.
        hmac(json!({"alg": "HS256", "kid": "one"}), &public),
        hmac(json!({"alg": "HS256"}), b"hush"),
        hmac(json!({"alg": "HS256", "kid": "secret"}), b"secret"),
        hmac(json!({"alg": "ES256", "kid": "secret"}), b"secret"),
        format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims)),
        format!(
            "{}.{}.",
            part(&json!({"alg": "None", "kid": "one"})),
            part(&claims)
        ),
        world
            .provider
            .token_as(&json!({"alg": "ES384", "kid": "one"}), &claims),
        world
            .provider
            .token_as(&json!({"alg": "RS256", "kid": "one"}), &claims),
        world.provider.token_as(
            &json!({"alg": "ES256", "kid": "one", "crit": ["x"]}),
            &claims,
        ),
        world
            .provider
            .token_as(&json!({"alg": "ES256", "kid": 1}), &claims),
        world.provider.token_as(&json!({"kid": "one"}), &claims),
        format!("{}.x", world.provider.token(&claims)),
        world.provider.token(&json!([claims])),
    ] {
        ask(forged.clone()).await.expect_status(401);
    }
    for (changes, status) in [
        (json!({"iss": "https://elsewhere.test"}), 401),
        (json!({"iss": null}), 401),
        (json!({"aud": "another"}), 403),
        (json!({"aud": null}), 403),
        (json!({"aud": {"gateway": 1}}), 403),
        (json!({"exp": "soon"}), 401),
    ] {
        let mut claims = claims.clone();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let answer = ask(world.provider.token(&claims)).await;
        assert_eq!(answer.status, status, "{changes}");
    }
    assert_eq!(world.upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_introspection_says_is_kept_for_its_time_and_a_refusal_is_not() {
    let world =
        World::with(json!({"bearer_only": true, "introspection_addon_headers": ["X-Tenant"]}))
            .await;
    let ask = |token: &str, tenant: &str| {
        let request = world.gateway.get("/page").header("X-Tenant", tenant);
        request.header("Authorization", format!("Bearer {token}"))
    };
    let asked = || world.provider.asked("/introspect").len();
    for _ in 0..3 {
        ask("opaque-good", "a").await.expect_status(200);
    }
    assert_eq!(asked(), 1);
    // The endpoint gets this header, and may say something else with another one.
    ask("opaque-good", "b").await.expect_status(200);
    assert_eq!(asked(), 2);
    let told = world.provider.server.requests();
    let told = told.iter().filter(|r| r.target == "/introspect");
    let tenants: Vec<_> = told.filter_map(|r| r.header("x-tenant")).collect();
    assert_eq!(tenants, ["a", "b"]);
    for number in 1..3 {
        ask("opaque-bad", "a").await.expect_status(401);
        assert_eq!(asked(), 2 + number);
    }
    let say = |answer: &str| {
        let answer = Answer::text(answer);
        world
            .provider
            .behave(|m| drop(m.instead.insert("/introspect".to_owned(), answer)));
    };
    // What does not say how long it holds is asked for each time; what is over is over.
    for (answer, status) in [
        ("{\"active\": true}", 200),
        ("{\"active\": true, \"exp\": 1000}", 401),
        ("{\"active\": \"true\"}", 401),
        ("{\"active\": 1}", 401),
        ("true", 401),
        ("nonsense", 401),
    ] {
        say(answer);
        let before = asked();
        ask("opaque-other", "a").await.expect_status(status);
        ask("opaque-other", "a").await.expect_status(status);
        assert_eq!(asked(), before + 2, "{answer}");
    }
    let interval = json!({"bearer_only": true, "introspection_interval": 1});
    world.configure(interval).await;
    say(&json!({"active": true, "exp": now() + 600}).to_string());
    ask("opaque-third", "a").await.expect_status(200);
    say("{\"active\": false}");
    eventually("it is asked again", PATIENCE, async || {
        ask("opaque-third", "a").await.status == 401
    })
    .await;
}
