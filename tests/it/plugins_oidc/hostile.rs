//! Clients and providers that mean no good, or do no good.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Browser, World, now};
use crate::support::{Answer, PATIENCE, Reply, eventually};

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
    eventually("the provider is asked again", PATIENCE, async || {
        world.gateway.get("/page").await.status == 302
    })
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
    assert!(!log.contains("at-2") && !log.contains("rt-2") && !log.contains("code-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_document_that_is_none_lets_nobody_in() {
    let world = World::with(json!({})).await;
    let path = "/.well-known/openid-configuration";
    let elsewhere = Reply::new(302, "").header("Location", world.provider.discovery());
    for (number, answer) in [
        Answer::text("<html>"),
        Answer::text("[]"),
        Answer::text("{}"),
        Answer::text("{\"issuer\": 7}"),
        Answer::text("{\"issuer\": \"x\", \"authorization_endpoint\": \"javascript:alert(1)\"}"),
        Answer::text(format!("{{\"issuer\": \"{}\"}}", "x".repeat(2_000_000))),
        Answer::status(404),
        Answer::Reply(elsewhere),
        Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{".to_vec()),
        Answer::Reset,
    ]
    .into_iter()
    .enumerate()
    {
        world
            .provider
            .behave(|m| drop(m.instead.insert(path.to_owned(), answer)));
        // Each configuration has a document of its own.
        let discovery = format!("{}?{number}", world.provider.discovery());
        for action in ["auth", "deny"] {
            let config = json!({"discovery": discovery, "unauth_action": action});
            world.configure(config).await;
            let answer = world.gateway.get("/page").await;
            let expected = if action == "auth" { 500 } else { 401 };
            assert_eq!(answer.status, expected, "{number}");
        }
        let config = json!({"discovery": discovery, "bearer_only": true, "use_jwks": true});
        world.configure(config).await;
        let token = world
            .provider
            .token(&json!({"iss": "x", "exp": now() + 60}));
        let request = world.gateway.get("/page");
        let request = request.header("Authorization", format!("Bearer {token}"));
        request.await.expect_status(401);
    }
    assert_eq!(world.upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_clients_session_and_bytes_that_are_no_text_are_no_session() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    for other in [
        json!({"client_id": "another"}),
        json!({"discovery": format!("{}?x", world.provider.discovery())}),
    ] {
        let mut config = other;
        config["unauth_action"] = "deny".into();
        world.configure(config).await;
        browser
            .clone()
            .get(&world, "/page")
            .await
            .expect_status(401);
    }
    world.configure(json!({"unauth_action": "deny"})).await;
    browser.get(&world, "/page").await.expect_status(200);
    for cookie in [
        b"session=1.\xff\xfe".to_vec(),
        b"\xff=\xff; session".to_vec(),
        b"=; ;; session=; session_flow_=x".to_vec(),
        format!("session=1.{}", "A".repeat(20_000)).into_bytes(),
        format!("session=5.{}", "A".repeat(4000)).into_bytes(),
    ] {
        let answer = world.gateway.get("/page").header("Cookie", &cookie).await;
        assert!(
            matches!(answer.status, 400 | 401 | 431),
            "{}",
            answer.status
        );
    }
    // A callback with what nobody sent.
    for query in [
        "",
        "?code=x",
        "?state=",
        "?state=x&code=y",
        "?error=access_denied",
        "?state=%ff&code=%00",
    ] {
        let answer = world.gateway.get(&format!("/callback{query}")).await;
        assert!(
            matches!(answer.status, 302 | 400),
            "{query}: {}",
            answer.status
        );
        assert!(
            answer.header("location").is_none_or(|to| to == "/"),
            "{query}"
        );
    }
    assert_eq!(world.provider.asked("/token").len(), 1);
}
