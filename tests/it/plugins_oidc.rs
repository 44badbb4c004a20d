//! `openid-connect`, with a browser on one side and a provider on the other.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, OpenidProvider, Reply, Response, Upstream, form_fields};

/// A gateway with the plugin on every path, its provider and its upstream.
struct World {
    gateway: Gateway,
    provider: OpenidProvider,
    upstream: Upstream,
}

impl World {
    async fn with(more: Value) -> Self {
        let gateway = Gateway::start().await;
        let provider = OpenidProvider::start().await;
        let upstream = Upstream::start().await;
        let world = Self {
            gateway,
            provider,
            upstream,
        };
        world.configure(more).await;
        world
    }

    async fn configure(&self, more: Value) {
        let mut config = json!({
            "client_id": "gateway", "client_secret": "hush", "discovery": self.provider.discovery(),
            "redirect_uri": "/callback", "use_pkce": true, "use_nonce": true, "timeout": 2,
            "session": {"secret": "0123456789abcdef"}, "set_refresh_token_header": true,
        });
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        let route = json!({
            "uri": "/*", "plugins": {"openid-connect": config}, "upstream": self.upstream.document(),
        });
        self.gateway.put("/routes/1", route).await;
    }
}

/// Keeps cookies as a browser does.
#[derive(Default, Clone)]
struct Browser(BTreeMap<String, String>);

impl Browser {
    async fn get(&mut self, world: &World, target: &str) -> Response {
        let mut request = world.gateway.get(target).host("app.test");
        let cookies: Vec<_> = self.0.iter().map(|(n, v)| format!("{n}={v}")).collect();
        if !cookies.is_empty() {
            request = request.header("Cookie", cookies.join("; "));
        }
        let response = request.await;
        for cookie in response.headers.all("set-cookie") {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            match cookie.contains("Max-Age=0") {
                true => drop(self.0.remove(name)),
                false => drop(self.0.insert(name.to_owned(), value.to_owned())),
            }
        }
        response
    }

    /// Goes to the provider and back; the answer to the callback.
    async fn log_in(&mut self, world: &World, target: &str) -> Response {
        let sent = self.get(world, target).await.expect_status(302);
        let back = world.provider.log_in(sent.header("location").unwrap());
        let back = back.strip_prefix("http://app.test").unwrap().to_owned();
        self.get(world, &back).await
    }
}

