//! The key of a document below the store's prefix.

use std::{fmt, str::FromStr};

use super::{
    id::{Id, IdError},
    kind::Kind,
};

/// Where one document lives: its kind and its id.
///
/// The text is the key below the store prefix: `routes/1`, `consumers/jack`, `secrets/vault/1`,
/// `plugin_metadata/prometheus`. Credentials live below their consumer:
/// `consumers/jack/credentials/a`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceKey {
    /// What the document is.
    pub kind: Kind,
    /// Which one it is.
    pub id: Id,
}

/// Why a text is not the key of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is no slash between a collection and an id.
    #[error("the key {0:?} has no id")]
    NoId(String),
    /// The first part names no collection.
    #[error("the key {0:?} belongs to no kind of resource")]
    Collection(String),
    /// The rest is no id of that kind.
    #[error("the key {key:?} has a bad id: {error}")]
    Id {
        /// The whole key.
        key: String,
        /// What is wrong with its id.
        error: IdError,
    },
}

impl ResourceKey {
    /// The key of a document, from an id as it stands in a path.
    pub fn new(kind: Kind, id: &str) -> Result<Self, IdError> {
        Ok(Self {
            kind,
            id: Id::parse(kind.id_shape(), id)?,
        })
    }

    /// The document that this one lives below: the consumer of a credential.
    pub fn owner(&self) -> Option<ResourceKey> {
        let owner = self.kind.owner()?;
        ResourceKey::new(owner, self.id.scope()?).ok()
    }
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.collection(), self.id)
    }
}

impl FromStr for ResourceKey {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        let (collection, id) = key
            .split_once('/')
            .ok_or_else(|| KeyError::NoId(key.into()))?;
        // Kinds that share a collection differ by the shape of the id: a slash tells them apart.
        let kind = Kind::ALL
            .iter()
            .copied()
            .filter(|kind| kind.collection() == collection)
            .reduce(|first, other| if id.contains('/') { other } else { first })
            .ok_or_else(|| KeyError::Collection(key.into()))?;
        ResourceKey::new(kind, id).map_err(|error| KeyError::Id {
            key: key.into(),
            error,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_go_round() {
        let cases = [
            ("routes/1", Kind::Route, "1"),
            ("services/s.1", Kind::Service, "s.1"),
            (
                "upstreams/00000000000000000042",
                Kind::Upstream,
                "00000000000000000042",
            ),
            ("consumers/jack", Kind::Consumer, "jack"),
            (
                "consumers/jack/credentials/a",
                Kind::Credential,
                "jack/credentials/a",
            ),
            ("consumer_groups/g", Kind::ConsumerGroup, "g"),
            ("ssls/1", Kind::Ssl, "1"),
            ("global_rules/1", Kind::GlobalRule, "1"),
            ("plugin_configs/1", Kind::PluginConfig, "1"),
            (
                "plugin_metadata/prometheus",
                Kind::PluginMetadata,
                "prometheus",
            ),
            ("protos/1", Kind::Proto, "1"),
            ("stream_routes/1", Kind::StreamRoute, "1"),
            ("secrets/vault/1", Kind::Secret, "vault/1"),
        ];
        assert_eq!(cases.len(), Kind::ALL.len(), "a key for every kind");
        for (text, kind, id) in cases {
            let key: ResourceKey = text.parse().unwrap();
            assert_eq!((key.kind, key.id.as_str()), (kind, id));
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused() {
        let cases = [
            "",
            "routes",
            "routes/",
            "routes/a/b",
            "credentials/a",
            "consumers/",
            "consumers/a/b",
            "consumers/a/credentials/",
            "secrets/1",
            "secrets/consul/1",
            "/routes/1",
            "route/1",
        ];
        for text in cases {
            assert!(text.parse::<ResourceKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_credential_lives_below_its_consumer() {
        let key: ResourceKey = "consumers/jack/credentials/a".parse().unwrap();
        assert_eq!(key.owner().unwrap().to_string(), "consumers/jack");
        let key: ResourceKey = "secrets/vault/1".parse().unwrap();
        assert_eq!(key.owner(), None);
    }

    proptest! {
        #[test]
        fn any_key_that_parses_prints_itself(text in "(routes|consumers|secrets|x)(/[a-z.]{0,9}){0,3}") {
            if let Ok(key) = text.parse::<ResourceKey>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
