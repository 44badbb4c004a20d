//! HashiCorp Vault: the key-value engine, of version 1 or 2.

use super::fetch::{Line, SEGMENT, Trouble, Unfit, address, field_of, own};
use crate::model::secret::Vault;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode};
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

/// `key` is the path of a secret and its field.
pub(super) async fn fetch(line: &Line<'_>, vault: &Vault, key: &str) -> Result<String, Trouble> {
    let (path, field) = key.rsplit_once('/').unwrap_or((key, ""));
    let answer = line.ask(request(vault, path)?).await?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Err(line.gone()),
        status => return Err(line.refused(status, None)),
    }
    let fields = serde_json::from_slice(answer.body()).ok();
    let fields = fields.as_ref().and_then(fields_of);
    let fields = fields.ok_or_else(|| line.nonsense())?;
    field_of(fields.get(field))
}

pub(super) fn judge(vault: &Vault) -> Result<(), Unfit> {
    request(vault, "").map(drop)
}

fn request(vault: &Vault, path: &str) -> Result<Request<Bytes>, Unfit> {
    let (mut target, prefix) = (address("/uri", &vault.uri)?, own("/prefix", &vault.prefix)?);
    target.push_str("/v1");
    let segments = prefix.split('/').chain(path.split('/'));
    for segment in segments.filter(|segment| !segment.is_empty()) {
        target.push('/');
        target.extend(utf8_percent_encode(segment, SEGMENT));
    }
    let mut token = header("/token", &vault.token)?;
    token.set_sensitive(true);
    let mut request = Request::get(target).header("x-vault-token", token);
    if let Some(namespace) = &vault.namespace {
        request = request.header("x-vault-namespace", header("/namespace", namespace)?);
    }
    let unfit = |_| ("/uri", "it cannot be used".to_owned());
    request.body(Bytes::new()).map_err(unfit)
}

fn header(field: &'static str, text: &str) -> Result<HeaderValue, Unfit> {
    let value = HeaderValue::from_str(&own(field, text)?);
    value.map_err(|_| (field, "it cannot be sent in a header".to_owned()))
}

/// The fields of a secret. Version 2 of the engine wraps them once more and has metadata beside them.
fn fields_of(answer: &Value) -> Option<Fields<'_>> {
    let outer = answer.get("data").filter(|data| data.is_object())?;
    let inner = match (outer.get("data"), outer.get("metadata")) {
        (Some(inner @ Value::Object(_)), Some(Value::Object(_))) => Some(inner),
        _ => None,
    };
    Some(Fields { inner, outer })
}

struct Fields<'a> {
    inner: Option<&'a Value>,
    outer: &'a Value,
}

impl<'a> Fields<'a> {
    fn get(&self, field: &str) -> Option<&'a Value> {
        let inner = self.inner.and_then(|inner| inner.get(field));
        inner.or_else(|| self.outer.get(field))
    }
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
    fn what_cannot_be_sent_is_named_and_not_said() {
        let with = |change: fn(&mut Vault)| {
            let mut vault = vault();
            change(&mut vault);
            judge(&vault).unwrap_err()
        };
        let managed = with(|v| v.token = "$secret://vault/1/a/b".to_owned());
        assert_eq!(managed.0, "/token");
        assert!(managed.1.contains("only $env:// is"), "{}", managed.1);
        for (field, (at, why)) in [
            ("/token", with(|v| v.token = "hush\n".to_owned())),
            (
                "/namespace",
                with(|v| v.namespace = Some("hush\n".to_owned())),
            ),
            ("/uri", with(|v| v.uri = "ftp://hush".to_owned())),
        ] {
            assert_eq!(at, field);
            assert!(!why.contains("hush"), "{why}");
        }
        assert_eq!(judge(&vault()), Ok(()));
    }

    #[test]
    fn both_versions_of_the_engine_are_read() {
        let of = |answer: Value| {
            let fields = fields_of(&answer)?;
            Some(field_of(fields.get("key")))
        };
        assert_eq!(
            of(json!({"data": {"key": "one"}})),
            Some(Ok("one".to_owned()))
        );
        let second = json!({"data": {"data": {"key": "two"}, "metadata": {"version": 1}}});
        assert_eq!(of(second), Some(Ok("two".to_owned())));
        assert_eq!(of(json!({"data": {"key": 3}})), Some(Ok("3".to_owned())));
        for data in [json!({"other": "x"}), json!({"key": {}})] {
            let gone = of(json!({ "data": data }));
            assert!(matches!(gone, Some(Err(Trouble::Gone(_)))), "{gone:?}");
        }
        for nonsense in [json!({"errors": []}), json!({"data": "x"}), json!([])] {
            assert_eq!(of(nonsense), None);
        }
    }
}
