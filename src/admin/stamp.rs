//! When documents were made and changed: `create_time` and `update_time`, in Unix seconds. Pure but for the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};

use super::error::Failure;

const CREATED: &str = "create_time";
const UPDATED: &str = "update_time";

/// The time now.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Refuses times in a document that a client writes as a whole: of the document itself, of its inline upstream, and
/// among its plugins.
///
/// # Errors
/// 400 in APISIX's words, which have two spaces.
pub(super) fn refuse(document: &Map<String, Value>) -> Result<(), Failure> {
    let inner = |name: &str| document.get(name).and_then(Value::as_object);
    let places = [
        ("", Some(document)),
        ("upstream.", inner("upstream")),
        ("plugins.", inner("plugins")),
    ];
    for (at, fields) in places {
        for name in [CREATED, UPDATED] {
            if fields.is_some_and(|fields| fields.contains_key(name)) {
                return Err(Failure::bad(format!(
                    "the property is forbidden:  {at}{name}"
                )));
            }
        }
    }
    Ok(())
}

/// Sets the times of a document that replaces `previous`, or of a new one.
pub(super) fn replaced(document: &mut Map<String, Value>, previous: Option<&Value>, now: u64) {
    let created = previous.and_then(|previous| previous.get(CREATED));
    let created = created.cloned().unwrap_or_else(|| now.into());
    document.insert(CREATED.to_owned(), created);
    document.insert(UPDATED.to_owned(), now.into());
}

/// Sets the times of a document after a patch. What the patch says of them counts.
pub(super) fn patched(
    document: &mut Map<String, Value>,
    change: Option<&Map<String, Value>>,
    now: u64,
) {
    if !document.contains_key(CREATED) {
        document.insert(CREATED.to_owned(), now.into());
    }
    let given = change.is_some_and(|change| change.contains_key(UPDATED));
    if !given || !document.contains_key(UPDATED) {
        document.insert(UPDATED.to_owned(), now.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_client_does_not_set_times() {
        for (document, said) in [
            (json!({"create_time": 1}), "create_time"),
            (
                json!({"upstream": {"update_time": 1}}),
                "upstream.update_time",
            ),
            (
                json!({"plugins": {"create_time": {}}}),
                "plugins.create_time",
            ),
        ] {
            let refused = refuse(&fields(document)).err().map(|e| e.message());
            let expected = format!("the property is forbidden:  {said}");
            assert_eq!(refused, Some(expected));
        }
        assert!(refuse(&fields(json!({"labels": {"create_time": "x"}}))).is_ok());
    }

    #[test]
    fn a_replaced_document_keeps_when_it_was_created() {
        let mut document = fields(json!({"uri": "/"}));
        replaced(&mut document, None, 7);
        assert_eq!(
            Value::Object(document.clone()),
            json!({"uri": "/", "create_time": 7, "update_time": 7})
        );
        let before = Value::Object(document.clone());
        replaced(&mut document, Some(&before), 9);
        assert_eq!(document.get("create_time"), Some(&json!(7)));
        assert_eq!(document.get("update_time"), Some(&json!(9)));
    }

    #[test]
    fn a_patch_may_set_times() {
        let mut document = fields(json!({"create_time": 1, "update_time": 2}));
        patched(&mut document, Some(&fields(json!({"desc": "x"}))), 9);
        assert_eq!(document.get("update_time"), Some(&json!(9)));
        let change = fields(json!({"update_time": 5}));
        document.insert("update_time".to_owned(), json!(5));
        patched(&mut document, Some(&change), 9);
        assert_eq!(document.get("update_time"), Some(&json!(5)));
        assert_eq!(document.get("create_time"), Some(&json!(1)));
    }
}
