//! What is asked, how the claim is signed, and what answers mean.

use super::*;
use base64::engine::general_purpose::STANDARD;

/// Made for these tests: RSA, 2048 bits.
const KEY: &str = include_str!("testdata/account.pem");
const PUBLIC: &str = include_str!("testdata/account.pub.pem");

fn gcp() -> Gcp {
    serde_json::from_value(json!({"auth_config": {
        "client_email": "me@a.test", "private_key": KEY, "project_id": "a-project",
        "token_uri": "http://127.0.0.1:1/token", "entries_uri": "http://127.0.0.1:1/v1/",
        "scope": ["a", "b"]
    }}))
    .unwrap()
}

fn account() -> Account {
    Account::written(gcp().auth_config.as_ref().unwrap()).unwrap()
}

#[test]
fn the_claim_is_signed_and_says_who_asks_for_what() {
    use jsonwebtoken::{DecodingKey, Validation};
    let claim = account().claim(1_000).unwrap();
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_audience(&["http://127.0.0.1:1/token"]);
    rules.validate_exp = false;
    let key = DecodingKey::from_rsa_pem(PUBLIC.as_bytes()).unwrap();
    let read = jsonwebtoken::decode::<Value>(&claim, &key, &rules).unwrap();
    let expected = json!({
        "iss": "me@a.test", "aud": "http://127.0.0.1:1/token", "scope": "a b",
        "iat": 1_000, "exp": 4_600
    });
    assert_eq!(read.claims, expected);
}

#[test]
fn a_secret_is_asked_for_in_its_latest_version() {
    let request = account().access("a/../b", "token").unwrap();
    assert_eq!(
        request.uri().to_string(),
        "http://127.0.0.1:1/v1/projects/a-project/secrets/a%2F..%2Fb/versions/latest:access"
    );
    assert_eq!(request.headers()["authorization"], "Bearer token");
    assert!(!format!("{request:?}").contains("Bearer"));
}

#[test]
fn answers_are_read() {
    let managers = crossway_sdk::client::Client::new(Default::default());
    let line = Line::to(&managers, "Google Cloud");
    let of = |status: u16, body: Value| {
        secret_of(
            &line,
            StatusCode::from_u16(status).unwrap(),
            body.to_string().as_bytes(),
        )
    };
    let payload = |data: String| json!({"payload": {"data": data}});
    for data in [
        STANDARD.encode("hush"),
        STANDARD.encode("hush").replace('=', ""),
    ] {
        assert_eq!(of(200, payload(data)), Ok("hush".to_owned()));
    }
    assert!(matches!(
        of(200, payload(STANDARD.encode([255]))),
        Err(Trouble::Gone(_))
    ));
    assert!(matches!(of(404, json!({})), Err(Trouble::Gone(_))));
    let disabled = json!({"error": {"status": "FAILED_PRECONDITION"}});
    assert!(matches!(of(400, disabled), Err(Trouble::Gone(_))));
    for (status, body, said) in [
        (
            403,
            json!({"error": {"status": "PERMISSION_DENIED"}}),
            "(PERMISSION_DENIED)",
        ),
        (
            403,
            json!({"error": {"status": "a text of any kind"}}),
            "403 Forbidden",
        ),
        (200, json!({}), "no secret"),
        (200, payload("§".to_owned()), "no secret"),
    ] {
        let Err(Trouble::Unreachable(why)) = of(status, body) else {
            panic!("{said}");
        };
        assert!(why.contains(said) && !why.contains("any kind"), "{why}");
    }
}

#[test]
fn what_cannot_be_used_is_named_and_not_said() {
    let with = |field: &str, value: &str| {
        let mut gcp = serde_json::to_value(json!({
            "client_email": "me@a.test", "private_key": KEY, "project_id": "p"
        }))
        .unwrap();
        gcp[field] = value.into();
        let gcp: Gcp = serde_json::from_value(json!({ "auth_config": gcp })).unwrap();
        judge(&gcp).unwrap_err()
    };
    for (field, value) in [
        ("private_key", "hush"),
        (
            "private_key",
            "-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n",
        ),
        ("private_key", "$secret://vault/1/a/b"),
        ("token_uri", "ftp://hush"),
        ("entries_uri", "hush"),
    ] {
        let (at, why) = with(field, value);
        assert_eq!(at, format!("/auth_config/{field}"));
        assert!(!why.contains("hush"), "{why}");
    }
    assert_eq!(judge(&gcp()), Ok(()));
}

#[tokio::test]
async fn a_file_of_google_is_read_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("account.json");
    let gcp: Gcp = serde_json::from_value(json!({ "auth_file": path.to_str() })).unwrap();
    let why = |trouble: Trouble| match trouble {
        Trouble::Gone(why) | Trouble::Unreachable(why) => why,
    };
    assert!(why(Account::of(&gcp).await.err().unwrap()).contains("cannot be read"));
    std::fs::write(&path, "hush").unwrap();
    let error = why(Account::of(&gcp).await.err().unwrap());
    assert!(
        error.contains("no service account") && !error.contains("hush"),
        "{error}"
    );
    let file = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": KEY,
        "client_email": "me@a.test", "client_id": "1", "token_uri": "https://a.test/token"
    });
    std::fs::write(&path, file.to_string()).unwrap();
    let read = Account::of(&gcp).await.ok().unwrap();
    assert_eq!(read.token_uri, "https://a.test/token");
    assert_eq!(read.entries_uri, "https://secretmanager.googleapis.com/v1");
    assert_eq!(read.scope, "https://www.googleapis.com/auth/cloud-platform");
}

#[test]
fn a_token_is_given_up_before_its_end() {
    let now = Instant::now();
    let mut slot = Slot(Some(("one".into(), now + Duration::from_secs(1))));
    let held = slot.valid(now).unwrap();
    assert!(slot.valid(now + Duration::from_secs(1)).is_none());
    slot.forget(&"one".into());
    assert!(slot.valid(now).is_some(), "it is another one");
    slot.forget(&held);
    assert!(slot.valid(now).is_none());
}
