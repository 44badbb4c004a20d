//! Who is let in, and what the upstream learns of them.

use serde_json::{Value, json};

use super::{Browser, World, decoded, now};
use crate::support::{Answer, PATIENCE, eventually};

/// The headers that tell of a user.
const NAMES: [&str; 6] = [
    "authorization",
    "x-access-token",
    "x-id-token",
    "x-raw-id-token",
    "x-userinfo",
    "x-refresh-token",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_gets_the_headers_that_are_asked_for() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    let none = json!({
        "set_access_token_header": false, "set_id_token_header": false, "set_userinfo_header": false,
        "set_refresh_token_header": false,
    });
    for (changes, expected) in [
        (json!({}), vec![]),
        (
            json!({"set_access_token_header": true}),
            vec!["x-access-token"],
        ),
        (
            json!({"set_access_token_header": true, "access_token_in_authorization_header": true}),
            vec!["authorization"],
        ),
        (
            json!({"access_token_in_authorization_header": true}),
            vec![],
        ),
        (json!({"set_id_token_header": true}), vec!["x-id-token"]),
        (
            json!({"set_raw_id_token_header": true}),
            vec!["x-raw-id-token"],
        ),
        (json!({"set_userinfo_header": true}), vec!["x-userinfo"]),
        (
            json!({"set_refresh_token_header": true}),
            vec!["x-refresh-token"],
        ),
    ] {
        let mut config = none.clone();
        for (name, value) in changes.as_object().unwrap() {
            config[name] = value.clone();
        }
        world.configure(config).await;
        let answer = browser.get(&world, "/page").await.expect_status(200);
        let got: Vec<_> = NAMES
            .into_iter()
            .filter(|name| answer.echoed_header(name).is_some())
            .collect();
        assert_eq!(got, expected, "{changes}");
        if let Some(text) = answer.echoed_header("authorization") {
            assert_eq!(text, "Bearer at-2");
        }
        if let Some(token) = answer.echoed_header("x-raw-id-token") {
            assert_eq!(token.split('.').count(), 3);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_session_is_sent_away_refused_or_let_pass() {
    let world = World::with(json!({})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    for (action, status) in [("auth", 302), ("deny", 401), ("pass", 200)] {
        world.configure(json!({"unauth_action": action})).await;
        let answer = world.gateway.get("/page").await.expect_status(status);
        if action == "pass" {
            assert!(
                NAMES
                    .iter()
                    .all(|name| answer.echoed_header(name).is_none())
            );
        }
        // Who has one is known in each case.
        let answer = browser.get(&world, "/page").await.expect_status(200);
        assert!(answer.echoed_header("x-userinfo").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_scopes_that_its_tokens_name() {
    let world = World::with(json!({"required_scopes": ["read", "write"]})).await;
    for (access, id, status) in [
        (None, json!({}), 403),
        (None, json!({"scope": "read write"}), 200),
        (None, json!({"scope": "read"}), 403),
        (Some(json!({"scope": "write openid read"})), json!({}), 200),
        (Some(json!({"scope": ["read", "write"]})), json!({}), 200),
        // The access token is asked first.
        (
            Some(json!({"scope": "read"})),
            json!({"scope": "read write"}),
            403,
        ),
        (
            Some(json!({"sub": "ann"})),
            json!({"scope": "read write"}),
            200,
        ),
        (Some(json!({"scope": "readwrite"})), json!({}), 403),
    ] {
        world.provider.behave(|m| {
            m.access = access.clone();
            m.claims = id.clone();
        });
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        let answer = browser.get(&world, "/page").await;
        assert_eq!(answer.status, status, "{access:?} {id}");
        if status == 403 {
            let body = "{\"error\":\"required scopes read, write not present\"}";
            assert_eq!(answer.text(), body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_behind_it_know_the_user() {
    let world = World::with(json!({})).await;
    let config = world.config(json!({}));
    let acl = json!({"allow_labels": {"groups": ["staff"]}});
    let plugins = json!({"openid-connect": config, "acl": acl});
    world.serve(&world.gateway, plugins).await;
    for (groups, status) in [("staff", 200), ("guests", 403)] {
        let user = json!({"sub": "ann", "groups": [groups]});
        world.provider.behave(|m| {
            let answer = Answer::text(user.to_string());
            m.instead.insert("/userinfo".to_owned(), answer);
        });
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        browser.get(&world, "/page").await.expect_status(status);
    }
    // Of another user than the one who logged in, nothing is taken.
    let user = json!({"sub": "eve", "groups": ["staff"]});
    world.provider.behave(|m| {
        let answer = Answer::text(user.to_string());
        m.instead.insert("/userinfo".to_owned(), answer);
    });
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(403);

    let config = world.config(json!({"bearer_only": true, "use_jwks": true}));
    let plugins = json!({"openid-connect": config, "acl": acl});
    world.serve(&world.gateway, plugins).await;
    for (groups, status) in [("staff", 200), ("guests", 403)] {
        let claims = json!({"iss": world.provider.issuer(), "exp": now() + 60, "groups": [groups]});
        let token = world.provider.token(&claims);
        let request = world.gateway.get("/page");
        let request = request.header("Authorization", format!("Bearer {token}"));
        request.await.expect_status(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_claims_do_not_fit_is_refused() {
    let schema = json!({
        "type": "object", "required": ["user", "id_token", "access_token"],
        "properties": {"user": {"required": ["email"]}, "id_token": {"required": ["team"]}},
    });
    let world = World::with(json!({"claim_schema": schema})).await;
    for (claims, status) in [(json!({}), 401), (json!({"team": "a"}), 200)] {
        world.provider.behave(|m| m.claims = claims);
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        browser.get(&world, "/page").await.expect_status(status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_its_absolute_time_however_it_is_used() {
    let secret = "0123456789abcdef";
    let session = json!({"session": {"secret": secret, "absolute_timeout": 3}});
    let world = World::with(session).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    eventually("the session has ended", PATIENCE, async || {
        browser.clone().get(&world, "/page").await.status == 302
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_that_cannot_be_renewed_takes_a_new_login_or_is_left_out() {
    let world = World::with(json!({})).await;
    world.provider.behave(|m| m.expires_in = 1);
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    world.provider.behave(|m| {
        let refusal = Answer::status(400);
        m.instead.insert("/token".to_owned(), refusal);
    });
    browser
        .clone()
        .get(&world, "/page")
        .await
        .expect_status(302);
    world.configure(json!({"unauth_action": "deny"})).await;
    browser
        .clone()
        .get(&world, "/page")
        .await
        .expect_status(401);
    world
        .configure(json!({"renew_access_token_on_expiry": false}))
        .await;
    let answer = browser.get(&world, "/page").await.expect_status(200);
    assert_eq!(answer.echoed_header("x-access-token"), None);
    let user = decoded(&answer.echoed_header("x-userinfo").unwrap());
    assert_eq!(user["sub"], "ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_that_stays_the_same_serves_again_and_again() {
    let world = World::with(json!({})).await;
    world.provider.behave(|m| {
        m.expires_in = 1;
        m.rotates = false;
    });
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    let mut seen: Vec<Value> = Vec::new();
    for _ in 0..3 {
        let answer = browser.get(&world, "/page").await.expect_status(200);
        seen.push(answer.echoed_header("x-access-token").into());
    }
    assert_eq!(seen, ["at-3", "at-4", "at-5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_leads_where_it_is_configured_to() {
    let world = World::with(json!({})).await;
    world
        .provider
        .behave(|m| m.without = vec!["end_session_endpoint"]);
    for (then, expected) in [(json!("/bye?now"), Some("/bye?now")), (Value::Null, None)] {
        // The discovery document is kept, so it is asked for under another name.
        let discovery = format!("{}?{expected:?}", world.provider.discovery());
        let discovery = discovery.replace('"', "");
        world
            .configure(json!({"post_logout_redirect_uri": then, "discovery": discovery}))
            .await;
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        let answer = browser.get(&world, "/logout").await;
        assert_eq!(answer.header("location"), expected);
        assert_eq!(answer.status, if expected.is_some() { 302 } else { 200 });
        assert!(browser.0.is_empty());
    }
}
