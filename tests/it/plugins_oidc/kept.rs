//! Sessions in Redis, with real Redis servers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Browser, World};
use crate::plugins_redis::server::{self, Server};
use crate::support::{Authority, Gateway, OpenidProvider, PATIENCE, eventually};

/// Sessions there, with changes to what is said of Redis.
fn at(port: u16, more: Value) -> Value {
    let mut redis = json!({"port": port, "connect_timeout": 5000, "read_timeout": 5000});
    for (name, value) in more.as_object().unwrap() {
        redis[name] = value.clone();
    }
    json!({"secret": "0123456789abcdef", "storage": "redis", "redis": redis})
}

fn with(mut session: Value, more: Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        session[name] = value.clone();
    }
    json!({ "session": session })
}

fn keys(redis: &Server) -> Vec<String> {
    redis.ask("KEYS *")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_good_at_all_gateways_until_it_ends_at_one() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let config = with(at(redis.port(), json!({})), json!({}));
    let world = World::with(config.clone()).await;
    let other = Gateway::start().await;
    world.configure_on(&other, config).await;
    world
        .provider
        .behave(|m| m.claims = json!({"groups": "g".repeat(11_000)}));
    let mut browser = Browser::default();
    let back = browser.log_in(&world, "/page").await.expect_status(302);
    assert_eq!(back.header("location"), Some("/page"));
    let cookies = back.headers.all("set-cookie");
    let cookie = cookies
        .iter()
        .find(|c| c.starts_with("session=1."))
        .unwrap();
    assert!(
        cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax") && cookie.len() < 250,
        "{cookie}"
    );

    for gateway in [&world.gateway, &other] {
        let answer = browser.get_at(gateway, "/page").await.expect_status(200);
        assert_eq!(
            answer.echoed_header("x-access-token").as_deref(),
            Some("at-2")
        );
        assert_eq!(answer.echoed_header("cookie"), None);
    }
    let [key] = &keys(&redis)[..] else {
        panic!("{:?}", keys(&redis));
    };
    assert!(
        key.starts_with("sessions:session:") && key.len() > 50,
        "{key}"
    );
    let sealed: String = redis.ask(&format!("GET {key}"));
    // Long enough not to stand in a ciphertext by chance.
    for secret in ["gggggggggg", "access_token", "id_token", "refresh_token"] {
        assert!(!sealed.contains(secret), "{secret}");
    }
    assert!(!browser.0["session"].contains(key.rsplit(':').next().unwrap()));
    let left: i64 = redis.ask(&format!("TTL {key}"));
    assert!((880..=900).contains(&left), "{left}");

    let stolen = browser.clone();
    browser.get_at(&other, "/logout").await.expect_status(302);
    assert!(browser.0.is_empty() && keys(&redis).is_empty());
    for gateway in [&world.gateway, &other] {
        stolen
            .clone()
            .get_at(gateway, "/page")
            .await
            .expect_status(302);
    }
    assert!(keys(&redis).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_takes_the_place_of_the_session_before() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let session = at(redis.port(), json!({"prefix": "a", "database": 3}));
    let world = World::with(with(session, json!({"cookie_name": "b"}))).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    let before = browser.clone();
    // In another tab it was begun before.
    let mut fresh = Browser::default();
    let sent = fresh.get(&world, "/page").await.expect_status(302);
    let back = world.provider.log_in(sent.header("location").unwrap());
    let back = back.strip_prefix("http://app.test").unwrap();
    browser.0.extend(fresh.0);
    browser.get(&world, back).await.expect_status(302);
    assert_ne!(browser.0["b"], before.0["b"]);
    browser.get(&world, "/page").await.expect_status(200);
    before.clone().get(&world, "/page").await.expect_status(302);
    let info: String = redis.ask("INFO keyspace");
    assert!(
        info.contains("db3:keys=1,") && !info.contains("db0"),
        "{info}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_renewed_once_for_all_gateways() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let config = with(at(redis.port(), json!({})), json!({}));
    let world = World::with(config.clone()).await;
    let other = Gateway::start().await;
    world.configure_on(&other, config).await;
    // Each refresh token of this provider is good for one use.
    world.provider.behave(|m| m.expires_in = 1);
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    world.provider.behave(|m| m.expires_in = 3600);
    let all = (0..12).map(|number| {
        let mut tab = browser.clone();
        let gateway = [&world.gateway, &other][number % 2];
        async move { tab.get_at(gateway, "/page").await }
    });
    for answer in futures::future::join_all(all).await {
        let answer = answer.expect_status(200);
        assert_eq!(
            answer.echoed_header("x-access-token").as_deref(),
            Some("at-3")
        );
    }
    assert_eq!(world.provider.asked("/token").len(), 2);
    assert_eq!(world.provider.faults(), [""; 0]);
    assert_eq!(keys(&redis).len(), 1, "no lock is left");

    // A gateway that died while it renewed holds nobody up for ever.
    let key = keys(&redis).remove(0);
    let mut dying = Browser::default();
    world.provider.behave(|m| m.expires_in = 1);
    dying.log_in(&world, "/page").await.expect_status(302);
    world.provider.behave(|m| m.expires_in = 3600);
    let new = keys(&redis).into_iter().find(|k| *k != key).unwrap();
    let _: String = redis.ask(&format!("SET {new}:renewal dead PX 1500"));
    let began = Instant::now();
    dying.get(&world, "/page").await.expect_status(200);
    assert!(began.elapsed() > Duration::from_secs(1));
    assert_eq!(world.provider.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_no_door_is_open_and_its_return_is_noticed() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let quick = json!({"connect_timeout": 500, "send_timeout": 500, "read_timeout": 500});
    let session = with(at(redis.port(), quick), json!({}))["session"].take();
    let world = World::with(json!({"session": session})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    redis.freeze();
    let began = Instant::now();
    browser.get(&world, "/page").await.expect_status(500);
    assert!(began.elapsed() < Duration::from_secs(10));
    redis.thaw();
    let same = browser.clone();
    eventually("Redis is asked again", PATIENCE, async || {
        same.clone().get(&world, "/page").await.status == 200
    })
    .await;

    let port = redis.stop();
    for action in ["auth", "deny", "pass"] {
        world
            .configure(json!({"session": session, "unauth_action": action}))
            .await;
        browser.get(&world, "/page").await.expect_status(500);
    }
    world.configure(json!({"session": session})).await;
    // Nothing has ended, so the user can try again.
    browser.get(&world, "/logout").await.expect_status(503);
    assert_eq!(browser.0, same.0);
    let mut new = Browser::default();
    let sent = new.get(&world, "/page").await.expect_status(302);
    let back = world.provider.log_in(sent.header("location").unwrap());
    let back = back.strip_prefix("http://app.test").unwrap();
    new.get(&world, back).await.expect_status(500);
    assert!(!new.0.contains_key("session"));

    let redis = Server::again(port).await;
    eventually("Redis is back", PATIENCE, async || {
        browser.clone().get(&world, "/page").await.status == 302
    })
    .await;
    assert!(keys(&redis).is_empty());
    let mut new = Browser::default();
    new.log_in(&world, "/page").await.expect_status(302);
    new.get(&world, "/page").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_to_redis_or_into_cookies_is_no_session() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let denying = |session: Value| json!({"session": session["session"], "unauth_action": "deny"});
    let config = with(at(redis.port(), json!({})), json!({}));
    let world = World::with(config.clone()).await;
    let (mut one, mut two) = (Browser::default(), Browser::default());
    one.log_in(&world, "/page").await.expect_status(302);
    let first = keys(&redis).remove(0);
    two.log_in(&world, "/page").await.expect_status(302);
    let second = keys(&redis).into_iter().find(|k| *k != first).unwrap();
    world.configure(denying(config.clone())).await;
    one.get(&world, "/page").await.expect_status(200);
    two.get(&world, "/page").await.expect_status(200);
    // One user's session in the place of another one's.
    let of_second: String = redis.ask(&format!("GET {second}"));
    let _: String = redis.ask(&format!("SET {first} {of_second}"));
    one.get(&world, "/page").await.expect_status(401);
    two.get(&world, "/page").await.expect_status(200);
    for nonsense in ["x", "AAAA", "{}"] {
        let _: String = redis.ask(&format!("SET {first} {nonsense}"));
        one.get(&world, "/page").await.expect_status(401);
    }
    let _: i64 = redis.ask(&format!("DEL {first}"));
    let _: i64 = redis.ask(&format!("LPUSH {first} x"));
    one.get(&world, "/page").await.expect_status(500);

    let good = two.0["session"].clone();
    let name = second.rsplit(':').next().unwrap();
    for cookies in [
        format!("session={good}; session={good}"),
        format!("session={name}"),
        format!("session=1.{name}"),
        format!("session=1.{of_second}"),
        format!("session=1.{}", "A".repeat(12_000)),
        format!("session=2.{}; session2=x", &good[2..]),
        format!("session={}A", good),
    ] {
        let request = world.gateway.get("/page").header("Cookie", &cookies);
        request.await.expect_status(401);
    }
    let raw = world
        .gateway
        .get("/page")
        .header("Cookie", b"session=1.\xff\xfe");
    raw.await.expect_status(401);
    // What is good in Redis is nothing where sessions are in cookies, and the other way round.
    let cookies = json!({"session": {"secret": "0123456789abcdef"}});
    world.configure(denying(cookies.clone())).await;
    two.clone().get(&world, "/page").await.expect_status(401);
    world.configure(cookies).await;
    let mut three = Browser::default();
    three.log_in(&world, "/page").await.expect_status(302);
    three.get(&world, "/page").await.expect_status(200);
    world.configure(denying(config.clone())).await;
    three.get(&world, "/page").await.expect_status(401);
    let mut other = config;
    other["session"]["secret"] = json!("another secret!!");
    world.configure(denying(other)).await;
    two.get(&world, "/page").await.expect_status(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_end_by_their_times_and_leave_nothing_behind() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let world = World::with(json!({})).await;
    for times in [
        json!({"idling_timeout": 1}),
        json!({"rolling_timeout": 1}),
        json!({"absolute_timeout": 1}),
        json!({"cookie": {"lifetime": 1}}),
    ] {
        world
            .configure(with(at(redis.port(), json!({})), times.clone()))
            .await;
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        eventually("the session is gone", PATIENCE, async || {
            keys(&redis).is_empty()
        })
        .await;
        browser.get(&world, "/page").await.expect_status(302);
    }
    let endless = json!({"idling_timeout": 0, "rolling_timeout": 0, "absolute_timeout": 0});
    world
        .configure(with(at(redis.port(), json!({})), endless))
        .await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    let key = keys(&redis).remove(0);
    assert_eq!(redis.ask::<i64>(&format!("TTL {key}")), -1);
    // Use puts the end off.
    let used = json!({"idling_timeout": 4, "rolling_timeout": 0});
    world
        .configure(with(at(redis.port(), json!({"prefix": "used"})), used))
        .await;
    browser.log_in(&world, "/page").await.expect_status(302);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(6) {
        browser.get(&world, "/page").await.expect_status(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_reached_with_passwords_and_over_tls() {
    if !server::installed() {
        return;
    }
    let world = World::with(json!({})).await;
    let user = "user keeper on >secret ~sessions:* +@read +@write +@scripting +select +auth +ping";
    let redis = Server::start(&["requirepass main", user]).await;
    for (login, status) in [
        (json!({}), 500),
        (json!({"password": "wrong"}), 500),
        (json!({"password": "main"}), 302),
        (json!({"username": "keeper", "password": "secret"}), 302),
    ] {
        world
            .configure(with(at(redis.port(), login), json!({})))
            .await;
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(status);
        if status == 302 {
            browser.get(&world, "/page").await.expect_status(200);
            browser.get(&world, "/logout").await.expect_status(302);
        }
    }
    assert!(!world.gateway.log().contains("secret"));

    let authority = Authority::new("Stores");
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let leaf = authority.issue(&["redis.test"]);
    let certificate = file("cert.pem", &leaf.certificate_pem);
    let key = file("key.pem", &leaf.key_pem);
    let known = file("ca.pem", &authority.pem()).display().to_string();
    let redis = Server::tls(&certificate, &key).await;
    let distrustful = Gateway::start().await;
    let trusting = Gateway::builder().with_env("SSL_CERT_FILE", &known);
    let trusting = trusting.start().await;
    let mut world = World::of(trusting, OpenidProvider::start().await, json!({})).await;
    let named = json!({"ssl": true, "server_name": "redis.test"});
    for (way, status) in [
        (json!({}), 500),
        (json!({"ssl": true}), 500),
        (json!({"ssl": true, "ssl_verify": false}), 302),
        (named.clone(), 302),
        (json!({"ssl": true, "server_name": "other.test"}), 500),
        (
            json!({"ssl": true, "server_name": "other.test", "ssl_verify": false}),
            302,
        ),
    ] {
        let session = with(at(redis.port(), way.clone()), json!({}));
        world.configure(session).await;
        let mut browser = Browser::default();
        let answer = browser.log_in(&world, "/page").await;
        assert_eq!(answer.status, status, "{way}");
        if status == 302 {
            browser.get(&world, "/page").await.expect_status(200);
        }
    }
    world.gateway = distrustful;
    let session = with(at(redis.port(), named), json!({}));
    world.configure(session).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(500);
}
