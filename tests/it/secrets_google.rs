//! References to secrets of Google Cloud: how it is asked, and what happens when it is away or talks nonsense. It is played by a server
//! that verifies claims by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::secrets::{SETTINGS, comes_to, door, status};
use crate::secrets_aws::says_none_of;
use crate::support::{Answer, Gateway, Identity, PATIENCE, Received, Reply, Upstream, eventually};

const ACCOUNT_KEY: &str = include_str!("../../src/secret/gcp/testdata/account.pem");
const ACCOUNT_PUBLIC: &str = include_str!("../../src/secret/gcp/testdata/account.pub.pem");

async fn gateway() -> Gateway {
    let builder = Gateway::builder()
        .with_settings(SETTINGS)
        .with_settings("log: {level: debug}\n")
        .with_env("GOOGLE_KEY", ACCOUNT_KEY);
    builder.start().await
}

/// Google's token endpoint and Secret Manager.
struct Google {
    server: Upstream,
    secrets: Arc<Mutex<HashMap<String, String>>>,
    /// The number in the only token that counts.
    token: Arc<Mutex<usize>>,
}

impl Google {
    async fn over(server: Upstream) -> Self {
        let google = Self {
            server,
            secrets: Arc::default(),
            token: Arc::default(),
        };
        google.works();
        google
    }

