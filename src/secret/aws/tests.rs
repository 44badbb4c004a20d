//! What is asked, how it is signed, and what answers mean.

use super::*;
use ring::{digest, hmac};
use std::time::Duration;

fn aws() -> Aws {
    serde_json::from_value(json!({
        "access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": "the-session", "endpoint_url": "http://127.0.0.1:4566/a/path"
    }))
    .unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sign_with(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// Signature Version 4 as AWS describes it, written once more.
fn signature(secret: &str, date: &str, region: &str, canonical: &str) -> String {
    let day = date.split('T').next().unwrap();
    let scope = format!("{day}/{region}/secretsmanager/aws4_request");
    let digest = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    let parts = [day, region, "secretsmanager", "aws4_request"];
    let first = format!("AWS4{secret}").into_bytes();
    let key = parts.iter().fold(first, |key, part| sign_with(&key, part));
    hex(&sign_with(&key, &text))
}

#[test]
fn the_request_is_signed_as_aws_describes_it() {
    // 2015-08-30T12:36:00Z, the time of the test suite of AWS.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160);
    let request = request(&aws(), "prod/jack", now).unwrap();
    assert_eq!(request.uri(), "http://127.0.0.1:4566/");
    let sent: Value = serde_json::from_slice(request.body()).unwrap();
    assert_eq!(
        sent,
        json!({"SecretId": "prod/jack", "VersionStage": "AWSCURRENT"})
    );
    let canonical = format!(
        "POST\n/\n\ncontent-type:application/x-amz-json-1.1\nhost:127.0.0.1:4566\n\
         x-amz-date:20150830T123600Z\nx-amz-security-token:the-session\n\
         x-amz-target:secretsmanager.GetSecretValue\n\n\
         content-type;host;x-amz-date;x-amz-security-token;x-amz-target\n{}",
        hex(digest::digest(&digest::SHA256, request.body()).as_ref())
    );
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    let signature = signature(secret, "20150830T123600Z", "us-east-1", &canonical);
    let expected = format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/secretsmanager/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature={signature}"
    );
    assert_eq!(request.headers()["authorization"], expected);
    assert_eq!(request.headers()["x-amz-security-token"], "the-session");
    let shown = format!("{request:?}");
    assert!(
        !shown.contains("the-session") && !shown.contains(&signature),
        "{shown}"
    );
}

#[test]
fn the_derivation_of_keys_is_that_of_awss_example() {
    // From "Create a signed AWS API request": the key for IAM in us-east-1 on 2015-08-30.
    let parts = ["20150830", "us-east-1", "iam", "aws4_request"];
    let first = b"AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_vec();
    let key = parts.iter().fold(first, |key, part| sign_with(&key, part));
    assert_eq!(
        hex(&key),
        "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9"
    );
}

#[test]
fn the_longest_name_is_tried_first() {
    let all: Vec<_> = readings("a/b/c").collect();
    assert_eq!(
        all,
        [("a/b/c", None), ("a/b", Some("c")), ("a", Some("b/c"))]
    );
    assert_eq!(readings("a").collect::<Vec<_>>(), [("a", None)]);
}

#[test]
fn the_service_is_where_region_or_endpoint_say() {
    let mut aws = aws();
    for (written, expected) in [
        ("https://localhost", "https://localhost/"),
        ("http://[::1]:1/x", "http://[::1]:1/"),
    ] {
        aws.endpoint_url = Some(written.to_owned());
        assert_eq!(endpoint(&aws, "eu-west-1").unwrap(), expected);
    }
    aws.endpoint_url = None;
    let default = "https://secretsmanager.eu-west-1.amazonaws.com/";
    assert_eq!(endpoint(&aws, "eu-west-1").unwrap(), default);
    for region in ["", "evil.test/", "a b"] {
        assert_eq!(endpoint(&aws, region).unwrap_err().0, "/region");
    }
}

#[test]
fn what_cannot_be_sent_is_named_and_not_said() {
    let with = |change: fn(&mut Aws)| {
        let mut aws = aws();
        change(&mut aws);
        judge(&aws).unwrap_err()
    };
    for (field, (at, why)) in [
        (
            "/access_key_id",
            with(|a| a.access_key_id = "hush\nhush".to_owned()),
        ),
        (
            "/session_token",
            with(|a| a.session_token = Some("hush hush".to_owned())),
        ),
        ("/region", with(|a| a.region = "hush/".to_owned())),
        (
            "/endpoint_url",
            with(|a| a.endpoint_url = Some("ftp://hush".to_owned())),
        ),
        (
            "/secret_access_key",
            with(|a| a.secret_access_key = "$secret://vault/1/a/b".to_owned()),
        ),
    ] {
        assert_eq!(at, field);
        assert!(!why.contains("hush"), "{why}");
    }
    assert_eq!(judge(&aws()), Ok(()));
}

#[test]
fn an_error_is_named_with_its_model_or_without() {
    for named in [
        "ResourceNotFoundException",
        "com.amazonaws#ResourceNotFoundException",
    ] {
        assert_eq!(
            code(&json!({ "__type": named })),
            Some("ResourceNotFoundException")
        );
    }
    assert_eq!(code(&json!({"message": "x"})), None);
}
