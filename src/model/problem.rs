//! What is wrong with a document, said where APISIX says it and with what is needed to mend it.

use std::fmt;

use crossway_sdk::{build::BuildError, schema::frames};

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
        BuildError::new(path, format!("{}{reason}", frames(path, None))).into()
    }

    /// The text without its `invalid configuration: `, for messages that frame it otherwise.
    pub fn detail(&self) -> &str {
        self.message.strip_prefix(PREFIX).unwrap_or(&self.message)
    }
}

impl From<BuildError> for Problem {
    /// A schema failure. The path is named unless it is the document itself.
    fn from(refusal: BuildError) -> Self {
        Self {
            message: format!("{PREFIX}{refusal}"),
            path: refusal.path,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
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
}
