//! HashiCorp Vault: the key-value engine, of version 1 or 2.

use super::{
    environment::text,
    fetch::{MAX_ANSWER, Trouble, own},
    keeper::Wanted,
};
use crate::model::secret::Vault;
use bytes::Bytes;
use crossway_sdk::client::Client;
use http::{HeaderValue, Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::time::Duration;

/// Unreserved characters stay (RFC 3986 §2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

pub(super) async fn fetch(
    client: &Client,
    vault: &Vault,
    wanted: &Wanted,
    timeout: Duration,
) -> Result<String, Trouble> {
    let answer = client
        .send(request(vault, &wanted.path)?, timeout, MAX_ANSWER)
        .await
        .map_err(|e| Trouble::Unreachable(format!("Vault: {e}")))?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(Trouble::Gone("Vault has no such secret".to_owned())),
        status => return Err(Trouble::Unreachable(format!("Vault answered {status}"))),
    }
    let field = wanted.field.as_deref().unwrap_or_default();
    field_of(answer.body(), field)
}

fn request(vault: &Vault, path: &str) -> Result<Request<Bytes>, Trouble> {
    let bad = |what: &str| Trouble::Unreachable(format!("the manager's {what} cannot be used"));
    let (uri, prefix) = (own(&vault.uri)?, own(&vault.prefix)?);
    let segments = prefix.split('/').chain(path.split('/'));
    let mut target = format!("{}/v1", uri.trim_end_matches('/'));
    for segment in segments.filter(|segment| !segment.is_empty()) {
        target.push('/');
        target.extend(utf8_percent_encode(segment, SEGMENT));
    }
    let token = own(&vault.token)?;
    let mut token = HeaderValue::from_str(&token).map_err(|_| bad("token"))?;
    token.set_sensitive(true);
    let mut request = Request::get(target).header("x-vault-token", token);
    if let Some(namespace) = &vault.namespace {
        let namespace = own(namespace)?;
        let value = HeaderValue::from_str(&namespace).map_err(|_| bad("namespace"))?;
        request = request.header("x-vault-namespace", value);
    }
    request.body(Bytes::new()).map_err(|_| bad("uri"))
}

/// The field of a secret. Version 2 of the engine wraps the fields once more and has metadata beside them.
fn field_of(body: &[u8], field: &str) -> Result<String, Trouble> {
    let nonsense = || Trouble::Unreachable("Vault answered something that is no secret".to_owned());
    let answer: Value = serde_json::from_slice(body).map_err(|_| nonsense())?;
    let data = answer
        .get("data")
        .and_then(Value::as_object)
        .ok_or_else(nonsense)?;
    let inner = match (data.get("data"), data.get("metadata")) {
        (Some(Value::Object(inner)), Some(Value::Object(_))) => inner.get(field),
        _ => None,
    };
    let value = inner.or_else(|| data.get(field));
    let value = value.ok_or_else(|| Trouble::Gone("the secret has no such field".to_owned()))?;
    text(value).ok_or_else(|| Trouble::Gone("the field is no text".to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn vault() -> Vault {
        serde_json::from_value(json!({
            "uri": "http://127.0.0.1:8200/", "prefix": "/kv/apisix/", "token": "root",
            "namespace": "n"
        }))
        .unwrap()
    }

    #[test]
    fn the_way_to_a_secret_is_made_of_prefix_and_path() {
        let request = request(&vault(), "users/jack?x#y z").unwrap();
        assert_eq!(
            request.uri().to_string(),
            "http://127.0.0.1:8200/v1/kv/apisix/users/jack%3Fx%23y%20z"
        );
        assert_eq!(request.headers()["x-vault-token"], "root");
        assert_eq!(request.headers()["x-vault-namespace"], "n");
        assert!(!format!("{request:?}").contains("root"));
    }

    #[test]
    fn a_token_that_refers_to_a_manager_is_not_sent() {
        let vault = Vault {
            token: "$secret://vault/1/a/b".to_owned(),
            ..vault()
        };
        assert!(matches!(request(&vault, "a"), Err(Trouble::Unreachable(_))));
    }

    #[test]
    fn both_versions_of_the_engine_are_read() {
        let of = |answer: Value| field_of(answer.to_string().as_bytes(), "key");
        assert_eq!(of(json!({"data": {"key": "one"}})), Ok("one".to_owned()));
        let second = json!({"data": {"data": {"key": "two"}, "metadata": {"version": 1}}});
        assert_eq!(of(second), Ok("two".to_owned()));
        assert_eq!(of(json!({"data": {"key": 3}})), Ok("3".to_owned()));
        assert!(matches!(
            of(json!({"data": {"other": "x"}})),
            Err(Trouble::Gone(_))
        ));
        assert!(matches!(
            of(json!({"data": {"key": {}}})),
            Err(Trouble::Gone(_))
        ));
        assert!(matches!(
            of(json!({"errors": []})),
            Err(Trouble::Unreachable(_))
        ));
        assert!(matches!(
            field_of(b"<html>", "key"),
            Err(Trouble::Unreachable(_))
        ));
    }
}
