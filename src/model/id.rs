//! Identifiers of resources, in the one textual form under which they are stored and compared.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

use super::{kind::IdShape, number};

/// The identifier of a resource.
///
/// A plain id is 1 to 64 characters of `[a-zA-Z0-9_.-]`, or a whole number of at least 1, which is
/// kept in its decimal form: `7` and `"7"` are the same id. A consumer's id is its username (1 to 256
/// characters of `[a-zA-Z0-9_-]`). Two kinds have a scope before a slash: credentials
/// (`jack/credentials/a`) and secrets (`vault/1`). Clones share one allocation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(Arc<str>);

/// Why a text or a JSON value is not an [`Id`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The id, or a part of it, is empty.
    #[error("the id is empty")]
    Empty,
    /// The id, or a part of it, is longer than its limit in characters.
    #[error("the id is longer than {0} characters")]
    TooLong(usize),
    /// A character that ids of this kind do not have.
    #[error("the character {0:?} is not allowed in an id")]
    Character(char),
    /// A number that is not whole, or less than 1, or beyond what JSON carries exactly.
    #[error("a numeric id is a whole number from 1 to {max}, got {0}", max = number::MAX_EXACT)]
    Number(String),
    /// A JSON value that is neither a string nor a number.
    #[error("an id is a string or a whole number")]
    Type,
    /// A credential's id that is not `{username}/credentials/{id}`.
    #[error("a credential's id has the form {{username}}/credentials/{{id}}")]
    Credential,
    /// A secret's id that is not `{manager}/{id}` with a known manager.
    #[error("a secret's id has the form {{vault|aws|gcp}}/{{id}}")]
    Secret,
}

/// Longest plain id, in characters.
pub const MAX_PLAIN: usize = 64;
/// Longest username, in characters.
pub const MAX_USERNAME: usize = 256;
/// Secret managers, which are the first part of a secret's id.
pub const SECRET_MANAGERS: [&str; 3] = ["vault", "aws", "gcp"];

impl Id {
    /// Reads an id of the given shape, as it stands in a path or a store key.
    pub fn parse(shape: IdShape, text: &str) -> Result<Self, IdError> {
        match shape {
            IdShape::Plain => plain(text)?,
            IdShape::Username => username(text)?,
            IdShape::Credential => {
                let mut parts = text.split('/');
                match (parts.next(), parts.next(), parts.next(), parts.next()) {
                    (Some(user), Some("credentials"), Some(id), None) => {
                        username(user)?;
                        plain(id)?;
                    }
                    _ => return Err(IdError::Credential),
                }
            }
            IdShape::Secret => match text.split_once('/') {
                Some((manager, id)) if SECRET_MANAGERS.contains(&manager) => plain(id)?,
                _ => return Err(IdError::Secret),
            },
        }
        Ok(Self(text.into()))
    }

    /// Reads an id of the given shape from a document: a string, or for plain ids a whole number.
    pub fn from_value(shape: IdShape, value: &Value) -> Result<Self, IdError> {
        match value {
            Value::String(text) => Self::parse(shape, text),
            Value::Number(found) => {
                let whole = number::whole(found).filter(|n| *n >= 1 && *n <= number::MAX_EXACT);
                let whole = whole.ok_or_else(|| IdError::Number(found.to_string()))?;
                Self::parse(shape, &whole.to_string())
            }
            _ => Err(IdError::Type),
        }
    }

    /// The id of a credential of a consumer.
    pub fn credential(username: &str, id: &str) -> Result<Self, IdError> {
        Self::parse(IdShape::Credential, &format!("{username}/credentials/{id}"))
    }

    /// The id as text, in the allocation that its clones share.
    pub fn to_shared(&self) -> Arc<str> {
        self.0.clone()
    }

    /// The id as text, scope included.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The consumer of a credential, or the manager of a secret; `None` for ids without a scope.
    pub fn scope(&self) -> Option<&str> {
        self.0.split_once('/').map(|(scope, _)| scope)
    }

    /// The id without its scope: `a` of `jack/credentials/a`.
    pub fn leaf(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, leaf)| leaf)
    }
}

