//! Users log in, stay, and log out.

use serde_json::json;

use super::{Browser, World, decoded};
use crate::support::form_fields;

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
