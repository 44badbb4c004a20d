//! Automatic certificates, from a real authority (`pebble`): ordered, served live, renewed, kept.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use x509_parser::parse_x509_certificate;

use crate::support::{
    Authority, Builder, Connection, Gateway, PATIENCE, Pebble, PebbleSettings, Port, Upstream,
    eventually, eventually_matches, trusting,
};

const KEY: &str = "edd1c9f0985e76a2";

/// Ports of a gateway that an authority has to know beforehand.
struct Doors {
    http: Port,
    https: Port,
}

impl Doors {
    fn new() -> Self {
        Self {
            http: Port::reserve(),
            https: Port::reserve(),
        }
    }

    /// An authority that asks here for proofs.
    fn asked(&self) -> PebbleSettings {
        PebbleSettings {
            http: self.http.addr(),
            tls: self.https.addr(),
            ..PebbleSettings::default()
        }
    }

    /// A gateway that listens here, too.
    fn gateway(&self, settings: &str) -> Builder {
        let plain = format!("[\"{{}}\", \"{}\"]", self.http.addr());
        Gateway::builder()
            .with_settings(settings)
            .with_env("CROSSWAY_LISTEN_HTTP", &plain)
            .with_env("CROSSWAY_LISTEN_HTTPS", &self.https.addr().to_string())
    }

    /// The certificate that a client gets who asks for `name`, if there is one.
    async fn certificate(&self, name: &str) -> Option<Vec<u8>> {
        certificate_at(self.https.addr(), name).await
    }
}

async fn certificate_at(address: SocketAddr, name: &str) -> Option<Vec<u8>> {
    let connection = Connection::open_tls(address, name, trusting(&[])).await;
    Some(connection.ok()?.handshake?.certificate)
}

/// Settings of ACME with these certificates, and more lines.
fn settings(directory: &str, pebble: Option<&Pebble>, more: &str) -> String {
    let ca_file = pebble.map_or(String::new(), |pebble| {
        format!("  ca_file: {}\n", pebble.ca_file().display())
    });
    format!(
        "acme:\n  directory: {directory}\n  terms_of_service_agreed: true\n  contact: [ops@a.test]\n{ca_file}{more}\n"
    )
}

/// How the only certificate stands.
async fn standing(gateway: &Gateway) -> Value {
    let status = gateway.control("/v1/status").await.expect_status(200);
    status.json()["acme"]["certificates"][0].clone()
}

async fn until(gateway: &Gateway, state: &str) -> Value {
    let what = format!("the certificate is {state}");
    eventually_matches(
        &what,
        PATIENCE,
        async || standing(gateway).await,
        |standing| standing["state"] == state,
    )
    .await
}

