//! Nodes of an upstream. Two notations, a map and a list, become one list here.

use crossway_sdk::schema::member;
use std::{collections::HashMap, fmt, net::Ipv6Addr};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value, json};

use super::{number, problem::Problem, schema};

/// One server of an upstream.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// A host name or an IP address. An IPv6 address is without the brackets that it has in documents.
    pub host: String,
    /// `None` leaves the port to the scheme: 80 for http and grpc, 443 for https and grpcs.
    pub port: Option<u16>,
    /// Share of the traffic; 0 takes the node out as long as others have weight.
    pub weight: u32,
    /// Nodes of a higher priority are used first. Default 0.
    pub priority: i32,
    /// Free data for balancers and plugins.
    pub metadata: Option<Map<String, Value>>,
}

impl Node {
    /// `host:port`, or the host alone where the port is left to the scheme; an IPv6 address is in
    /// brackets.
    pub fn authority(&self) -> String {
        if self.host.starts_with(UNIX) {
            return self.host.clone();
        }
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }
}

/// What the host of a node begins with that is a Unix socket: `unix:/run/app.sock`. (APISIX has no such nodes.)
const UNIX: &str = "unix:";

/// Why a text does not name a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// An IPv6 address without brackets.
    #[error("IPv6 address must be enclosed with '[' and ']'")]
    Brackets,
    /// What follows the colon is no port from 1 to 65535.
    #[error("invalid port {0}")]
    Port(String),
    /// No host, or one with misplaced colons or brackets.
    #[error("invalid node address {0:?}")]
    Host(String),
}

/// Splits the `host[:port]` of the map notation.
fn address(text: &str) -> Result<(&str, Option<u16>), AddressError> {
    if text.starts_with(UNIX) {
        return Ok((host_of(text)?, None));
    }
    let after_bracket = text.rfind(']').map_or(0, |end| end.saturating_add(1));
    // The colons within brackets belong to the address.
    let (host, port) = match text.get(after_bracket..).and_then(|rest| rest.rfind(':')) {
        Some(colon) if text.parse::<Ipv6Addr>().is_err() => {
            let colon = after_bracket.saturating_add(colon);
            (
                text.get(..colon).unwrap_or(text),
                text.get(colon.saturating_add(1)..),
            )
        }
        _ => (text, None),
    };
    let host = host_of(host)?;
    let Some(port) = port else {
        return Ok((host, None));
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number != 0 => Ok((host, Some(number))),
        _ => Err(AddressError::Port(port.to_owned())),
    }
}

/// The host without the brackets of an IPv6 address.
fn host_of(text: &str) -> Result<&str, AddressError> {
    if let Some(path) = text.strip_prefix(UNIX) {
        let fits = path.starts_with('/') && !path.bytes().any(|byte| byte.is_ascii_control());
        return match fits {
            true => Ok(text),
            false => Err(AddressError::Host(text.to_owned())),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::Brackets);
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) if inner.parse::<Ipv6Addr>().is_ok() => Ok(inner),
        None if !text.is_empty() && !text.contains(['[', ']', ':']) => Ok(text),
        _ => Err(AddressError::Host(text.to_owned())),
    }
}

/// The list notation. A node may be given twice; within a priority the later one wins.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    host: String,
    #[serde(default, deserialize_with = "number::optional")]
    port: Option<u16>,
    #[serde(deserialize_with = "number::required")]
    weight: u32,
    #[serde(default, deserialize_with = "number::required")]
    priority: i32,
    metadata: Option<Map<String, Value>>,
}

/// The weight in the map notation.
#[derive(Deserialize)]
struct Weight(#[serde(deserialize_with = "number::required")] u32);

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Vec<Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map from host:port to weight, or a list of nodes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Node>, A::Error> {
        let mut nodes = Vec::with_capacity(map.size_hint().unwrap_or(0));
        while let Some((key, Weight(weight))) = map.next_entry::<String, Weight>()? {
            let (host, port) = address(&key).map_err(A::Error::custom)?;
            nodes.push(Node {
                host: host.to_owned(),
                port,
                weight,
                priority: 0,
                metadata: None,
            });
        }
        Ok(later_wins(nodes))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Node>, A::Error> {
        let mut nodes = Vec::with_capacity(list.size_hint().unwrap_or(0));
        while let Some(Listed {
            host,
            port,
            weight,
            priority,
            metadata,
        }) = list.next_element()?
        {
            if port == Some(0) {
                return Err(A::Error::custom(AddressError::Port("0".into())));
            }
            let host = host_of(&host).map_err(A::Error::custom)?.to_owned();
            nodes.push(Node {
                host,
                port,
                weight,
                priority,
                metadata,
            });
        }
        Ok(later_wins(nodes))
    }
}

/// Keeps the first place and the last content of nodes with one host, port and priority.
fn later_wins(nodes: Vec<Node>) -> Vec<Node> {
    let mut places: HashMap<(String, Option<u16>, i32), usize> = HashMap::new();
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let place = places
            .entry((node.host.clone(), node.port, node.priority))
            .or_insert(kept.len());
        match kept.get_mut(*place) {
            Some(earlier) => *earlier = node,
            None => kept.push(node),
        }
    }
    kept
}

struct Decoded(Vec<Node>);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes).map(Decoded)
    }
}

/// For `#[serde(deserialize_with, default)]`.
pub(super) fn optional<'de, D>(deserializer: D) -> Result<Option<Vec<Node>>, D::Error>
where
    D: Deserializer<'de>,
{
    Ok(Option::<Decoded>::deserialize(deserializer)?.map(|Decoded(nodes)| nodes))
}

