//! How a PATCH changes a document: a deep merge of the whole, or the replacement of one part. Pure.

use serde_json::{Map, Value};

/// So deep a sub-path may reach: documents are not deeper, and recursion over them stays bounded.
const DEPTH: usize = 64;

/// A sub-path that leads into something that is no object, or too deep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid sub-path: {0}")]
pub(super) struct BadPath(String);

/// Merges `change` into `document`: objects merge member by member, `null` removes a member, and everything else,
/// lists included, replaces what was there.
pub(super) fn merge(document: &mut Map<String, Value>, change: Map<String, Value>) {
    for (name, value) in change {
        match value {
            Value::Null => drop(document.remove(&name)),
            Value::Object(members) => match document.get_mut(&name) {
                Some(Value::Object(inner)) => merge(inner, members),
                _ => {
                    // Also what is new has no place for `null`.
                    let mut inner = Map::new();
                    merge(&mut inner, members);
                    document.insert(name, Value::Object(inner));
                }
            },
            other => drop(document.insert(name, other)),
        }
    }
}

/// Puts `value` at `path`, whatever was there. Missing parents are made.
///
/// # Errors
/// A parent is no object, or the path is longer than 64 names.
pub(super) fn replace(
    document: &mut Map<String, Value>,
    path: &[String],
    value: Value,
) -> Result<(), BadPath> {
    let up_to = |count: usize| {
        let names: Vec<&str> = path.iter().take(count).map(String::as_str).collect();
        BadPath(format!("/{}", names.join("/")))
    };
    let Some((last, parents)) = path.split_last() else {
        return Err(up_to(0));
    };
    if path.len() > DEPTH {
        return Err(up_to(DEPTH));
    }
    let mut here = document;
    for (index, name) in parents.iter().enumerate() {
        let next = here
            .entry(name.as_str())
            .or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = next else {
            return Err(up_to(index + 1));
        };
        here = inner;
    }
    here.insert(last.clone(), value);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    fn merged(document: Value, change: Value) -> Value {
        let mut document = object(document);
        merge(&mut document, object(change));
        Value::Object(document)
    }

    fn path(text: &str) -> Vec<String> {
        text.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn objects_merge_lists_are_replaced_and_null_removes() {
        let document = json!({"a": {"b": 1, "c": [1, 2]}, "d": 1, "e": "x"});
        let change =
            json!({"a": {"c": [3], "f": {"g": 1, "h": null}}, "d": null, "e": {"i": 1}, "j": null});
        assert_eq!(
            merged(document, change),
            json!({"a": {"b": 1, "c": [3], "f": {"g": 1}}, "e": {"i": 1}})
        );
    }

    #[test]
    fn a_part_is_replaced_and_its_parents_are_made() {
        let mut document = object(json!({"a": {"b": {"c": 1}}, "l": [1]}));
        replace(&mut document, &path("a/b"), json!([2])).unwrap();
        replace(&mut document, &path("x/y"), json!(null)).unwrap();
        assert_eq!(
            Value::Object(document.clone()),
            json!({"a": {"b": [2]}, "l": [1], "x": {"y": null}})
        );
        for (at, said) in [("a/b/c", "/a/b"), ("l/0", "/l")] {
            let refused = replace(&mut document, &path(at), json!(1)).unwrap_err();
            assert_eq!(refused.to_string(), format!("invalid sub-path: {said}"));
        }
        let long = vec!["a".to_owned(); 65];
        assert!(replace(&mut Map::new(), &long, json!(1)).is_err());
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i8>().prop_map(|n| json!(n)),
            "[a-c]{0,2}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::Array),
                prop::collection::btree_map("[a-d]", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn any_object() -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::btree_map("[a-d]", any_value(), 0..4)
            .prop_map(|members| members.into_iter().collect())
    }

    /// RFC 7396 in its own words, which APISIX's merge follows for objects.
    fn by_the_book(target: Value, change: &Value) -> Value {
        let Value::Object(change) = change else {
            return change.clone();
        };
        let mut target = object(target);
        for (name, value) in change {
            if value.is_null() {
                target.remove(name);
            } else {
                let before = target.remove(name).unwrap_or(Value::Null);
                target.insert(name.clone(), by_the_book(before, value));
            }
        }
        Value::Object(target)
    }

    proptest! {
        #[test]
        fn merging_is_what_rfc_7396_says(document in any_object(), change in any_object()) {
            let mut merged = document.clone();
            merge(&mut merged, change.clone());
            let expected = by_the_book(Value::Object(document), &Value::Object(change));
            prop_assert_eq!(Value::Object(merged), expected);
        }

        #[test]
        fn merging_twice_is_merging_once(document in any_object(), change in any_object()) {
            let mut once = document;
            merge(&mut once, change.clone());
            let mut twice = once.clone();
            merge(&mut twice, change);
            prop_assert_eq!(once, twice);
        }

        #[test]
        fn what_was_put_is_there_and_nothing_else_changed(
            document in any_object(),
            path in prop::collection::vec("[a-e]", 1..4),
            value in any_value(),
        ) {
            let mut changed = document.clone();
            match replace(&mut changed, &path, value.clone()) {
                Ok(()) => {
                    let pointer = format!("/{}", path.join("/"));
                    let changed = Value::Object(changed);
                    prop_assert_eq!(changed.pointer(&pointer), Some(&value));
                    for (name, before) in &document {
                        if *name != path[0] {
                            prop_assert_eq!(changed.get(name), Some(before));
                        }
                    }
                }
                Err(_) => prop_assert!(path.len() > 1),
            }
        }
    }
}
