//! From a JSON document to the typed model of its kind, with the place of the first failure.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;

/// Decodes a document into its model and fills the defaults in.
///
/// This does not replace [`check`](super::check()): lengths, patterns and the rules between fields are
/// judged there. A document that passed the check decodes.
pub fn decode<T: DeserializeOwned>(document: &Value) -> Result<T, Problem> {
    crossway_sdk::schema::decode(document).map_err(Problem::from)
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