pub(super) fn schema() -> Value {
    let weight = || {
        schema::described(
            schema::integer_from(0, u32::MAX.into()),
            "Share of the traffic; 0 takes none.",
        )
    };
    let node = schema::object([
        (
            "host",
            json!({
                "type": "string",
                "pattern": r"^\*$|^\*?[0-9a-zA-Z._\[\]:-]+$|^unix:/.+$",
                "description": "Host name, address (IPv6 in brackets), or unix: and the path of a socket."
            }),
        ),
        (
            "port",
            schema::described(
                schema::integer_from(1, 65535),
                "Port; by default that of the scheme.",
            ),
        ),
        ("weight", weight()),
        (
            "priority",
            schema::with(
                schema::integer_from(i32::MIN.into(), i32::MAX.into()),
                json!({"default": 0, "description": "Higher priorities are used first."}),
            ),
        ),
        (
            "metadata",
            json!({"type": "object", "description": "Free data."}),
        ),
    ]);
    json!({
        "description": "Servers: a map from `host:port` to weight, or a list.",
        "anyOf": [
            {"type": "object", "additionalProperties": weight()},
            {"type": "array", "items": schema::with(node, json!({"required": ["host", "weight"]}))}
        ]
    })
}

/// The rules on addresses that the schema cannot say.
pub(super) fn rules(nodes: Option<&Value>, at: &str, problems: &mut Vec<Problem>) {
    let mut judge = |path: String, result: Result<(), AddressError>| {
        problems.extend(
            result
                .err()
                .map(|error| Problem::verbatim(path, error.to_string())),
        );
    };
    match nodes {
        Some(Value::Object(map)) => {
            for key in map.keys() {
                judge(member(at, key), address(key).map(drop));
            }
        }
        Some(Value::Array(list)) => {
            for (index, node) in list.iter().enumerate() {
                if let Some(host) = node.get("host").and_then(Value::as_str) {
                    judge(format!("{at}/{index}/host"), host_of(host).map(drop));
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nodes(value: Value) -> Vec<(String, u32, i32)> {
        let nodes = optional(value).unwrap().unwrap();
        nodes
            .iter()
            .map(|n| (n.authority(), n.weight, n.priority))
            .collect()
    }

    #[test]
    fn both_notations_say_the_same() {
        let map = json!({"127.0.0.1:80": 1, "[::1]:8080": 2, "example.com": 0, "[fe80::1]": 3});
        let list = json!([
            {"host": "127.0.0.1", "port": 80, "weight": 1},
            {"host": "[::1]", "port": 8080, "weight": 2},
            {"host": "[fe80::1]", "weight": 3},
            {"host": "example.com", "weight": 0.0, "priority": 0},
        ]);
        assert_eq!(nodes(map.clone()), nodes(list));
        assert_eq!(
            nodes(map),
            [
                ("127.0.0.1:80".into(), 1, 0),
                ("[::1]:8080".into(), 2, 0),
                ("[fe80::1]".into(), 3, 0),
                ("example.com".into(), 0, 0),
            ]
        );
    }

    #[test]
    fn an_ipv6_host_loses_its_brackets() {
        let node = optional(json!({"[::1]:80": 1})).unwrap().unwrap().remove(0);
        assert_eq!((node.host.as_str(), node.port), ("::1", Some(80)));
    }

    #[test]
    fn a_unix_socket_has_a_path_and_no_port() {
        for document in [
            json!({"unix:/run/a:80": 1}),
            json!([{"host": "unix:/run/a:80", "weight": 1}]),
        ] {
            let node = optional(document).unwrap().unwrap().remove(0);
            assert_eq!((node.host.as_str(), node.port), ("unix:/run/a:80", None));
            assert_eq!(node.authority(), "unix:/run/a:80");
        }
        for text in ["unix:", "unix:run", "unix:80", "unix:/a\nb"] {
            assert_eq!(
                address(text),
                Err(AddressError::Host(text.into())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_node_given_twice_has_its_later_weight_within_a_priority() {
        let list = json!([
            {"host": "a", "port": 1, "weight": 1},
            {"host": "b", "port": 1, "weight": 2},
            {"host": "a", "port": 1, "weight": 3},
            {"host": "a", "port": 1, "weight": 4, "priority": -1},
        ]);
        let expected = [
            ("a:1".into(), 3, 0),
            ("b:1".into(), 2, 0),
            ("a:1".into(), 4, -1),
        ];
        assert_eq!(nodes(list), expected);
    }

    #[test]
    fn addresses_are_refused_with_their_reason() {
        let host = |text: &str| AddressError::Host(text.into());
        let port = |text: &str| AddressError::Port(text.into());
        let cases = [
            ("::1", AddressError::Brackets),
            ("fe80::1:80", AddressError::Brackets),
            ("a:0", port("0")),
            ("a:65536", port("65536")),
            ("a:", port("")),
            ("a:+80", port("+80")),
            ("a:http", port("http")),
            ("", host("")),
            (":80", host("")),
            ("a:b:80", host("a:b")),
            ("[::1", host("[:")),
            ("[foo]:80", host("[foo]")),
            ("[]", host("[]")),
            ("[::1]x:80", host("[::1]x")),
        ];
        for (text, error) in cases {
            assert_eq!(address(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(text in r"[\[\]:.0-9a-z*é]{0,12}") {
            if let Ok((host, port)) = address(&text) {
                let node = Node { host: host.into(), port, weight: 1, priority: 0, metadata: None };
                prop_assert_eq!(node.authority().to_lowercase().replace(":0", ":"), text.replace(":0", ":"));
            }
        }
    }
}
