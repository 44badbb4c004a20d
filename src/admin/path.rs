//! From the path of a request to what it means; pure.

use percent_encoding::percent_decode_str;

use super::error::Failure;
use crate::model::{IdShape, Kind, ResourceKey, id::SECRET_MANAGERS};

/// What a path below `/apisix/admin` means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/apisix/admin` itself.
    Root,
    /// Documents of one kind, or one of them.
    Resource(Address),
    /// `/plugins`, `/plugins/{name}`.
    Plugins(Option<String>),
    /// `/plugins/list`.
    PluginList,
    /// `/plugins/reload`.
    PluginReload,
    /// `/schema/{name}`.
    Schema(String),
    /// `/schema/plugins/{name}`.
    PluginSchema(String),
    /// `/schema/validate/{resource}`.
    SchemaValidate(String),
    /// `/configs`.
    Configs,
    /// `/configs/validate`.
    ConfigsValidate,
    /// `/openapi.json`.
    OpenApi,
}

/// Where documents of one kind are, or one of them, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// The kind.
    pub(super) kind: Kind,
    /// The consumer of a credential, or the manager of a secret.
    pub(super) scope: Option<String>,
    /// The id without its scope.
    pub(super) id: Option<String>,
    /// What follows.
    pub(super) rest: Vec<String>,
}

impl Address {
    /// The key of the document under this id.
    ///
    /// # Errors
    /// 400: it is no id of the kind.
    pub(super) fn key(&self, id: &str) -> Result<ResourceKey, Failure> {
        let whole = match (&self.scope, self.kind.id_shape()) {
            (Some(user), IdShape::Credential) => format!("{user}/credentials/{id}"),
            (Some(manager), IdShape::Secret) => format!("{manager}/{id}"),
            _ => id.to_owned(),
        };
        Ok(ResourceKey::new(self.kind, &whole)?)
    }

    /// What the store keys of all documents of the address begin with; other kinds' may, too.
    pub(super) fn prefix(&self) -> String {
        let collection = self.kind.collection();
        match (&self.scope, self.kind.id_shape()) {
            (Some(user), IdShape::Credential) => format!("{collection}/{user}/credentials/"),
            (Some(manager), IdShape::Secret) => format!("{collection}/{manager}/"),
            _ => format!("{collection}/"),
        }
    }
}

/// The decoded parts of a path that are not empty. What is no UTF-8 is replaced, and then fits nothing.
pub(super) fn segments(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect()
}

/// What the parts of a path after `/apisix/admin` mean.
///
/// # Errors
/// 404 and 400 as APISIX says them.
pub(super) fn target(segments: &[String]) -> Result<Target, Failure> {
    let names: Vec<&str> = segments.iter().map(String::as_str).collect();
    Ok(match names.as_slice() {
        [] => Target::Root,
        ["openapi.json"] => Target::OpenApi,
        ["configs"] => Target::Configs,
        ["configs", "validate"] => Target::ConfigsValidate,
        ["plugins"] => Target::Plugins(None),
        ["plugins", "list"] => Target::PluginList,
        ["plugins", "reload"] => Target::PluginReload,
        ["plugins", name] => Target::Plugins(Some((*name).to_owned())),
        ["schema", "validate", name] => Target::SchemaValidate((*name).to_owned()),
        ["schema", "plugins", name] => Target::PluginSchema((*name).to_owned()),
        ["schema", name] => Target::Schema((*name).to_owned()),
        ["configs" | "plugins" | "schema" | "openapi.json", ..] => return Err(Failure::not_found()),
        [resource, rest @ ..] => Target::Resource(address(resource, rest)?),
    })
}

fn address(resource: &str, rest: &[&str]) -> Result<Address, Failure> {
    let kind = Kind::from_path(resource).filter(|kind| kind.owner().is_none());
    let Some(kind) = kind else {
        return Err(Failure::json(
            axum::http::StatusCode::NOT_FOUND,
            serde_json::json!({"error_msg": format!("Unsupported resource type: {resource}")}),
        ));
    };
    let owned = |text: &&str| (*text).to_owned();
    if let (Kind::Consumer, [user, "credentials", rest @ ..]) = (kind, rest) {
        return Ok(Address {
            kind: Kind::Credential,
            scope: Some(owned(user)),
            id: rest.first().map(owned),
            rest: rest.iter().skip(1).map(owned).collect(),
        });
    }
    if kind.id_shape() == IdShape::Secret {
        let manager = rest.first();
        if let Some(manager) = manager.filter(|manager| !SECRET_MANAGERS.contains(manager)) {
            return Err(Failure::bad(format!("invalid secret manager: {manager}")));
        }
        return Ok(Address {
            kind,
            scope: manager.map(owned),
            id: rest.get(1).map(owned),
            rest: rest.iter().skip(2).map(owned).collect(),
        });
    }
    Ok(Address {
        kind,
        scope: None,
        id: rest.first().map(owned),
        rest: rest.iter().skip(1).map(owned).collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(path: &str) -> Result<Target, Failure> {
        target(&segments(path))
    }

    fn resource(path: &str) -> Address {
        match of(path) {
            Ok(Target::Resource(address)) => address,
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn documents_are_found_by_kind_scope_and_id() {
        let credential = resource("/consumers/jack/credentials/c1");
        assert_eq!(credential.kind, Kind::Credential);
        let key = credential.key("c1").unwrap();
        assert_eq!(key.to_string(), "consumers/jack/credentials/c1");
        assert_eq!(credential.prefix(), "consumers/jack/credentials/");

        let secret = resource("secrets/vault/1");
        assert_eq!(secret.key("1").unwrap().to_string(), "secrets/vault/1");
        assert_eq!(resource("secrets").prefix(), "secrets/");
        assert_eq!(resource("secrets/aws").prefix(), "secrets/aws/");

        let part = resource("/routes/1/plugins/limit-count");
        assert_eq!(part.id.as_deref(), Some("1"));
        assert_eq!(part.rest, ["plugins", "limit-count"]);
        assert_eq!(resource("/routes/").id, None);
    }

    #[test]
    fn an_encoded_slash_leads_nowhere_else() {
        let consumer = resource("/consumers/jack%2Fcredentials%2Fc1");
        assert_eq!(consumer.kind, Kind::Consumer);
        assert!(consumer.key(consumer.id.as_deref().unwrap()).is_err());
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let unknown = of("/nonsense/1").unwrap_err();
        assert_eq!(unknown.message(), "Unsupported resource type: nonsense");
        for path in ["/credentials/1", "/schema", "/plugins/a/b", "/configs/x"] {
            assert_eq!(of(path).unwrap_err().status, 404, "{path}");
        }
        let manager = of("/secrets/consul/1").unwrap_err();
        assert_eq!(manager.message(), "invalid secret manager: consul");
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(path in "(/(routes|consumers|secrets|credentials|vault|%2[fF]|%|\\PC{0,5})){0,5}") {
            if let Ok(Target::Resource(address)) = of(&path)
                && let Some(id) = &address.id
                && let Ok(key) = address.key(id)
            {
                prop_assert_eq!(key.kind, address.kind);
                prop_assert!(key.to_string().starts_with(&address.prefix()));
            }
        }
    }
}
