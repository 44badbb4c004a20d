//! References to secrets: `$env://NAME/field` and `$secret://vault/1/path/field`, and where in a document they count.

use crossway_sdk::schema::member;
use serde_json::Value;

use super::{
    id::Id,
    kind::{IdShape, Kind},
};

/// What a text refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretReference {
    /// A variable of the gateway's environment.
    Environment {
        /// Its name.
        name: String,
        /// The way to the value inside of it, which is JSON; empty for the variable itself.
        within: Vec<String>,
    },
    /// A secret that a secret manager has.
    Managed {
        /// The document that says which manager, and how to ask it: `vault/1`.
        manager: Id,
        /// What the manager is asked for: one or more segments, with a slash between them. Where the name of a secret ends and
        /// that of a field begins, each kind of manager has its own rules for.
        key: String,
    },
}

/// Why a text that looks like a reference is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    /// No name follows `$env://`.
    #[error("expected $env://NAME or $env://NAME/field")]
    Environment,
    /// Manager, id or key are missing, or are no such things.
    #[error("expected $secret://MANAGER/ID/KEY/FIELD, the manager one of vault, aws, gcp")]
    Managed,
    /// Vault keeps no secrets without fields.
    #[error("expected $secret://vault/ID/PATH/FIELD")]
    Field,
    /// A segment would leave the place that the manager's document sets.
    #[error("the key of a secret has neither empty segments nor `.` or `..`")]
    Segment,
}

impl SecretReference {
    /// Reads a text; `None` when it is not meant as a reference. The scheme's case does not matter.
    pub fn parse(text: &str) -> Option<Result<Self, BadReference>> {
        let (scheme, rest) = text.split_once("://")?;
        if scheme.eq_ignore_ascii_case("$env") {
            Some(environment(rest))
        } else if scheme.eq_ignore_ascii_case("$secret") {
            Some(managed(rest))
        } else {
            None
        }
    }
}

fn environment(rest: &str) -> Result<SecretReference, BadReference> {
    let mut parts = rest.split('/').map(str::to_owned);
    let name = parts.next().filter(|name| !name.is_empty());
    let within: Vec<String> = parts.collect();
    match name {
        Some(name) if within.iter().all(|part| !part.is_empty()) => {
            Ok(SecretReference::Environment { name, within })
        }
        _ => Err(BadReference::Environment),
    }
}

fn managed(rest: &str) -> Result<SecretReference, BadReference> {
    let mut parts = rest.splitn(3, '/');
    let (Some(manager), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(BadReference::Managed);
    };
    let manager = Id::parse(IdShape::Secret, &format!("{manager}/{id}"));
    let manager = manager.map_err(|_| BadReference::Managed)?;
    if key.is_empty() {
        return Err(BadReference::Managed);
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(BadReference::Segment);
    }
    if manager.scope() == Some("vault") && !key.contains('/') {
        return Err(BadReference::Field);
    }
    Ok(SecretReference::Managed {
        manager,
        key: key.to_owned(),
    })
}

/// Where references count in the `tls` of an upstream.
pub const SECRET_TLS: [&str; 3] = ["/client_cert", "/client_key", "/ca_certs"];
/// Where references count in an ssl.
pub const SECRET_SSL: [&str; 5] = ["/cert", "/key", "/certs", "/keys", "/client/ca"];

/// The texts of a document that are meant as references to secrets and stand where they count, with their JSON pointers:
/// anywhere in a plugin that is not switched off and in its metadata, in the certificates and keys of an ssl, and in those of an
/// upstream.
pub fn secret_texts(kind: Kind, document: &Value) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    if kind.row().plugins
        && let Some(Value::Object(plugins)) = document.get("plugins")
    {
        let off = |config: &Value| config.pointer("/_meta/disable") == Some(&Value::Bool(true));
        for (name, config) in plugins.iter().filter(|(_, config)| !off(config)) {
            walk(config, &mut member("/plugins", name), &mut found);
        }
    }
    let mut within = |at: &str, pointers: &[&str]| {
        let Some(whole) = document.pointer(at) else {
            return;
        };
        for pointer in pointers {
            if let Some(value) = whole.pointer(pointer) {
                walk(value, &mut format!("{at}{pointer}"), &mut found);
            }
        }
    };
    match kind {
        Kind::Ssl => within("", &SECRET_SSL),
        Kind::Upstream => within("/tls", &SECRET_TLS),
        Kind::Route | Kind::Service | Kind::StreamRoute => within("/upstream/tls", &SECRET_TLS),
        Kind::PluginMetadata => walk(document, &mut String::new(), &mut found),
        _ => {}
    }
    found
}

