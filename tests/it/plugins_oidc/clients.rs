//! Ways in which the gateway shows the provider which client it is.

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};

use super::{Browser, World};
use crate::support::Proof;

const RSA: &str = include_str!("../../../plugins/builtin/src/jwt_auth/test_keys/rsa.private.pem");

/// What the provider knows of the key.
fn rsa_key() -> rsa::PublicKeyComponents<Vec<u8>> {
    let key = PrivatePkcs8KeyDer::from_pem_slice(RSA.as_bytes()).unwrap();
    let key = rsa::KeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    rsa::PublicKeyComponents::from(key.public())
}

/// A private key in PEM, and what the provider knows of it.
fn p256_key() -> (String, Vec<u8>) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
    let text = STANDARD.encode(document.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    (pem, key.public_key().as_ref().to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_itself_as_it_registered_and_in_no_other_way() {
    let world = World::with(json!({})).await;
    let (pem, public) = p256_key();
    let by_key = |algorithm: Value, key: &str| {
        json!({
            "token_endpoint_auth_method": "private_key_jwt", "client_rsa_private_key": key,
            "client_rsa_private_key_id": "k", "client_jwt_assertion_alg": algorithm, "client_secret": null,
        })
    };
    let by_secret = |algorithm: Value| json!({"token_endpoint_auth_method": "client_secret_jwt", "client_jwt_assertion_alg": algorithm});
    let rsa = |name| Proof::Rsa(name, rsa_key());
    let issuer = world.provider.issuer();
    let ways = [
        (json!({}), Proof::Basic, None),
        (
            json!({"token_endpoint_auth_method": "client_secret_post"}),
            Proof::Post,
            None,
        ),
        (json!({"client_secret": null}), Proof::Nothing, None),
        (by_secret(Value::Null), Proof::Secret("HS256"), None),
        (by_secret(json!("HS512")), Proof::Secret("HS512"), None),
        (by_key(Value::Null, RSA), rsa("RS256"), None),
        (by_key(json!("RS512"), RSA), rsa("RS512"), None),
        (by_key(json!("ES256"), &pem), Proof::P256(public), None),
        (
            json!({"token_endpoint_auth_method": "client_secret_jwt", "client_jwt_assertion_audience": issuer}),
            Proof::Secret("HS256"),
            Some(&*issuer),
        ),
    ];
    for (config, proof, audience) in ways {
        world.provider.register(proof, audience);
        world.provider.behave(|m| m.expires_in = 1);
        world.configure(config.clone()).await;
        let mut browser = Browser::default();
        browser.log_in(&world, "/page").await.expect_status(302);
        // It shows itself again to renew the access token, which has expired.
        world.provider.behave(|m| m.expires_in = 3600);
        browser.get(&world, "/page").await.expect_status(200);
        assert_eq!(world.provider.faults(), [""; 0], "{config}");
    }
    // The provider does its part: an assertion with another key is refused.
    world.provider.register(rsa("RS256"), None);
    world.configure(by_secret(Value::Null)).await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(500);
    assert!(!world.provider.faults().is_empty());
    let log = world.gateway.log();
    assert!(
        !log.contains("PRIVATE KEY") && !log.contains("hush"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_itself_when_it_introspects_and_revokes() {
    let world = World::with(json!({})).await;
    world
        .provider
        .register(Proof::Rsa("RS256", rsa_key()), None);
    let introspects = json!({
        "bearer_only": true, "introspection_endpoint_auth_method": "private_key_jwt",
        "client_rsa_private_key": RSA, "client_secret": null,
    });
    world.configure(introspects).await;
    let bearer = world.gateway.get("/page");
    let bearer = bearer.header("Authorization", "Bearer opaque-good");
    bearer.await.expect_status(200);
    world.provider.register(Proof::Post, None);
    world
        .configure(json!({
            "token_endpoint_auth_method": "client_secret_post", "revoke_tokens_on_logout": true,
        }))
        .await;
    let mut browser = Browser::default();
    browser.log_in(&world, "/page").await.expect_status(302);
    browser.get(&world, "/logout").await.expect_status(302);
    assert_eq!(world.provider.asked("/revoke").len(), 2);
    assert_eq!(world.provider.faults(), [""; 0]);
}
