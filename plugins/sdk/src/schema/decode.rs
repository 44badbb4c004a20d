//! From a document that its schema takes to a type of Rust.

use super::path::{frames, member};
use crate::build::BuildError;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_path_to_error::Segment;

/// The largest whole number that every JSON reader carries exactly, 2^53 - 1.
const MAX_EXACT: f64 = 9_007_199_254_740_991.0;

/// Decodes a document. Where an integer is wanted, `1.0` is one, as it is to a schema.
///
/// # Errors
/// The type does not take it; with the JSON pointer of what is to blame, as far as it is known.
pub fn decode<T: DeserializeOwned>(document: &Value) -> Result<T, BuildError> {
    // Only what would be refused is looked at again: elsewhere, a fraction stays as it was written.
    T::deserialize(document).or_else(|_| {
        let mut whole = document.clone();
        make_whole(&mut whole);
        serde_path_to_error::deserialize(&whole).map_err(|error| {
            let path = error
                .path()
                .iter()
                .fold(String::new(), |path, segment| match segment {
                    Segment::Seq { index } => format!("{path}/{index}"),
                    Segment::Map { key } => member(&path, key),
                    Segment::Enum { variant } => member(&path, variant),
                    Segment::Unknown => path,
                });
            let message = format!("{}{}", frames(&path, Some(document)), error.inner());
            BuildError::new(path, message)
        })
    })
}

fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let exact = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() <= MAX_EXACT);
            if let Some(exact) = exact {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "it has no fraction and is exact"
                )]
                let whole = exact as i64;
                *number = Number::from(whole);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(members) => members.values_mut().for_each(make_whole),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Limits {
        count: u32,
        rate: f64,
        free: Value,
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction() {
        let limits: Limits = decode(&json!({"count": 3.0, "rate": 1.0, "free": 1})).unwrap();
        assert_eq!((limits.count, limits.rate), (3, 1.0));
        let limits: Limits = decode(&json!({"count": 3, "rate": 1, "free": 1.0})).unwrap();
        assert_eq!(limits.free.to_string(), "1.0");
    }

    #[test]
    fn the_place_of_a_failure_is_named() {
        let refused =
            decode::<Vec<Limits>>(&json!([{"count": 3.5, "rate": 1, "free": 1}])).unwrap_err();
        assert_eq!(refused.path, "/0/count");
        assert!(
            refused
                .message
                .starts_with("failed to validate item 1: property \"count\" validation failed: "),
            "{refused}"
        );
    }
}
