//! From a JSON document to the typed model of its kind, with the place of the first failure.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::problem::{Problem, member};

/// Decodes a document into its model and fills the defaults in.
///
/// This does not replace [`check`](super::check()): lengths, patterns and the rules between fields are
/// judged there. A document that passed the check decodes.
pub fn decode<T: DeserializeOwned>(document: &Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let path = error
            .path()
            .iter()
            .fold(String::new(), |path, segment| match segment {
                Segment::Seq { index } => format!("{path}/{index}"),
                Segment::Map { key } => member(&path, key),
                Segment::Enum { variant } => member(&path, variant),
                Segment::Unknown => path,
            });
        Problem::in_property(&path, &error.inner().to_string())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Route, Upstream};

    #[test]
    fn the_place_of_the_failure_is_named() {
        let document = json!({"uri": "/", "upstream": {"nodes": [{"host": "a", "weight": "x"}]}});
        let problem = decode::<Route>(&document).unwrap_err();
        assert_eq!(problem.path, "/upstream/nodes/0/weight");
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let problem = decode::<Upstream>(&json!({"nodes": {}, "wieght": 1})).unwrap_err();
        assert_eq!(problem.path, "/wieght");
        assert!(
            problem.message.contains("unknown field `wieght`"),
            "{problem}"
        );
    }
}