fn walk<'d>(value: &'d Value, at: &mut String, found: &mut Vec<(String, &'d str)>) {
    match value {
        Value::String(text) if SecretReference::parse(text).is_some() => {
            found.push((at.clone(), text));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &mut format!("{at}/{index}"), found);
            }
        }
        Value::Object(members) => {
            for (name, inner) in members {
                walk(inner, &mut member(at, name), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Result<SecretReference, BadReference> {
        SecretReference::parse(text).unwrap()
    }

    #[test]
    fn the_environment_is_referred_to_in_any_case() {
        let plain = SecretReference::Environment {
            name: "KEY".to_owned(),
            within: Vec::new(),
        };
        assert_eq!(parsed("$env://KEY"), Ok(plain.clone()));
        assert_eq!(parsed("$ENV://KEY"), Ok(plain));
        let inner = SecretReference::Environment {
            name: "KEYS".to_owned(),
            within: vec!["jack".to_owned(), "key".to_owned()],
        };
        assert_eq!(parsed("$env://KEYS/jack/key"), Ok(inner));
    }

    #[test]
    fn a_secret_has_a_manager_a_path_and_a_field() {
        let expected = SecretReference::Managed {
            manager: Id::parse(IdShape::Secret, "vault/1").unwrap(),
            key: "users/jack/key".to_owned(),
        };
        assert_eq!(
            parsed("$secret://vault/1/users/jack/key"),
            Ok(expected.clone())
        );
        assert_eq!(parsed("$SECRET://vault/1/users/jack/key"), Ok(expected));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        for text in ["$env://", "$env:///a", "$env://A//b", "$env://A/"] {
            assert_eq!(parsed(text), Err(BadReference::Environment), "{text}");
        }
        for text in [
            "$secret://",
            "$secret://vault/1",
            "$secret://vault/1/",
            "$secret://consul/1/a/b",
        ] {
            assert_eq!(parsed(text), Err(BadReference::Managed), "{text}");
        }
        assert_eq!(parsed("$secret://vault/1/a"), Err(BadReference::Field));
        assert!(parsed("$secret://aws/1/a").is_ok() && parsed("$secret://gcp/1/a").is_ok());
        for text in [
            "$secret://vault/1/../sys/a",
            "$secret://vault/1/a//b",
            "$secret://vault/1/a/",
        ] {
            assert_eq!(parsed(text), Err(BadReference::Segment), "{text}");
        }
        for text in [
            "",
            "$env",
            "$host",
            "env://A",
            "https://a/b",
            "$secrets://vault/1/a/b",
        ] {
            assert_eq!(SecretReference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn references_count_in_plugins_and_certificates_alone() {
        let route = json!({
            "desc": "$env://A",
            "plugins": {
                "a/b": {"list": [{"key": "$secret://vault/1/a/b"}, "plain"]},
                "off": {"_meta": {"disable": true}, "key": "$env://B"}
            }
        });
        assert_eq!(
            secret_texts(Kind::Route, &route),
            [(
                "/plugins/a~1b/list/0/key".to_owned(),
                "$secret://vault/1/a/b"
            )]
        );
        let places = |kind, document: Value| -> Vec<String> {
            let texts = secret_texts(kind, &document).into_iter();
            texts.map(|(at, _)| at).collect()
        };
        let ssl =
            json!({"cert": "PEM", "key": "$env://K", "keys": ["$env://L"], "snis": ["$env://M"]});
        assert_eq!(places(Kind::Ssl, ssl), ["/key", "/keys/0"]);
        let upstream = json!({
            "name": "$env://A", "tls": {"client_key": "$env://K", "ca_certs": ["PEM", "$env://L"]}
        });
        let in_tls = ["/tls/client_key", "/tls/ca_certs/1"];
        assert_eq!(places(Kind::Upstream, upstream.clone()), in_tls);
        let inline = places(Kind::Service, json!({ "upstream": upstream }));
        assert_eq!(inline, in_tls.map(|at| format!("/upstream{at}")));
        let metadata = json!({"id": "a", "to": {"password": "$env://P"}});
        assert_eq!(places(Kind::PluginMetadata, metadata), ["/to/password"]);
    }
}
