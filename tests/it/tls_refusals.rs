//! What is refused of certificates when it is written, with the place and the reason.

use serde_json::{Value, json};

use crate::support::{Authority, Gateway, Leaf};

fn ssl(leaf: &Leaf) -> Value {
    json!({ "sni": "a.test", "cert": leaf.certificate_pem, "key": leaf.key_pem })
}

fn with(base: &Value, change: Value) -> Value {
    let mut document = base.clone();
    for (name, value) in change.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused() {
    let gateway = Gateway::start().await;
    let authority = Authority::new("servers");
    let (one, other) = (
        authority.issue(&["a.test"]),
        authority.issue_rsa(&["a.test"]),
    );
    let good = ssl(&one);
    let long = "x".repeat(200);
    let fit = "the private key does not fit the certificate";
    for (change, expected) in [
        (json!({ "key": other.key_pem }), format!("{fit} (at /key)")),
        (json!({ "cert": long }), "failed to parse cert: no CERTIFICATE section found".to_owned()),
        (json!({ "key": long }), "failed to parse key: ".to_owned()),
        (
            json!({ "certs": [other.certificate_pem], "keys": [one.key_pem] }),
            format!("{fit} (at /keys/0)"),
        ),
        (
            json!({ "certs": [other.certificate_pem] }),
            "mismatched number of certs and keys".to_owned(),
        ),
        (
            json!({ "certs": [long], "keys": [one.key_pem] }),
            "failed to handle cert-key pair[1]: failed to parse cert: ".to_owned(),
        ),
        (
            json!({ "ssl_protocols": ["TLSv1.2", "TLSv1.1"] }),
            "TLSv1.1 is not served (RFC 8996): leave TLSv1.2, TLSv1.3 or both (at /ssl_protocols/1)"
                .to_owned(),
        ),
        (
            json!({ "client": { "ca": long } }),
            "failed to validate client_cert: failed to parse cert: ".to_owned(),
        ),
        (
            json!({ "client": { "ca": authority.pem(), "skip_mtls_uri_regex": ["("] } }),
            "invalid regular expression".to_owned(),
        ),
        (
            json!({ "cert": "$secret://vault/1/a/b" }),
            "failed to fetch secret info by secret id [vault/1], response code: 404".to_owned(),
        ),
        (
            json!({ "cert": "$env://CROSSWAY_NOT_THERE" }),
            "the environment has no variable CROSSWAY_NOT_THERE (at /cert)".to_owned(),
        ),
        (json!({ "snis": ["b.test"] }), "value should match only one schema".to_owned()),
    ] {
        let document = with(&good, change);
        let answer = gateway.admin().put("/ssls/1", &document).await;
        assert_eq!(answer.status, 400, "{expected}: {}", answer.text());
        let said = answer.json()["error_msg"].as_str().unwrap().to_owned();
        assert!(said.contains(&expected), "{said}\nexpected: {expected}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
    gateway.admin().get("/ssls/1").await.expect_status(404);
    gateway
        .admin()
        .put("/ssls/1", &good)
        .await
        .expect_status(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_certificate_does_not_have_is_taken_as_in_apisix() {
    let gateway = Gateway::start().await;
    let leaf = Authority::new("servers").issue(&["another.test"]);
    gateway
        .admin()
        .put("/ssls/1", &ssl(&leaf))
        .await
        .expect_status(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_are_held_to_the_same() {
    let gateway = Gateway::start().await;
    let authority = Authority::new("clients");
    let (one, other) = (authority.issue(&["a"]), authority.issue(&["a"]));
    let client = with(&ssl(&one), json!({ "type": "client" }));
    gateway
        .admin()
        .put("/ssls/1", &client)
        .await
        .expect_status(201);
    let mismatched = with(&client, json!({ "key": other.key_pem }));
    let answer = gateway.admin().put("/ssls/1", &mismatched).await;
    assert!(answer.expect_status(400).text().contains("does not fit"));
    for (tls, expected) in [
        (
            json!({ "client_cert": one.certificate_pem, "client_key": other.key_pem }),
            "the private key does not fit the certificate",
        ),
        (
            json!({ "ca_certs": ["x".repeat(200)] }),
            "failed to parse cert",
        ),
        (
            json!({ "ca_certs": [] }),
            "expect array to have at least 1 items",
        ),
        (
            json!({ "client_cert_id": "2" }),
            "failed to fetch ssl info by ssl id [2]",
        ),
    ] {
        let upstream = json!({ "scheme": "https", "nodes": { "127.0.0.1:1": 1 }, "tls": tls });
        let answer = gateway.admin().put("/upstreams/1", &upstream).await;
        let said = answer.expect_status(400).text();
        assert!(said.contains(expected), "{said}\nexpected: {expected}");
    }
}
