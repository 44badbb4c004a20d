//! References to secrets of AWS: how it is asked, and what happens when it is away or talks nonsense. It is played by a server that
//! verifies signatures by rules of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use ring::{digest, hmac};
use serde_json::{Value, json};

use crate::secrets::{SETTINGS, comes_to, door, status};
use crate::support::{Answer, Authority, Gateway, PATIENCE, Received, Reply, Upstream, eventually};

const ACCESS: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "the-aws-session-token";

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
    Answer::Reply(Reply::new(status, body.to_string()))
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
        .with_env("AWS", &credentials.to_string());
    builder.start().await
}

pub(crate) fn says_none_of(gateway: &Gateway, secrets: &[&str]) {
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

#[tokio::test(flavor = "multi_thread")]
async fn aws_is_refused_when_it_could_not_be_asked() {
    let gateway = gateway("").await;
    let aws = json!({ "access_key_id": "a", "secret_access_key": "b" });
    for (field, value, said) in [
        ("region", "hush.test/", "/region"),
        ("session_token", "hush hush", "/session_token"),
        ("secret_access_key", "$env://NOBODY", "no variable NOBODY"),
    ] {
        let mut document = aws.clone();
        document[field] = value.into();
        let answer = gateway.admin().put("/secrets/aws/1", &document).await;
        let text = answer.expect_status(400).text();
        assert!(text.contains(said) && !text.contains("hush"), "{text}");
    }
    let answer = gateway.admin().put("/secrets/aws/1", &aws).await;
    answer.expect_status(201);
}
