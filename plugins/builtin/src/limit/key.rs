//! The key that a limit counts by.

use crossway_sdk::expr::{Lookup, Template, Value, Variable};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::{io::Write, net::IpAddr};

/// How `key` is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum KeyType {
    /// The name of a variable, without `$`.
    #[default]
    Var,
    /// A text with `$variables` in it.
    VarCombination,
    /// The text itself: all requests share one counter.
    Constant,
}

/// How `key` is read where a counter for all requests makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum PerKey {
    /// The name of a variable, without `$`.
    #[default]
    Var,
    /// A text with `$variables` in it.
    VarCombination,
}

impl From<PerKey> for KeyType {
    fn from(kind: PerKey) -> Self {
        match kind {
            PerKey::Var => KeyType::Var,
            PerKey::VarCombination => KeyType::VarCombination,
        }
    }
}

/// A key, ready to be asked for.
#[derive(Debug)]
pub(crate) enum Key {
    Variable(Variable),
    Combination(Template),
    Constant(Box<[u8]>),
}

/// Room for a key on the stack: an IPv6 address takes 45 bytes at most.
type Scratch = SmallVec<[u8; 64]>;

impl Key {
    /// Judges what was configured.
    ///
    /// # Errors
    /// A variable that does not exist, or a combination without a variable. APISIX would silently count by the
    /// client's address.
    pub(crate) fn compile(key: &str, kind: KeyType) -> Result<Self, String> {
        match kind {
            KeyType::Var => Variable::parse(key).map(Self::Variable).map_err(|e| match key {
                k if k.contains('$') => {
                    format!("{e}: with key_type var, key is a name without $; for a text with $variables use key_type var_combination")
                }
                _ => e.to_string(),
            }),
            KeyType::VarCombination => match Template::parse(key) {
                Ok(template) if template.is_constant().is_some() => {
                    Err("expected a text with at least one variable, such as $remote_addr".into())
                }
                parsed => parsed.map(Self::Combination).map_err(|e| e.to_string()),
            },
            KeyType::Constant => Ok(Self::Constant(key.as_bytes().into())),
        }
    }

    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        match self {
            Self::Variable(variable) => variable.needs_body(),
            Self::Combination(template) => template.needs_body(),
            Self::Constant(_) => false,
        }
    }

    /// Calls `then` with the key of this request: the client's address when the request has no value for it.
    pub(crate) fn or_client<R>(
        &self,
        from: &dyn Lookup,
        client: IpAddr,
        then: impl FnOnce(&[u8]) -> R,
    ) -> R {
        let mut scratch = Scratch::new();
        match self {
            Self::Constant(text) => then(text),
            Self::Variable(Variable::RemoteAddr) => then(address(client, &mut scratch)),
            Self::Variable(variable) => match from.lookup(variable) {
                Some(Value::Bytes(text)) => then(&text),
                Some(value) => {
                    let mut text = Vec::new();
                    value.write_to(&mut text);
                    then(&text)
                }
                None => then(address(client, &mut scratch)),
            },
            Self::Combination(template) => {
                let mut text = Vec::with_capacity(64);
                match template.render(from, &mut text) {
                    0 => then(address(client, &mut scratch)),
                    _ => then(&text),
                }
            }
        }
    }

    /// Calls `then` with the key of this request; `None` when the request has no value for any of its variables.
    pub(crate) fn if_present<R>(
        &self,
        from: &dyn Lookup,
        then: impl FnOnce(&[u8]) -> R,
    ) -> Option<R> {
        match self {
            Self::Combination(template) => {
                let mut text = Vec::with_capacity(64);
                (template.render(from, &mut text) > 0).then(|| then(&text))
            }
            Self::Variable(variable) => from.lookup(variable).map(|value| {
                let mut text = Vec::new();
                value.write_to(&mut text);
                then(&text)
            }),
            Self::Constant(text) => Some(then(text)),
        }
    }
}

/// The address as text. IPv4 is written by hand: it is the key of nearly every limit.
fn address(client: IpAddr, into: &mut Scratch) -> &[u8] {
    match client {
        IpAddr::V4(ip) => {
            for (index, octet) in ip.octets().into_iter().enumerate() {
                if index > 0 {
                    into.push(b'.');
                }
                into.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(ip) => {
            let mut text = [0; 48];
            let mut rest = &mut text[..];
            let written = write!(rest, "{ip}").map_or(0, |()| 48 - rest.len());
            into.extend_from_slice(text.get(..written).unwrap_or_default());
        }
    }
    into
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashMap;

    fn key(text: &str, kind: KeyType, client: &str) -> String {
        let request: HashMap<String, String> = [("http_x_id", "7"), ("arg_a", "")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let key = Key::compile(text, kind).unwrap();
        let bytes = key.or_client(&request, client.parse().unwrap(), <[u8]>::to_vec);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_key_is_the_value_or_the_clients_address() {
        use KeyType::*;
        assert_eq!(key("remote_addr", Var, "192.0.2.1"), "192.0.2.1");
        assert_eq!(key("remote_addr", Var, "2001:db8::1"), "2001:db8::1");
        assert_eq!(key("http_x_id", Var, "192.0.2.1"), "7");
        assert_eq!(key("http_x_other", Var, "192.0.2.1"), "192.0.2.1");
        assert_eq!(
            key("arg_a", Var, "192.0.2.1"),
            "",
            "an empty value is a value"
        );
        assert_eq!(
            key("$http_x_id-$http_x_other", VarCombination, "192.0.2.1"),
            "7-"
        );
        assert_eq!(
            key("$http_x_other", VarCombination, "192.0.2.1"),
            "192.0.2.1"
        );
        assert_eq!(key("all", Constant, "192.0.2.1"), "all");
    }

    #[test]
    fn a_name_that_is_no_variable_is_refused() {
        assert_eq!(
            Key::compile("remote_adr", KeyType::Var).unwrap_err(),
            "unknown variable `remote_adr`"
        );
        for text in ["plain", "${http_x_id", ""] {
            let error = Key::compile(text, KeyType::VarCombination).unwrap_err();
            assert!(error.contains("at least one variable"), "{error}");
        }
        let error = Key::compile("$remote_addr", KeyType::Var).unwrap_err();
        assert!(error.contains("use key_type var_combination"), "{error}");
    }
}