fn issuer(certificate: &[u8]) -> String {
    let (_, parsed) = parse_x509_certificate(certificate).expect("a certificate");
    parsed.issuer().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_by_http_01_and_served_and_its_keys_lie_encrypted() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    let pebble = Pebble::start(doors.asked()).await;
    let more = format!(
        "  certificates: [{{domains: [a.test, b.test]}}]\ndata_encryption: {{enabled: true, keyring: [{KEY}]}}"
    );
    let settings = settings(&pebble.directory(), Some(&pebble), &more);
    let gateway = doors.gateway(&settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let standing = until(&gateway, "valid").await;
    assert_eq!(standing["domains"], json!(["a.test", "b.test"]));
    assert_eq!(standing["failures"], 0);
    for name in ["a.test", "b.test"] {
        eventually(name, PATIENCE, async || {
            let shown = doors.certificate(name).await;
            shown.is_some_and(|shown| issuer(&shown).contains("Pebble"))
        })
        .await;
    }
    assert_eq!(doors.certificate("c.test").await, None);
    // It is an ssl like others, and tells whose it is.
    let ssls = gateway.admin().get("/ssls").await.expect_status(200).json();
    assert_eq!(ssls["total"], 1, "{ssls}");
    let ssl = &ssls["list"][0]["value"];
    assert_eq!(ssl["id"], standing["ssl"]);
    assert_eq!(ssl["labels"]["managed-by"], "acme");
    // Nothing else of it can be seen by the Admin API.
    for kind in ["secrets", "consumers", "plugin_metadata", "global_rules"] {
        let all = gateway.admin().get(&format!("/{kind}")).await;
        assert_eq!(all.expect_status(200).json()["total"], 0, "{kind}");
    }
    let log = gateway.log();
    assert!(!log.contains("no resource"), "{log}");
    let store = std::fs::read(gateway.folder().join("data/crossway.redb")).unwrap();
    for secret in ["PRIVATE KEY", "key_pkcs8"] {
        let found = store.windows(secret.len()).any(|w| w == secret.as_bytes());
        assert!(!found, "{secret} lies in the clear");
    }
    // Questions that nobody awaits are requests like others.
    let path = "/.well-known/acme-challenge/other";
    let answer = gateway.get(path).host("a.test").await.expect_status(200);
    assert_eq!(answer.json()["target"], path);
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("apisix_acme_orders_total{result=\"issued\"} 1"),
        "{metrics}"
    );
    let expiry = format!(
        "apisix_acme_certificate_expiry_timestamp_seconds{{ssl={},domain=\"a.test\"}} {}",
        standing["ssl"], standing["expires"]
    );
    let other = format!(
        "apisix_acme_certificate_expiry_timestamp_seconds{{domain=\"a.test\",ssl={}}} {}",
        standing["ssl"], standing["expires"]
    );
    assert!(
        metrics.contains(&expiry) || metrics.contains(&other),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_ordered_by_tls_alpn_01_with_an_account_that_is_bound() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    let pebble = Pebble::start(PebbleSettings {
        bound: true,
        ..doors.asked()
    })
    .await;
    let more = format!(
        "  external_account: {{key_id: {}, hmac_key: {}}}\n  challenge: tls-alpn-01\n  certificates: [{{domains: [a.test]}}]",
        Pebble::KEY_ID,
        Pebble::HMAC_KEY
    );
    let settings = settings(&pebble.directory(), Some(&pebble), &more);
    let gateway = doors.gateway(&settings).start().await;
    until(&gateway, "valid").await;
    eventually("it is served", PATIENCE, async || {
        let shown = doors.certificate("a.test").await;
        shown.is_some_and(|shown| issuer(&shown).contains("Pebble"))
    })
    .await;
    // The protocol of proofs leads nowhere when none is awaited, and to no request ever.
    let proof = trusting(&[b"acme-tls/1"]);
    let refused = Connection::open_tls(doors.https.addr(), "a.test", proof).await;
    assert!(refused.is_err());
    let log = gateway.log();
    assert!(!log.contains(Pebble::HMAC_KEY), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_ahead_of_its_end() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    let pebble = Pebble::start(PebbleSettings {
        validity: Duration::from_secs(30),
        ..doors.asked()
    })
    .await;
    // More than the certificate lives: it is renewed after a third of its life.
    let more = "  renew_before: 86400\n  certificates: [{domains: [a.test]}]";
    let settings = settings(&pebble.directory(), Some(&pebble), more);
    let gateway = doors.gateway(&settings).start().await;
    until(&gateway, "valid").await;
    let shown = async || doors.certificate("a.test").await;
    let first = eventually_matches("it is served", PATIENCE, shown, Option::is_some).await;
    let patience = PATIENCE * 2;
    eventually_matches("another is served", patience, shown, |now| *now != first).await;
    assert!(pebble.orders() >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_authority_the_gateway_serves_and_asks_again() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    let port = Port::reserve();
    // Its own certificate is trusted by nobody, before it is there: any will do until then.
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.crt");
    let own = Authority::new("of the directory");
    std::fs::write(&ca_file, own.pem()).unwrap();
    let more = format!(
        "  ca_file: {}\n  certificates: [{{domains: [a.test]}}]",
        ca_file.display()
    );
    let settings = settings(&Pebble::directory_at(&port), None, &more);
    let gateway = doors.gateway(&settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    let standing = until(&gateway, "waiting").await;
    assert_eq!(standing["expires"], Value::Null);
    let error = standing["error"].as_str().unwrap();
    assert!(error.contains("gives no answer"), "{error}");
    gateway.get("/").await.expect_status(200);
    let log = gateway.log();
    assert!(log.contains("acme.directory"), "{log}");
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("apisix_acme_orders_total{result=\"unreachable\"}"),
        "{metrics}"
    );
    let pebble = Pebble::with_own(port, &own, doors.asked()).await;
    until(&gateway, "valid").await;
    assert_eq!(pebble.orders(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_certificate_and_orders_none() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    let pebble = Pebble::start(doors.asked()).await;
    let more = "  certificates: [{domains: [a.test]}]";
    let settings = settings(&pebble.directory(), Some(&pebble), more);
    let mut gateway = doors.gateway(&settings).start().await;
    until(&gateway, "valid").await;
    let shown = async || doors.certificate("a.test").await;
    let first = eventually_matches("it is served", PATIENCE, shown, Option::is_some).await;
    gateway.kill9();
    gateway.restart().await;
    assert_eq!(doors.certificate("a.test").await, first);
    until(&gateway, "valid").await;
    assert_eq!(pebble.orders(), 1);
    // What an operator deletes is ordered again, with the account that is there.
    let id = standing(&gateway).await["ssl"].as_str().unwrap().to_owned();
    gateway.remove(&format!("/ssls/{id}")).await;
    eventually("another is served", PATIENCE, async || {
        let now = doors.certificate("a.test").await;
        now.is_some() && now != first
    })
    .await;
    assert_eq!(pebble.orders(), 2);
    assert_eq!(pebble.accounts(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_fails_is_told_and_not_tried_again_at_once() {
    if !Pebble::installed() {
        return;
    }
    let doors = Doors::new();
    // It asks where nobody is.
    let pebble = Pebble::start(PebbleSettings {
        http: Port::reserve().addr(),
        ..doors.asked()
    })
    .await;
    let more = "  certificates: [{domains: [a.test]}]";
    let settings = settings(&pebble.directory(), Some(&pebble), more);
    let gateway = doors.gateway(&settings).start().await;
    let standing = until(&gateway, "waiting").await;
    let error = standing["error"].as_str().unwrap();
    assert!(error.contains("refused: a.test: "), "{error}");
    assert_eq!(standing["failures"], 1);
    let log = gateway.log();
    assert!(log.contains("port 80 of each name"), "{log}");
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("apisix_acme_orders_total{result=\"refused\"} 1"),
        "{metrics}"
    );
    assert_eq!(pebble.orders(), 1);
}