    fn works(&self) {
        let (known, token) = (self.secrets.clone(), self.token.clone());
        self.server.script(move |received| {
            let mut token = token.lock().unwrap();
            if received.target == "/token" {
                if !is_claimed(received) {
                    return Answer::Reply(Reply::new(400, r#"{"error": "invalid_grant"}"#));
                }
                *token += 1;
                let granted = json!({
                    "access_token": format!("google-token-{}", *token), "expires_in": 3599,
                    "token_type": "Bearer"
                });
                return Answer::text(granted.to_string());
            }
            let bearer = format!("Bearer google-token-{}", *token);
            if received.header("authorization") != Some(&*bearer) {
                return Answer::status(401);
            }
            let name = received
                .target
                .strip_prefix("/v1/projects/a-project/secrets/");
            let name = name.and_then(|name| name.strip_suffix("/versions/latest:access"));
            let known = known.lock().unwrap();
            match name.and_then(|name| known.get(name)) {
                Some(secret) => {
                    let data = STANDARD.encode(secret);
                    Answer::text(json!({ "name": "x", "payload": { "data": data } }).to_string())
                }
                None => Answer::status(404),
            }
        });
    }

    fn put(&self, name: &str, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(name.to_owned(), secret.to_owned());
    }

    fn grants(&self) -> usize {
        let requests = self.server.requests();
        requests.iter().filter(|r| r.target == "/token").count()
    }

    fn document(&self, scheme: &str) -> Value {
        let base = format!("{scheme}://localhost:{}", self.server.addr().port());
        json!({ "auth_config": {
            "client_email": "me@a.test", "private_key": "$env://GOOGLE_KEY", "project_id": "a-project",
            "token_uri": format!("{base}/token"), "entries_uri": format!("{base}/v1"),
            "scope": ["https://www.googleapis.com/auth/cloud-platform"]
        }})
    }
}

/// Whether a request for a token has a claim that the account has signed.
fn is_claimed(received: &Received) -> bool {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    let form = String::from_utf8_lossy(&received.body).into_owned();
    let fields: HashMap<&str, &str> = form.split('&').filter_map(|p| p.split_once('=')).collect();
    let mut rules = Validation::new(Algorithm::RS256);
    let base = format!("://{}", received.header("host").unwrap_or_default());
    rules.set_audience(&[format!("http{base}/token"), format!("https{base}/token")]);
    rules.set_issuer(&["me@a.test"]);
    let key = DecodingKey::from_rsa_pem(ACCOUNT_PUBLIC.as_bytes()).unwrap();
    let claim = fields.get("assertion").copied().unwrap_or_default();
    let claims = jsonwebtoken::decode::<Value>(claim, &key, &rules);
    let scope = claims.map(|claims| claims.claims["scope"].clone());
    received.header("content-type") == Some("application/x-www-form-urlencoded")
        && fields.get("grant_type")
            == Some(&"urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer")
        && scope.is_ok_and(|scope| scope == "https://www.googleapis.com/auth/cloud-platform")
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_google_open_with_one_token_for_all_and_new_ones_take_their_place() {
    let gateway = gateway().await;
    let upstream = Upstream::start().await;
    let google = Google::over(Upstream::start().await).await;
    google.put("jack", r#"{"key": "google-first", "of": "google-jill"}"#);
    google.put("plain", "google-plain");
    gateway.put("/secrets/gcp/1", google.document("http")).await;
    door(&gateway, &upstream, "$secret://gcp/1/jack/key").await;
    let other = |name: &str, key: &str| json!({ "username": name, "plugins": { "key-auth": { "key": key } } });
    gateway
        .put("/consumers/jill", other("jill", "$secret://gcp/1/jack/of"))
        .await;
    gateway
        .put("/consumers/john", other("john", "$secret://gcp/1/plain"))
        .await;
    for key in ["google-first", "google-jill", "google-plain"] {
        comes_to(&gateway, key, 200).await;
    }
    assert_eq!(google.grants(), 1);
    google.put("jack", r#"{"key": "google-second", "of": "google-jill"}"#);
    comes_to(&gateway, "google-second", 200).await;
    assert_eq!(status(&gateway, "google-first").await, 401);
    assert_eq!(google.grants(), 1);
    // The token is withdrawn: there is a new one for the next question.
    *google.token.lock().unwrap() = 100;
    google.put("jack", r#"{"key": "google-third", "of": "google-jill"}"#);
    comes_to(&gateway, "google-third", 200).await;
    assert_eq!(google.grants(), 2);
    says_none_of(&gateway, &["google-", ACCOUNT_KEY.lines().nth(1).unwrap()]);
    assert_eq!(google.server.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_google_nothing_opens_and_with_it_the_last_value_serves_on() {
    let gateway = gateway().await;
    let upstream = Upstream::start().await;
    let mut google = Google::over(Upstream::start().await).await;
    google.server.answer(Answer::Hang);
    gateway.put("/secrets/gcp/1", google.document("http")).await;
    door(&gateway, &upstream, "$secret://gcp/1/jack/key").await;
    let says = async |part: &str| {
        eventually(part, PATIENCE, async || {
            let standing = gateway.control("/v1/status").await.json();
            standing["secrets"]["unresolved"][0]["why"]
                .as_str()
                .unwrap_or_default()
                .contains(part)
        })
        .await;
        assert_eq!(status(&gateway, "google-key").await, 401, "{part}");
    };
    says("no answer within 1000 ms").await;
    for (answer, said) in [
        (Answer::text("<html>"), "something that is no token"),
        (
            Answer::text(r#"{"access_token": "hush\n"}"#),
            "something that is no token",
        ),
        (
            Answer::Reply(Reply::new(400, r#"{"error": "invalid_grant"}"#)),
            "400 Bad Request (invalid_grant)",
        ),
    ] {
        google.server.answer(answer);
        says(said).await;
    }
    google.works();
    says("Google Cloud has no such secret").await;
    google.put("jack", "no JSON");
    says("the secret is not JSON").await;
    google.put("jack", r#"{"key": "google-key"}"#);
    comes_to(&gateway, "google-key", 200).await;
    for answer in [Answer::status(503), Answer::Hang, Answer::text("nonsense")] {
        google.server.answer(answer);
        let asked = google.server.hits();
        eventually("Google was asked twice", PATIENCE, async || {
            google.server.hits() > asked + 1
        })
        .await;
        assert_eq!(status(&gateway, "google-key").await, 200);
    }
    google.server.stop().await;
    gateway
        .put(
            "/routes/3",
            json!({ "uri": "/3", "upstream": upstream.document() }),
        )
        .await;
    assert_eq!(status(&gateway, "google-key").await, 200);
    google.server.resume().await;
    google.server.answer(Answer::status(404));
    comes_to(&gateway, "google-key", 401).await;
    says_none_of(&gateway, &["google-key", "google-token", "hush"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_certificates_are_verified_unless_told_not_to() {
    let gateway = gateway().await;
    let identity = Identity::for_names(&["localhost"]);
    let google = Google::over(Upstream::start_tls(&identity).await).await;
    google.put("jack", r#"{"key": "google-key"}"#);
    let upstream = Upstream::start().await;
    let mut document = google.document("https");
    gateway.put("/secrets/gcp/1", document.clone()).await;
    door(&gateway, &upstream, "$secret://gcp/1/jack/key").await;
    assert_eq!(status(&gateway, "google-key").await, 401);
    let standing = gateway.control("/v1/status").await.json();
    let why = standing["secrets"]["unresolved"][0]["why"].to_string();
    assert!(why.contains("certificate"), "{why}");
    assert_eq!(google.server.hits(), 0);
    document["ssl_verify"] = false.into();
    gateway.put("/secrets/gcp/1", document).await;
    comes_to(&gateway, "google-key", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn google_is_refused_when_it_could_not_be_asked() {
    let gateway = gateway().await;
    let with = |key: &str| json!({ "auth_config": { "client_email": "a", "private_key": key, "project_id": "p" } });
    for (key, said) in [
        (
            "hush-hush-hush",
            "expected an RSA key in PEM (at /auth_config/private_key)",
        ),
        (
            "$secret://vault/1/a/b",
            "only $env:// is (at /auth_config/private_key)",
        ),
    ] {
        let answer = gateway.admin().put("/secrets/gcp/1", &with(key)).await;
        let text = answer.expect_status(400).text();
        assert!(text.contains(said) && !text.contains("hush"), "{text}");
    }
    let answer = gateway
        .admin()
        .put("/secrets/gcp/1", &with(ACCOUNT_KEY))
        .await;
    answer.expect_status(201);
}