fn decoded(text: &str) -> Value {
    serde_json::from_slice(&STANDARD.decode(text).unwrap()).unwrap()
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_and_the_upstream_learns_who_it_is() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    let back = browser
        .log_in(&world, "/page?a=b%20c")
        .await
        .expect_status(302);
    assert_eq!(back.header("location"), Some("/page?a=b%20c"));
    let cookies = back.headers.all("set-cookie");
    let session = cookies.iter().find(|c| c.starts_with("session=")).unwrap();
    assert!(
        session.ends_with("; Path=/; HttpOnly; SameSite=Lax"),
        "{session}"
    );
    assert!(!session.contains("at-") && !session.contains("ann"));
    let answer = browser.get(&world, "/page").await.expect_status(200);
    assert_eq!(
        answer.echoed_header("x-access-token").as_deref(),
        Some("at-2")
    );
    assert_eq!(
        answer.echoed_header("x-refresh-token").as_deref(),
        Some("rt-2")
    );
    let user = decoded(&answer.echoed_header("x-userinfo").unwrap());
    assert_eq!(user["email"], "ann@example.com");
    let claims = decoded(&answer.echoed_header("x-id-token").unwrap());
    assert_eq!(claims["sub"], "ann");
    assert_eq!(
        answer.echoed_header("cookie"),
        None,
        "the session is not for the upstream"
    );
    assert_eq!(world.provider.asked("/token").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_is_good_for_one_browser_and_one_time() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    let sent = browser.get(&world, "/page").await.expect_status(302);
    let back = world.provider.log_in(sent.header("location").unwrap());
    let back = back.strip_prefix("http://app.test").unwrap();
    // Another browser, to which somebody gave the address: no session, and the code is not redeemed.
    let mut other = Browser::default();
    let answer = other.get(&world, back).await.expect_status(302);
    assert_eq!(answer.header("location"), Some("/"));
    assert!(other.0.is_empty() && world.provider.asked("/token").is_empty());
    // With the cookie of another login under this one's name.
    other.get(&world, "/page").await.expect_status(302);
    let (own, foreign) = (
        browser.0.keys().next().unwrap().clone(),
        other.0.values().next().unwrap().clone(),
    );
    let mut forged = Browser([(own, foreign)].into());
    forged.get(&world, back).await.expect_status(302);
    assert!(!forged.0.contains_key("session") && world.provider.asked("/token").is_empty());

    browser.get(&world, back).await.expect_status(302);
    assert!(browser.0.contains_key("session"));
    let replayed = browser.get(&world, back).await.expect_status(302);
    assert_eq!(replayed.header("location"), Some("/"));
    assert_eq!(world.provider.asked("/token").len(), 1);
    // Arguments that stand twice could be understood in two ways.
    let doubled = format!("{back}&state=x");
    browser.get(&world, &doubled).await.expect_status(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logins_at_once_both_succeed_and_many_do_not_pile_up() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    let mut sent = Vec::new();
    for path in ["/one", "/two"] {
        let answer = browser.get(&world, path).await.expect_status(302);
        sent.push((path, answer.header("location").unwrap().to_owned()));
    }
    for (path, location) in sent {
        let back = world.provider.log_in(&location);
        let back = back.strip_prefix("http://app.test").unwrap();
        let answer = browser.get(&world, back).await.expect_status(302);
        assert_eq!(answer.header("location"), Some(path));
    }
    let mut polling = Browser::default();
    for _ in 0..12 {
        polling.get(&world, "/poll").await.expect_status(302);
    }
    assert_eq!(polling.0.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_that_does_not_fit_makes_no_session() {
    let world = World::with(json!({})).await;
    for claims in [
        json!({"nonce": "another"}),
        json!({"nonce": null}),
        json!({"iss": "http://elsewhere.test"}),
        json!({"aud": "another"}),
        json!({"aud": ["gateway", "another"]}),
        json!({"azp": "another"}),
        json!({"exp": now() - 10}),
        json!({"exp": null}),
        json!({"exp": "tomorrow"}),
        json!({"iat": now() + 4000}),
        json!({"sub": null}),
    ] {
        world.provider.behave(|m| m.claims = claims.clone());
        let mut browser = Browser::default();
        let answer = browser.log_in(&world, "/page").await.expect_status(500);
        assert!(!browser.0.contains_key("session"), "{claims}");
        assert!(!answer.text().contains("at-"));
    }
    assert_eq!(world.upstream.hits(), 0);
    let log = world.gateway.log();
    assert!(!log.contains("at-2") && !log.contains("rt-2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_expired_is_renewed_once_for_all() {
    let world = World::with(json!({})).await;
    world.provider.behave(|m| m.expires_in = 1);
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    world.provider.behave(|m| m.expires_in = 3600);
    let same = browser.clone();
    // Each refresh token of this provider is good for one use.
    let all = (0..5).map(|_| {
        let mut tab = same.clone();
        let world = &world;
        async move { tab.get(world, "/page").await.expect_status(200) }
    });
    for answer in futures::future::join_all(all).await {
        assert_eq!(
            answer.echoed_header("x-access-token").as_deref(),
            Some("at-3")
        );
        assert!(answer.headers.has("set-cookie"));
    }
    browser.get(&world, "/page").await.expect_status(200);
    let after = browser.get(&world, "/page").await.expect_status(200);
    assert!(!after.headers.has("set-cookie"));
    assert_eq!(world.provider.asked("/token").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_ends_the_session_here_and_there() {
    let changes =
        json!({"revoke_tokens_on_logout": true, "post_logout_redirect_uri": "http://app.test/bye"});
    let world = World::with(changes).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    let answer = browser.get(&world, "/logout").await.expect_status(302);
    let (endpoint, query) = answer.header("location").unwrap().split_once('?').unwrap();
    assert_eq!(endpoint, format!("{}/end", world.provider.issuer()));
    let query = form_fields(query);
    assert_eq!(query["post_logout_redirect_uri"], "http://app.test/bye");
    assert!(query["id_token_hint"].split('.').count() == 3);
    assert!(browser.0.is_empty());
    let revoked = world.provider.asked("/revoke");
    let tokens: Vec<_> = revoked.iter().map(|form| &*form["token"]).collect();
    assert_eq!(tokens, ["rt-2", "at-2"]);
    browser.get(&world, "/page").await.expect_status(302);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_of_itself_reaches_nobody() {
    let world = World::with(json!({"unauth_action": "pass"})).await;
    let names = [
        "X-Userinfo",
        "X-Access-Token",
        "X-ID-Token",
        "X-Refresh-Token",
        "X-Raw-ID-Token",
        "X_Userinfo",
        "x_raw-id_token",
    ];
    let mut request = world.gateway.get("/page");
    for name in names {
        request = request.header(name, "root").header(name, "twice");
    }
    let answer = request.await.expect_status(200);
    for name in names {
        assert_eq!(answer.echoed_header(name), None, "{name}");
    }
    world.configure(json!({"unauth_action": "deny"})).await;
    world.gateway.get("/page").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_are_not_ours_are_no_session() {
    let world = World::with(json!({"unauth_action": "deny"})).await;
    world.configure(json!({})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    let good = browser.0["session"].clone();
    world.configure(json!({"unauth_action": "deny"})).await;
    browser.get(&world, "/page").await.expect_status(200);
    let mut broken = good.clone().into_bytes();
    let last = broken.len() - 3;
    broken[last] ^= 1;
    for cookies in [
        format!("session={good}; session={good}"),
        format!("session={}", String::from_utf8(broken).unwrap()),
        format!("session=2.{}", &good[2..]),
        format!("session=99999999999999999999.{good}"),
        format!("session={}", "1.".repeat(4000)),
        "session=".to_owned(),
        "session=1.".to_owned(),
    ] {
        let request = world.gateway.get("/page").header("Cookie", &cookies);
        request.await.expect_status(401);
    }
    let other = json!({"unauth_action": "deny", "session": {"secret": "another secret!!"}});
    world.configure(other).await;
    browser.get(&world, "/page").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_another_host() {
    let world = World::with(json!({})).await;
    for target in [
        "//evil.test/x",
        "/%5Cevil.test",
        "/\\evil.test",
        "///evil.test",
    ] {
        let mut browser = Browser::default();
        let sent = browser.get(&world, target).await;
        if sent.status == 400 {
            continue;
        }
        let back = world.provider.log_in(sent.header("location").unwrap());
        let back = back.strip_prefix("http://app.test").unwrap();
        let answer = browser.get(&world, back).await.expect_status(302);
        let location = answer.header("location").unwrap();
        assert!(
            location.starts_with('/') && !location.starts_with("//") && !location.contains('\\'),
            "{location}"
        );
    }
}

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
async fn a_provider_that_is_slow_absent_or_mad_costs_its_timeout() {
    let world = World::with(json!({"timeout": 1})).await;
    let set = |path: &str, answer: Answer| {
        world
            .provider
            .behave(|m| drop(m.instead.insert(path.to_owned(), answer)));
    };
    let slow = || Answer::Reply(Reply::new(200, "{}")).after(Duration::from_secs(30));
    set("/.well-known/openid-configuration", slow());
    let began = Instant::now();
    world.gateway.get("/page").await.expect_status(500);
    assert!(began.elapsed() < Duration::from_secs(10));
    world.provider.behave(|m| m.instead.clear());
    let mut browser = Browser::default();
    crate::support::eventually(
        "the provider is asked again",
        crate::support::PATIENCE,
        async || world.gateway.get("/page").await.status == 302,
    )
    .await;
    for answer in [
        slow(),
        Answer::text("nonsense"),
        Answer::text("{\"access_token\": 7}"),
        Answer::text("{\"access_token\": \"at-0\"}"),
        Answer::text("x".repeat(2_000_000)),
        Answer::Reply(Reply::new(302, "").header("Location", "http://elsewhere.test/")),
    ] {
        set("/token", answer);
        browser.log_in(&world, "/page").await.expect_status(500);
        assert!(!browser.0.contains_key("session"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_session_travels_in_several_cookies() {
    let world = World::with(json!({})).await;
    world
        .provider
        .behave(|m| m.claims = json!({"groups": "g".repeat(5000)}));
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    assert!(browser.0.contains_key("session3"), "{:?}", browser.0.keys());
    assert!(browser.0.values().all(|value| value.len() < 4000));
    let answer = browser.get(&world, "/page").await.expect_status(200);
    assert_eq!(answer.echoed_header("cookie"), None);
    let mut part = browser.clone();
    part.0.remove("session2");
    part.get(&world, "/page").await.expect_status(302);
}
