//! Where a value stands: JSON pointers (RFC 6901), and the frames that APISIX nests around a refusal.

use serde_json::Value;
use std::borrow::Cow;

/// The nested frames of a path, outermost first: `property "uris" validation failed: failed to
/// validate item 1: `. Items count from one. `root` tells lists from objects with numeric names;
/// without it a number is taken for an item of a list.
pub fn frames(path: &str, root: Option<&Value>) -> String {
    let mut text = String::new();
    let mut here = root;
    for segment in path.split('/').skip(1) {
        let name = unescape(segment);
        let index = segment.parse::<usize>().ok();
        let in_object = here.is_some_and(Value::is_object);
        match index {
            Some(index) if !in_object => {
                text.push_str(&format!(
                    "failed to validate item {}: ",
                    index.saturating_add(1)
                ));
                here = here.and_then(|value| value.get(index));
            }
            _ => {
                text.push_str(&format!("property {name:?} validation failed: "));
                here = here.and_then(|value| value.get(name.as_ref()));
            }
        }
    }
    text
}

/// The pointer to a member of the object at `at`.
pub fn member(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unescape(segment: &str) -> Cow<'_, str> {
    if segment.contains('~') {
        segment.replace("~1", "/").replace("~0", "~").into()
    } else {
        segment.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_numeric_name_is_not_an_item() {
        let document = json!({"labels": {"1": ""}});
        assert_eq!(
            frames("/labels/1", Some(&document)),
            "property \"labels\" validation failed: property \"1\" validation failed: "
        );
    }

    #[test]
    fn names_with_slashes_go_round() {
        let path = member("", "a/b~c");
        assert_eq!(path, "/a~1b~0c");
        assert_eq!(
            frames(&path, None),
            "property \"a/b~c\" validation failed: "
        );
    }
}
