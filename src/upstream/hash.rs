//! What a request is hashed by.

use crossway_sdk::expr::{Lookup, Template, Value, Variable};

/// What a request is hashed by: `hash_on` and `key` in one. A header is [`Variable::Header`], a cookie
/// [`Variable::Cookie`], the consumer [`Variable::ConsumerName`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The value of a variable.
    Variable(Variable),
    /// A text of several variables.
    Template(Template),
}

static REMOTE_ADDR: Variable = Variable::RemoteAddr;

impl HashKey {
    /// CRC-32 of the value, as nginx computes it. A request that has no value, or none for any variable of a
    /// template, is hashed by its client's address.
    pub fn hash(&self, from: &dyn Lookup) -> u64 {
        match self {
            Self::Variable(variable) => match from.lookup(variable) {
                Some(value) => hash_value(&value),
                None => hash_client(from),
            },
            Self::Template(template) => {
                let mut text = Vec::new();
                match template.render(from, &mut text) {
                    0 => hash_client(from),
                    _ => hash_bytes(&text),
                }
            }
        }
    }
}

pub(super) fn hash_client(from: &dyn Lookup) -> u64 {
    from.lookup(&REMOTE_ADDR)
        .map_or(0, |address| hash_value(&address))
}

fn hash_value(value: &Value<'_>) -> u64 {
    if let Value::Bytes(bytes) = value {
        return hash_bytes(bytes);
    }
    let mut text = Vec::new();
    value.write_to(&mut text);
    hash_bytes(&text)
}

fn hash_bytes(bytes: &[u8]) -> u64 {
    u64::from(crc32fast::hash(bytes))
}

#[cfg(test)]
mod tests {
    use super::HashKey;
    use crossway_sdk::expr::{Template, Variable};
    use std::collections::HashMap;

    fn request() -> HashMap<String, String> {
        let pairs = [
            ("remote_addr", "10.0.0.1"),
            ("arg_user", "jack"),
            ("uri", "/a"),
        ];
        pairs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    fn variable(name: &str) -> u64 {
        HashKey::Variable(Variable::parse(name).unwrap()).hash(&request())
    }

    fn template(text: &str) -> u64 {
        HashKey::Template(Template::parse(text).unwrap()).hash(&request())
    }

    #[test]
    fn the_hash_is_the_crc_of_the_value() {
        // The check value of CRC-32/ISO-HDLC is that of "123456789".
        assert_eq!(super::hash_bytes(b"123456789"), 0xcbf4_3926);
        assert_eq!(variable("arg_user"), super::hash_bytes(b"jack"));
        assert_eq!(template("$arg_user-$uri"), super::hash_bytes(b"jack-/a"));
    }

    #[test]
    fn what_is_missing_falls_back_to_the_client() {
        let client = super::hash_bytes(b"10.0.0.1");
        assert_eq!(variable("http_x_user"), client);
        assert_eq!(template("$http_a-$cookie_b"), client);
        assert_eq!(template("$http_a-$uri"), super::hash_bytes(b"-/a"));
    }
}
