//! Where a key stands in the text of a settings file, for messages. It is asked only when something is wrong.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A node, and the lines of what is below it.
enum Node {
    Mapping(Vec<(String, Option<u64>, Node)>),
    List(Vec<(Option<u64>, Node)>),
    Leaf,
}

/// The line of a key such as `admin.keys[0].name`, else of the nearest one above it that is written; from 1.
pub(super) fn line(text: &str, key: &str) -> Option<u64> {
    let options = serde_saphyr::options! { with_snippet: false };
    let document = serde_saphyr::from_str_with_options::<Option<Node>>(text, options);
    let mut node = &document.ok()??;
    let mut line = None;
    let parts = key.split('.').flat_map(|part| part.split_inclusive('['));
    for part in parts.map(|part| part.trim_end_matches(['[', ']'])) {
        let below = match node {
            Node::Mapping(below) => below
                .iter()
                .find(|(name, ..)| name == part)
                .map(|(_, line, node)| (*line, node)),
            Node::List(below) => part
                .parse()
                .ok()
                .and_then(|index: usize| below.get(index))
                .map(|(line, node)| (*line, node)),
            Node::Leaf => None,
        };
        let Some((at, below)) = below else { break };
        line = at.or(line);
        node = below;
    }
    line
}

fn at(location: Location) -> Option<u64> {
    (location != Location::UNKNOWN).then(|| location.line())
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AnyNode)
    }
}

struct AnyNode;

impl<'de> Visitor<'de> for AnyNode {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut below = Vec::new();
        while let Some(name) = map.next_key::<Spanned<String>>()? {
            below.push((name.value, at(name.referenced), map.next_value()?));
        }
        Ok(Node::Mapping(below))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut below = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            below.push((at(item.referenced), item.value));
        }
        Ok(Node::List(below))
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        Node::deserialize(from)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    const TEXT: &str = "# a comment\nlisten:\n  http: 0.0.0.0:80\n\nadmin:\n  keys:\n  - name: a\n    role: x\n  - {name: b,\n     role: y}\nthreads: 3\nempty:\n";

    #[test]
    fn a_key_is_found_where_it_is_written() {
        for (key, at) in [
            ("listen", Some(2)),
            ("listen.http", Some(3)),
            ("listen.http[1]", Some(3)),
            ("listen.https", Some(2)),
            ("admin.keys[0].role", Some(8)),
            ("admin.keys[1]", Some(9)),
            ("admin.keys[1].role", Some(10)),
            ("threads", Some(11)),
            ("empty", Some(12)),
            ("store.file", None),
        ] {
            assert_eq!(line(TEXT, key), at, "{key}");
        }
        assert_eq!(line("[", "threads"), None);
        assert_eq!(line("", "threads"), None);
    }
}
