//! A JSON Schema that judges documents, with messages in the frame that users of Apache APISIX know.

mod bounds;
mod decode;
mod path;
mod words;

pub use decode::decode;

pub use path::{frames, member};

use crate::build::BuildError;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;
use std::sync::OnceLock;

/// Steps of backtracking after which a `pattern` with look-around or back-references gives up, which is a mismatch.
const BACKTRACK_LIMIT: usize = 100_000;

/// A schema; made and compiled when it is first needed.
pub struct Schema {
    make: Make,
    document: OnceLock<Value>,
    validator: OnceLock<Result<Validator, String>>,
}

enum Make {
    Ready,
    Later(fn() -> Value),
}

impl Schema {
    /// From a document.
    pub fn new(document: Value) -> Self {
        Self {
            make: Make::Ready,
            document: document.into(),
            validator: OnceLock::new(),
        }
    }

    /// From a function that makes the document.
    pub fn lazy(make: fn() -> Value) -> Self {
        Self {
            make: Make::Later(make),
            document: OnceLock::new(),
            validator: OnceLock::new(),
        }
    }

    /// From a document that a user wrote, compiled at once: in the draft that `$schema` names, else in draft 7. A `$ref` leads
    /// to places within the document and nowhere else.
    ///
    /// # Errors
    /// It is no schema; the path is that of the problem within the document.
    pub fn compiled(document: Value) -> Result<Self, BuildError> {
        let refused =
            |e: ValidationError<'_>| BuildError::new(e.instance_path().to_string(), e.to_string());
        if document.get("$schema").is_some() {
            jsonschema::meta::validate(&document).map_err(refused)?;
        } else {
            jsonschema::draft7::meta::validate(&document).map_err(refused)?;
        }
        let mut options = jsonschema::options();
        if document.get("$schema").is_none() {
            options = options.with_draft(jsonschema::Draft::Draft7);
        }
        let patterns = PatternOptions::fancy_regex().backtrack_limit(BACKTRACK_LIMIT);
        let validator = options
            .with_pattern_options(patterns)
            .should_validate_formats(false)
            .offline()
            .build(&document)
            .map_err(|e| BuildError::new("", e.to_string()))?;
        Ok(Self {
            make: Make::Ready,
            document: document.into(),
            validator: Ok(validator).into(),
        })
    }

    /// The document.
    pub fn document(&self) -> &Value {
        self.document.get_or_init(|| match self.make {
            Make::Ready => Value::Bool(true),
            Make::Later(make) => make(),
        })
    }

    /// Judges a document.
    ///
    /// # Errors
    /// The first problem, with the JSON pointer of what is to blame: see [`violations`].
    pub fn check(&self, document: &Value) -> Result<(), BuildError> {
        let validator = self.validator.get_or_init(|| {
            let mut bounded = self.document().clone();
            bounds::add(&mut bounded);
            jsonschema::draft7::new(&bounded).map_err(|e| e.to_string())
        });
        match validator {
            Err(e) => Err(BuildError::new(
                "",
                format!("the schema itself is not valid: {e}"),
            )),
            Ok(validator) if validator.is_valid(document) => Ok(()),
            Ok(validator) => violations(validator, document)
                .into_iter()
                .next()
                .map_or(Ok(()), Err),
        }
    }
}

