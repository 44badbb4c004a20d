//! What is wrong with a document, said where APISIX says it and with what is needed to mend it.

use std::{borrow::Cow, fmt};

use serde_json::Value;

/// One problem of a document.
///
/// Its text keeps the frame that clients of APISIX's Admin API look for, and says inside it what was
/// expected, what came, and where:
/// `invalid configuration: property "upstream" validation failed: property "retries" validation failed:
/// expected -1 to be at least 0 (at /upstream/retries)`. Rules between fields have APISIX's own wording,
/// without a frame: `only one of host or hosts is allowed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is: a JSON pointer (RFC 6901) such as `/upstream/nodes/0/weight`; empty for the document
    /// itself. A missing field is pointed at where it should have been.
    pub path: String,
    /// The whole text for the client.
    pub message: String,
}

/// How APISIX begins the text of a schema failure.
const PREFIX: &str = "invalid configuration: ";

impl Problem {
    /// A problem whose text is complete as it stands.
    pub fn verbatim(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// A problem with the value at `path`: the reason is put into the frame of a schema failure.
    pub fn in_property(path: &str, reason: &str) -> Self {
        Self::framed(&frames(path, None), path, reason)
    }

    /// The text without its `invalid configuration: `, for messages that frame it otherwise.
    pub fn detail(&self) -> &str {
        self.message.strip_prefix(PREFIX).unwrap_or(&self.message)
    }

    /// A schema failure whose frames are known. The path is named unless it is the document itself.
    pub(super) fn framed(frames: &str, path: &str, reason: &str) -> Self {
        let place = if path.is_empty() {
            String::new()
        } else {
            format!(" (at {path})")
        };
        Self {
            path: path.to_owned(),
            message: format!("{PREFIX}{frames}{reason}{place}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

/// The nested frames of a path, outermost first: `property "uris" validation failed: failed to
/// validate item 1: `. Items count from one. `root` tells lists from objects with numeric names;
/// without it a number is taken for an item of a list.
pub(super) fn frames(path: &str, root: Option<&Value>) -> String {
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
pub(super) fn member(at: &str, name: &str) -> String {
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
    use serde_json::json;

    use super::*;

    #[test]
    fn the_frame_nests_as_the_path_does() {
        let problem =
            Problem::in_property("/upstream/nodes/0/weight", "expected -1 to be at least 0");
        assert_eq!(
            problem.to_string(),
            "invalid configuration: property \"upstream\" validation failed: property \"nodes\" \
             validation failed: failed to validate item 1: property \"weight\" validation failed: \
             expected -1 to be at least 0 (at /upstream/nodes/0/weight)"
        );
    }

    #[test]
    fn the_detail_has_no_prefix() {
        let problem = Problem::in_property("/a", "no");
        assert_eq!(
            problem.detail(),
            "property \"a\" validation failed: no (at /a)"
        );
        assert_eq!(
            Problem::verbatim("/a", "missing key").detail(),
            "missing key"
        );
    }

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
