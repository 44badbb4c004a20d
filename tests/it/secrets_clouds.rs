//! References to secrets of AWS and Google Cloud: how they are asked, and what happens when they are away or talk nonsense. Both are
//! played by servers that verify who asks by rules of their own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::secrets::{SETTINGS, comes_to, door, status};
use crate::support::{
    Answer, Authority, Gateway, Identity, PATIENCE, Received, Upstream, eventually,
};

const ACCESS: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "the-aws-session-token";
const ACCOUNT_KEY: &str = include_str!("../../src/secret/gcp/testdata/account.pem");
const ACCOUNT_PUBLIC: &str = include_str!("../../src/secret/gcp/testdata/account.pub.pem");

type Held = Arc<Mutex<HashMap<String, String>>>;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a request is signed as AWS describes it (Signature Version 4), from what the request says it has signed.
fn is_signed(received: &Received) -> bool {
    let said = received.header("authorization").unwrap_or_default();
    let field = |name: &str| {
        let after = said.split(&format!("{name}=")).nth(1)?;
        Some(after.split(',').next()?.trim().to_owned())
    };
    let (Some(credential), Some(signed), Some(signature)) = (
        field("Credential"),
        field("SignedHeaders"),
        field("Signature"),
    ) else {
        return false;
    };
    let Some((access, scope)) = credential.split_once('/') else {
        return false;
    };
    let headers: String = signed
        .split(';')
        .map(|name| format!("{name}:{}\n", received.header(name).unwrap_or_default()))
        .collect();
    let body = hex(digest::digest(&digest::SHA256, &received.body).as_ref());
    let canonical = format!(
        "{}\n{}\n\n{headers}\n{signed}\n{body}",
        received.method, received.target
    );
    let date = received.header("x-amz-date").unwrap_or_default();
    let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let mut key = format!("AWS4{SECRET}").into_bytes();
    for part in scope.split('/').chain([&*text]) {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
    }
    let needed = [
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-target",
    ];
    access == ACCESS
        && scope.ends_with("/eu-west-1/secretsmanager/aws4_request")
        && signed.split(';').eq(needed)
        && received.header("x-amz-security-token") == Some(SESSION)
        && signature == hex(&key)
}

/// AWS Secrets Manager.
struct Aws {
    server: Upstream,
    secrets: Held,
}

fn aws_error(status: u16, code: &str) -> Answer {
    let body = json!({ "__type": code, "Message": "the remote side's own words" });
    Answer::Reply(crate::support::Reply::new(status, body.to_string()))
}

impl Aws {
    async fn over(server: Upstream) -> Self {
        let aws = Self {
            server,
            secrets: Held::default(),
        };
        aws.works();
        aws
    }

    fn works(&self) {
        let known = self.secrets.clone();
        self.server.script(move |received| {
            if !is_signed(received) {
                return aws_error(400, "InvalidSignatureException");
            }
            let asked: Value = serde_json::from_slice(&received.body).unwrap();
            assert_eq!(
                received.header("x-amz-target"),
                Some("secretsmanager.GetSecretValue")
            );
            assert_eq!(asked["VersionStage"], "AWSCURRENT");
            let name = asked["SecretId"].as_str().unwrap();
            match known.lock().unwrap().get(name).map(String::as_str) {
                Some("denied") => aws_error(400, "AccessDeniedException"),
                Some(secret) => {
                    Answer::text(json!({ "Name": name, "SecretString": secret }).to_string())
                }
                None => aws_error(400, "ResourceNotFoundException"),
            }
        });
    }

    fn put(&self, name: &str, secret: &str) {
        let mut secrets = self.secrets.lock().unwrap();
        secrets.insert(name.to_owned(), secret.to_owned());
    }

    fn document(&self, scheme: &str, host: &str) -> Value {
        json!({
            "access_key_id": "$env://AWS/id", "secret_access_key": "$env://AWS/secret",
            "session_token": "$env://AWS/session", "region": "eu-west-1",
            "endpoint_url": format!("{scheme}://{host}:{}", self.server.addr().port()),
        })
    }
}

async fn gateway(settings: &str) -> Gateway {
    let credentials = json!({ "id": ACCESS, "secret": SECRET, "session": SESSION });
    let builder = Gateway::builder()
        .with_settings(SETTINGS)
        .with_settings("log: {level: debug}\n")
        .with_settings(settings)
        .with_env("AWS", &credentials.to_string())
        .with_env("GOOGLE_KEY", ACCOUNT_KEY);
    builder.start().await
}

