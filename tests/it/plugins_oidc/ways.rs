//! Ways to the provider: TLS, proxies, pushed requests.

use serde_json::json;

use super::{Browser, World, proxy::Proxy};
use crate::support::{Authority, Gateway, OpenidProvider};

const WHO: &str = "Basic cHJveHk6aHVzaA==";

/// A gateway that knows this authority.
async fn trusting(authority: &Authority) -> (Gateway, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let known = file.display().to_string();
    let gateway = Gateway::builder().with_env("SSL_CERT_FILE", &known);
    (gateway.start().await, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_over_tls_must_have_a_certificate_that_is_known() {
    let authority = Authority::new("Providers");
    let leaf = authority.issue(&["127.0.0.1"]);
    let provider = OpenidProvider::secure("127.0.0.1", &leaf).await;
    let mut world = World::of(Gateway::start().await, provider, json!({})).await;
    world.gateway.get("/page").await.expect_status(500);
    assert_eq!(world.provider.server.hits(), 0);
    world.configure(json!({"ssl_verify": false})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);

    let (gateway, _folder) = trusting(&authority).await;
    world.gateway = gateway;
    world.configure(json!({})).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    // A certificate for another name.
    let other = authority.issue(&["elsewhere.test"]);
    world.provider = OpenidProvider::secure("127.0.0.1", &other).await;
    world.configure(json!({})).await;
    world.gateway.get("/page").await.expect_status(500);
    assert_eq!(world.provider.server.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_behind_a_proxy_is_reached_through_it_alone() {
    let proxy = Proxy::start().await;
    let address = format!("http://{}", proxy.address);
    let provider = OpenidProvider::named("idp.test").await;
    let through = json!({"proxy_opts": {
        "http_proxy": address, "http_proxy_authorization": WHO, "https_proxy": "http://127.0.0.1:1",
    }});
    let world = World::of(Gateway::start().await, provider, through).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    let asked = proxy.asked();
    let (line, token) = (&asked[0], &asked[1]);
    assert!(line.starts_with("GET http://idp.test:"), "{line}");
    assert!(token.starts_with("POST http://idp.test:"), "{token}");
    let seen = world.provider.server.requests();
    assert!(
        seen.iter()
            .all(|r| r.header("proxy-authorization").is_none())
    );

    let stranger = json!({"proxy_opts": {"http_proxy": address}});
    world.configure(stranger).await;
    world.gateway.get("/page").await.expect_status(500);
    let around = json!({"proxy_opts": {
        "http_proxy": address, "http_proxy_authorization": WHO, "no_proxy": "other.test,idp.test",
    }});
    let before = proxy.asked().len();
    world.configure(around).await;
    world.gateway.get("/page").await.expect_status(500);
    assert_eq!(proxy.asked().len(), before);
    assert!(!world.gateway.log().contains("cHJveHk6aHVzaA"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_leads_to_a_provider_over_tls() {
    let proxy = Proxy::start().await;
    let address = format!("http://{}", proxy.address);
    let authority = Authority::new("Providers");
    let leaf = authority.issue(&["idp.test"]);
    let provider = OpenidProvider::secure("idp.test", &leaf).await;
    let through = json!({"proxy_opts": {
        "https_proxy": address, "https_proxy_authorization": WHO, "http_proxy": "http://127.0.0.1:1",
    }});
    let (gateway, _folder) = trusting(&authority).await;
    let world = World::of(gateway, provider, through).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    let asked = proxy.asked();
    assert!(
        asked
            .iter()
            .all(|line| line.starts_with("CONNECT idp.test:")),
        "{asked:?}"
    );
    let seen = world.provider.server.requests();
    assert!(
        seen.iter()
            .all(|r| r.header("proxy-authorization").is_none())
    );
    let stranger = json!({"proxy_opts": {"https_proxy": address}});
    world.configure(stranger).await;
    world.gateway.get("/page").await.expect_status(500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_pushed_and_the_user_carries_a_reference() {
    let world = World::with(json!({
        "par": {"enabled": true}, "authorization_params": {"audience": "things"},
    }))
    .await;
    world.provider.behave(|m| m.pushed_only = true);
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/page").await.expect_status(200);
    let pushed = world.provider.asked("/par");
    assert_eq!(pushed[0]["audience"], "things");
    assert!(pushed[0].contains_key("code_challenge") && pushed[0].contains_key("nonce"));
    // In each of the ways in which a client shows itself there.
    for method in ["client_secret_post", "client_secret_jwt"] {
        let proof = match method {
            "client_secret_post" => crate::support::Proof::Post,
            _ => crate::support::Proof::Secret("HS256"),
        };
        world.provider.register(proof, None);
        let endpoint = format!("{}/par", world.provider.issuer());
        let par = json!({"enabled": true, "endpoint": endpoint, "endpoint_auth_method": method});
        world
            .provider
            .behave(|m| m.without = vec!["pushed_authorization_request_endpoint"]);
        world
            .configure(json!({"par": par, "token_endpoint_auth_method": method}))
            .await;
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        browser.get(&world, "/page").await.expect_status(200);
    }
    assert_eq!(world.provider.faults(), [""; 0]);
    // A provider that does not take it: nobody is sent there with nothing.
    for answer in [
        "{}",
        "{\"request_uri\": \"\"}",
        "{\"request_uri\": 7}",
        "nonsense",
    ] {
        let answer = crate::support::Answer::text(answer);
        world
            .provider
            .behave(|m| drop(m.instead.insert("/par".to_owned(), answer)));
        world.gateway.get("/page").await.expect_status(500);
    }
}