fn plain(text: &str) -> Result<(), IdError> {
    characters(text, MAX_PLAIN, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
    })
}

fn username(text: &str) -> Result<(), IdError> {
    characters(text, MAX_USERNAME, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
    })
}

fn characters(text: &str, most: usize, allowed: impl Fn(char) -> bool) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if let Some(other) = text.chars().find(|c| !allowed(*c)) {
        return Err(IdError::Character(other));
    }
    // Every allowed character is one byte, so the length in bytes is the length in characters.
    if text.len() > most {
        Err(IdError::TooLong(most))
    } else {
        Ok(())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Id {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Id {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A document does not say what kind it is, so any of the shapes is taken.
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let plain = Self::from_value(IdShape::Plain, &value);
        let scoped = [IdShape::Username, IdShape::Credential, IdShape::Secret];
        plain.or_else(|error| {
            scoped
                .into_iter()
                .find_map(|shape| Self::from_value(shape, &value).ok())
                .ok_or_else(|| D::Error::custom(error))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_and_its_decimal_text_are_one_id() {
        let text = Id::from_value(IdShape::Plain, &json!("7")).unwrap();
        for value in [json!(7), json!(7.0)] {
            assert_eq!(
                Id::from_value(IdShape::Plain, &value).unwrap(),
                text,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_not_an_id_is_refused_with_its_reason() {
        let long = "a".repeat(65);
        let cases = [
            (IdShape::Plain, json!(""), IdError::Empty),
            (IdShape::Plain, json!(long), IdError::TooLong(64)),
            (IdShape::Plain, json!("a b"), IdError::Character(' ')),
            (IdShape::Plain, json!("a/b"), IdError::Character('/')),
            (IdShape::Plain, json!(0), IdError::Number("0".into())),
            (IdShape::Plain, json!(1.5), IdError::Number("1.5".into())),
            (IdShape::Plain, json!(-3), IdError::Number("-3".into())),
            (IdShape::Plain, json!(true), IdError::Type),
            (IdShape::Username, json!("a.b"), IdError::Character('.')),
            (
                IdShape::Username,
                json!("a".repeat(257)),
                IdError::TooLong(256),
            ),
            (IdShape::Credential, json!("jack/a"), IdError::Credential),
            (
                IdShape::Credential,
                json!("jack/credentials/a/b"),
                IdError::Credential,
            ),
            (IdShape::Credential, json!("/credentials/a"), IdError::Empty),
            (IdShape::Secret, json!("consul/1"), IdError::Secret),
            (IdShape::Secret, json!("vault/"), IdError::Empty),
        ];
        for (shape, value, expected) in cases {
            assert_eq!(
                Id::from_value(shape, &value),
                Err(expected),
                "{shape:?} {value}"
            );
        }
    }

    #[test]
    fn a_scoped_id_knows_its_parts() {
        let credential = Id::credential("jack", "a").unwrap();
        assert_eq!(credential.as_str(), "jack/credentials/a");
        assert_eq!((credential.scope(), credential.leaf()), (Some("jack"), "a"));
        let secret = Id::parse(IdShape::Secret, "vault/1").unwrap();
        assert_eq!((secret.scope(), secret.leaf()), (Some("vault"), "1"));
        let plain = Id::parse(IdShape::Plain, "1").unwrap();
        assert_eq!((plain.scope(), plain.leaf()), (None, "1"));
    }

    proptest! {
        #[test]
        fn ids_go_round_through_json(text in "[a-zA-Z0-9_.-]{1,64}") {
            let id = Id::parse(IdShape::Plain, &text).unwrap();
            prop_assert_eq!(id.as_str(), text.as_str());
            let back: Id = serde_json::from_value(serde_json::to_value(&id).unwrap()).unwrap();
            prop_assert_eq!(back, id);
        }

        #[test]
        fn no_text_makes_parsing_panic(text in ".{0,300}") {
            for shape in [IdShape::Plain, IdShape::Username, IdShape::Credential, IdShape::Secret] {
                if let Ok(id) = Id::parse(shape, &text) {
                    prop_assert_eq!(id.as_str(), text.as_str());
                }
            }
        }
    }
}