/// All violations of a schema by a document, in APISIX's frame and with the JSON pointer of what is to blame. Values of single fields
/// come before missing and surplus fields, and those before alternatives of the whole document, because the former often cause the
/// latter.
pub fn violations(validator: &Validator, document: &Value) -> Vec<BuildError> {
    let mut found: Vec<_> = validator
        .iter_errors(document)
        .map(|error| (words::rank(&error), words::describe(&error, document)))
        .collect();
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, refusal)| refusal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_users_schema_is_judged_and_compiled_in_its_own_draft() {
        let draft4 = json!({"$schema": "http://json-schema.org/draft-04/schema#",
            "properties": {"n": {"minimum": 1, "exclusiveMinimum": true}}});
        let schema = Schema::compiled(draft4).unwrap();
        assert!(schema.check(&json!({"n": 1})).is_err());
        assert!(schema.check(&json!({"n": 2})).is_ok());
        for (bad, place) in [
            (json!({"type": "strin"}), "/type"),
            (json!({"required": "a"}), "/required"),
            (
                json!({"properties": {"a": {"pattern": "a("}}}),
                "/properties/a/pattern",
            ),
            (json!({"$ref": "http://127.0.0.1:1/a"}), ""),
            (json!({"$ref": "#/definitions/none"}), ""),
        ] {
            let refused = Schema::compiled(bad.clone()).err().expect("refused");
            assert_eq!(refused.path, place, "{bad}: {refused}");
        }
        let hard = Schema::compiled(json!({"pattern": "^(?:(?=a)a|a)+$"})).unwrap();
        assert!(hard.check(&json!(format!("{}!", "a".repeat(60)))).is_err());
    }

    #[test]
    fn a_message_names_the_property_what_was_expected_and_what_came() {
        let schema = Schema::new(json!({
            "type": "object", "additionalProperties": false, "required": ["count"],
            "properties": {"count": {"type": "integer", "minimum": 1}, "key": {"type": "string", "minLength": 8}, "rules": {"type": "array", "items": {"type": "string"}}}
        }));
        let said = |v: Value| schema.check(&v).map_err(|e| (e.path, e.message));
        assert_eq!(said(json!({"count": 1})), Ok(()));
        assert_eq!(
            said(json!({"count": 0})),
            Err((
                "/count".into(),
                "property \"count\" validation failed: expected 0 to be at least 1".into()
            ))
        );
        assert_eq!(
            said(json!({})),
            Err(("/count".into(), "property \"count\" is required".into()))
        );
        assert_eq!(
            said(json!({"count": 1, "x": 1})),
            Err((
                "/x".into(),
                "additional properties forbidden, found x".into()
            ))
        );
        assert_eq!(
            said(json!({"count": 1, "key": "secret"})).unwrap_err().1,
            "property \"key\" validation failed: string too short, expected at least 8, got 6"
        );
        assert_eq!(
            said(json!({"count": 1, "rules": [3]})).unwrap_err().1,
            "property \"rules\" validation failed: failed to validate item 1: wrong type: expected string, got number"
        );
    }

    /// As schemars writes an `Option` of a struct, an enum with documented values, and a struct without fields.
    #[test]
    fn alternatives_are_told_by_what_they_ask_for() {
        let schema = Schema::new(json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "tls": {"anyOf": [{"$ref": "#/definitions/tls"}, {"type": "null"}]},
                "policy": {"oneOf": [{"const": "local", "description": "Here."}, {"const": "redis"}]},
                "maybe": {"type": ["integer", "null"]},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 1}, {"type": "null"}]},
                "none": {"type": "object", "additionalProperties": false},
                "never": false,
                "named": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}},
                "choice": {"anyOf": [{"enum": ["a"]}, {"enum": ["b", null]}, {"type": "null"}]}
            },
            "anyOf": [{"required": ["tls"]}, {"required": ["policy"]}],
            "definitions": {"tls": {"type": "object", "additionalProperties": false, "required": ["name"],
                "properties": {"name": {"type": "string"}, "depth": {"type": "integer", "maximum": 9}}}}
        }));
        let told = |document: Value| {
            let refused = schema.check(&document).expect_err("a refusal");
            (refused.path, refused.message)
        };
        let tls = "property \"tls\" validation failed:";
        for (document, path, message) in [
            (json!({"tls": {}}), "/tls/name", format!("{tls} property \"name\" is required")),
            (json!({"tls": 3}), "/tls", format!("{tls} wrong type: expected object, got number")),
            (
                json!({"tls": {"name": "a", "x/y": 1}}),
                "/tls/x~1y",
                format!("{tls} additional properties forbidden, found x/y"),
            ),
            (
                json!({"tls": {"nome": "a", "depth": 10}}),
                "/tls/depth",
                format!("{tls} property \"depth\" validation failed: expected 10 to be at most 9"),
            ),
            (
                json!({"policy": "remote"}),
                "/policy",
                "property \"policy\" validation failed: matches none of the enum values: expected one of \"local\", \"redis\", \
                 got \"remote\""
                    .to_owned(),
            ),
            (
                json!({"policy": "local", "choice": "c"}),
                "/choice",
                "property \"choice\" validation failed: matches none of the enum values: expected one of \"a\", \"b\", got \"c\""
                    .to_owned(),
            ),
            (
                json!({"policy": "local", "maybe": "1"}),
                "/maybe",
                "property \"maybe\" validation failed: wrong type: expected integer, got string".to_owned(),
            ),
            (
                json!({"policy": "local", "either": ""}),
                "/either",
                "property \"either\" validation failed: object matches none of the required: string too short, expected at least \
                 1, got 0"
                    .to_owned(),
            ),
            (
                json!({"policy": "local", "either": {}}),
                "/either",
                "property \"either\" validation failed: object matches none of the required: wrong type: expected integer or \
                 string, got object"
                    .to_owned(),
            ),
            (
                json!({"policy": "local", "none": {"b": 1, "a": 2}}),
                "/none/a",
                "property \"none\" validation failed: additional properties forbidden, found a, b".to_owned(),
            ),
            (
                json!({"policy": "local", "never": 1}),
                "/never",
                "property \"never\" validation failed: no value is allowed here".to_owned(),
            ),
            (
                json!({"policy": "local", "named": {"A": 1}}),
                "/named/A",
                "property \"named\" validation failed: property name \"A\" is refused: failed to match pattern \"^[a-z]+$\" with \
                 \"A\""
                    .to_owned(),
            ),
            (
                json!({}),
                "",
                "object matches none of the required: expected \"tls\" or \"policy\"".to_owned(),
            ),
        ] {
            assert_eq!(told(document.clone()), (path.to_owned(), message), "{document}");
        }
    }
}