fn says_none_of(gateway: &Gateway, secrets: &[&str]) {
    let log = gateway.log();
    for secret in secrets {
        assert!(!log.contains(secret), "{secret} in:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_from_aws_opens_and_a_new_one_takes_its_place() {
    let gateway = gateway("").await;
    let (upstream, aws) = (
        Upstream::start().await,
        Aws::over(Upstream::start().await).await,
    );
    aws.put("prod/jack", r#"{"key": "aws-first", "a/b": "aws-inner"}"#);
    aws.put("plain", "aws-plain");
    gateway
        .put("/secrets/aws/1", aws.document("http", "127.0.0.1"))
        .await;
    door(&gateway, &upstream, "$secret://aws/1/prod/jack/key").await;
    comes_to(&gateway, "aws-first", 200).await;
    assert_eq!(status(&gateway, "$secret://aws/1/prod/jack/key").await, 401);
    let asked: Vec<Value> = aws
        .server
        .requests()
        .iter()
        .take(2)
        .map(|r| serde_json::from_slice::<Value>(&r.body).unwrap()["SecretId"].clone())
        .collect();
    assert_eq!(asked, ["prod/jack/key", "prod/jack"]);
    aws.put("prod/jack", r#"{"key": "aws-second", "a/b": "aws-inner"}"#);
    comes_to(&gateway, "aws-second", 200).await;
    assert_eq!(status(&gateway, "aws-first").await, 401);
    // A field may have slashes, and a secret no fields.
    door(&gateway, &upstream, "$secret://aws/1/prod/jack/a/b").await;
    comes_to(&gateway, "aws-inner", 200).await;
    door(&gateway, &upstream, "$secret://aws/1/plain").await;
    comes_to(&gateway, "aws-plain", 200).await;
    // Who may read this secret alone is not told whether there are others.
    aws.put("jack/key", "denied");
    aws.put("jack", r#"{"key": "aws-third"}"#);
    door(&gateway, &upstream, "$secret://aws/1/jack/key").await;
    comes_to(&gateway, "aws-third", 200).await;
    says_none_of(&gateway, &["aws-", SECRET, SESSION]);
    assert_eq!(aws.server.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_aws_nothing_opens_and_with_it_the_last_value_serves_on() {
    let gateway = gateway("").await;
    let (upstream, mut aws) = (
        Upstream::start().await,
        Aws::over(Upstream::start().await).await,
    );
    gateway
        .put("/secrets/aws/1", aws.document("http", "127.0.0.1"))
        .await;
    door(&gateway, &upstream, "$secret://aws/1/jack/key").await;
    let why = async || {
        let standing = gateway.control("/v1/status").await.json();
        standing["secrets"]["unresolved"][0]["why"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let says = async |part: &str| {
        eventually(part, PATIENCE, async || why().await.contains(part)).await;
        assert_eq!(status(&gateway, "aws-key").await, 401, "{part}");
    };
    says("AWS has no such secret").await;
    for (answer, said) in [
        (
            Answer::text("<html>nonsense</html>"),
            "AWS answered something that is no secret",
        ),
        (
            Answer::text(r#"{"SecretString": 1}"#),
            "AWS answered something that is no secret",
        ),
        (
            Answer::text(r#"{"SecretBinary": "aGk="}"#),
            "the secret is binary",
        ),
        (Answer::text(r#"{"SecretString": "hush-hush"}"#), ""),
        (
            aws_error(400, "ExpiredTokenException"),
            "400 Bad Request (ExpiredTokenException)",
        ),
        (aws_error(400, "hush hush"), "AWS answered 400 Bad Request"),
        (Answer::status(503), "AWS answered 503"),
        (
            Answer::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()),
            "AWS: the exchange failed",
        ),
        (Answer::Hang, "no answer within 1000 ms"),
    ] {
        aws.server.answer(answer);
        says(said).await;
        assert!(!why().await.contains("hush"));
    }
    aws.put("jack", r#"{"key": "aws-key"}"#);
    aws.works();
    comes_to(&gateway, "aws-key", 200).await;
    for answer in [Answer::status(503), Answer::Hang, Answer::text("nonsense")] {
        aws.server.answer(answer);
        let asked = aws.server.hits();
        eventually("AWS was asked twice", PATIENCE, async || {
            aws.server.hits() > asked + 1
        })
        .await;
        assert_eq!(status(&gateway, "aws-key").await, 200);
    }
    aws.server.stop().await;
    gateway
        .put(
            "/routes/3",
            json!({ "uri": "/3", "upstream": upstream.document() }),
        )
        .await;
    assert_eq!(status(&gateway, "aws-key").await, 200);
    aws.server.resume().await;
    // Marked for deletion.
    aws.server.answer(aws_error(400, "InvalidRequestException"));
    comes_to(&gateway, "aws-key", 401).await;
    says_none_of(&gateway, &["aws-key", "hush", "own words", SECRET, SESSION]);
}

#[tokio::test(flavor = "multi_thread")]
async fn managers_are_verified_by_the_authorities_in_the_settings_too() {
    let authority = Authority::new("internal");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let settings = format!("upstream: {{ca_file: \"{}\"}}\n", file.display());
    let (trusting, strict) = (gateway(&settings).await, gateway("").await);
    let leaf = authority.issue(&["localhost"]);
    let aws = Aws::over(Upstream::start_with(leaf.server(None)).await).await;
    aws.put("jack", r#"{"key": "aws-key"}"#);
    let upstream = Upstream::start().await;
    for gateway in [&trusting, &strict] {
        gateway
            .put("/secrets/aws/1", aws.document("https", "localhost"))
            .await;
        door(gateway, &upstream, "$secret://aws/1/jack/key").await;
    }
    comes_to(&trusting, "aws-key", 200).await;
    let standing = strict.control("/v1/status").await.json();
    let why = standing["secrets"]["unresolved"][0]["why"].to_string();
    assert!(
        why.contains("AWS: cannot connect") && why.contains("certificate"),
        "{why}"
    );
    assert_eq!(status(&strict, "aws-key").await, 401);
}

/// Google's token endpoint and Secret Manager.
struct Google {
    server: Upstream,
    secrets: Held,
    /// The number in the only token that counts.
    token: Arc<Mutex<usize>>,
}

impl Google {
    async fn over(server: Upstream) -> Self {
        let google = Self {
            server,
            secrets: Held::default(),
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
                    return Answer::Reply(crate::support::Reply::new(
                        400,
                        r#"{"error": "invalid_grant"}"#,
                    ));
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
    let gateway = gateway("").await;
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
    let gateway = gateway("").await;
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
            Answer::Reply(crate::support::Reply::new(
                400,
                r#"{"error": "invalid_grant"}"#,
            )),
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
    let gateway = gateway("").await;
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
async fn a_manager_that_could_not_be_asked_is_refused_when_it_is_written() {
    let gateway = gateway("").await;
    let aws = json!({ "access_key_id": "a", "secret_access_key": "b" });
    let gcp = json!({ "client_email": "a", "private_key": ACCOUNT_KEY, "project_id": "p" });
    let with = |document: &Value, field: &str, value: &str| {
        let mut document = document.clone();
        document[field] = value.into();
        document
    };
    for (at, document, said) in [
        (
            "/secrets/aws/1",
            with(&aws, "region", "hush.test/"),
            "/region",
        ),
        (
            "/secrets/aws/1",
            with(&aws, "session_token", "hush hush"),
            "/session_token",
        ),
        (
            "/secrets/aws/1",
            with(&aws, "secret_access_key", "$env://NOBODY"),
            "no variable NOBODY",
        ),
        (
            "/secrets/gcp/1",
            json!({ "auth_config": with(&gcp, "private_key", "hush-hush-hush") }),
            "expected an RSA key in PEM (at /auth_config/private_key)",
        ),
        (
            "/secrets/gcp/1",
            json!({ "auth_config": with(&gcp, "private_key", "$secret://vault/1/a/b") }),
            "only $env:// is (at /auth_config/private_key)",
        ),
    ] {
        let answer = gateway
            .admin()
            .put(at, &document)
            .await
            .expect_status(400)
            .text();
        assert!(
            answer.contains(said) && !answer.contains("hush"),
            "{answer}"
        );
    }
    for (at, document) in [
        ("/secrets/aws/1", aws),
        ("/secrets/gcp/1", json!({ "auth_config": gcp })),
    ] {
        gateway.admin().put(at, &document).await.expect_status(201);
    }
}
