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
        /// What the manager is asked for: one or more segments.
        path: String,
        /// The field of it.
        field: Option<String>,
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
    let (path, field) = match key.rsplit_once('/') {
        Some((path, field)) => (path, Some(field.to_owned())),
        None => (key, None),
    };
    Ok(SecretReference::Managed {
        manager,
        path: path.to_owned(),
        field,
    })
}

/// The texts of a document that are meant as references to secrets and stand where they count, with their JSON pointers:
/// anywhere in a plugin that is not switched off, and in the certificates and keys of an ssl.
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
    if kind == Kind::Ssl {
        for pointer in ["/cert", "/key", "/certs", "/keys", "/client/ca"] {
            if let Some(value) = document.pointer(pointer) {
                walk(value, &mut pointer.to_owned(), &mut found);
            }
        }
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
            path: "users/jack".to_owned(),
            field: Some("key".to_owned()),
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
        let ssl =
            json!({"cert": "PEM", "key": "$env://K", "keys": ["$env://L"], "snis": ["$env://M"]});
        let places: Vec<String> = secret_texts(Kind::Ssl, &ssl)
            .into_iter()
            .map(|(at, _)| at)
            .collect();
        assert_eq!(places, ["/key", "/keys/0"]);
    }
}
