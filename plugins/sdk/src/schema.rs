//! A JSON Schema that judges documents, with messages in the frame that users of Apache APISIX know.

use crate::build::BuildError;
use jsonschema::{PatternOptions, ValidationError, Validator, error::ValidationErrorKind};
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
    /// The first problem: `property "x" validation failed: …`, with the JSON pointer.
    pub fn check(&self, document: &Value) -> Result<(), BuildError> {
        let validator = self
            .validator
            .get_or_init(|| jsonschema::draft7::new(self.document()).map_err(|e| e.to_string()));
        match validator {
            Err(e) => Err(BuildError::new(
                "",
                format!("the schema itself is not valid: {e}"),
            )),
            Ok(validator) => validator
                .iter_errors(document)
                .next()
                .map_or(Ok(()), |e| Err(describe(&e))),
        }
    }
}

/// A validation error in APISIX's frame.
pub fn describe(error: &ValidationError<'_>) -> BuildError {
    let path = error.instance_path().to_string();
    let mut message = String::new();
    for part in path.split('/').skip(1) {
        let name = part.replace("~1", "/").replace("~0", "~");
        // Items count from one, as in APISIX.
        match name.parse::<usize>() {
            Ok(index) => message.push_str(&format!(
                "failed to validate item {}: ",
                index.saturating_add(1)
            )),
            Err(_) => message.push_str(&format!("property \"{name}\" validation failed: ")),
        }
    }
    message.push_str(&detail(error));
    BuildError { path, message }
}

fn detail(error: &ValidationError<'_>) -> String {
    let came = error.instance();
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            format!("property {property} is required")
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            format!(
                "additional properties forbidden, found {}",
                unexpected.join(", ")
            )
        }
        ValidationErrorKind::Type { kind } => {
            format!(
                "wrong type: expected {}, got {}",
                kind_name(kind),
                type_name(came)
            )
        }
        ValidationErrorKind::Enum { options } => {
            format!("matches none of the enum values: expected one of {options}, got {came}")
        }
        ValidationErrorKind::Minimum { limit } => format!("expected {came} to be at least {limit}"),
        ValidationErrorKind::Maximum { limit } => format!("expected {came} to be at most {limit}"),
        ValidationErrorKind::ExclusiveMinimum { limit } => {
            format!("expected {came} to be greater than {limit}")
        }
        ValidationErrorKind::ExclusiveMaximum { limit } => {
            format!("expected {came} to be smaller than {limit}")
        }
        // What breaks a limit of length is never repeated: it may be a key.
        ValidationErrorKind::MinLength { limit } => {
            format!(
                "string too short, expected at least {limit}, got {}",
                length(came)
            )
        }
        ValidationErrorKind::MaxLength { limit } => {
            format!(
                "string too long, expected at most {limit}, got {}",
                length(came)
            )
        }
        ValidationErrorKind::MinItems { limit } => {
            format!("expect array to have at least {limit} items")
        }
        ValidationErrorKind::MaxItems { limit } => {
            format!("expect array to have at most {limit} items")
        }
        ValidationErrorKind::MinProperties { limit } => {
            format!("expect object to have at least {limit} properties")
        }
        ValidationErrorKind::MaxProperties { limit } => {
            format!("expect object to have at most {limit} properties")
        }
        ValidationErrorKind::UniqueItems => "expected unique items".to_owned(),
        ValidationErrorKind::Pattern { pattern } => {
            format!("failed to match pattern \"{pattern}\" with {came}")
        }
        ValidationErrorKind::OneOfNotValid { .. } => {
            format!("value should match only one schema, but matches none: got {came}")
        }
        ValidationErrorKind::OneOfMultipleValid { .. } => {
            "value should match only one schema, but matches several".to_owned()
        }
        ValidationErrorKind::AnyOf { .. } => "object matches none of the required".to_owned(),
        _ => error.to_string(),
    }
}

fn length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn kind_name(kind: &jsonschema::error::TypeKind) -> String {
    match kind {
        jsonschema::error::TypeKind::Single(t) => t.to_string(),
        jsonschema::error::TypeKind::Multiple(types) => types
            .iter()
            .map(|t| t.to_string())
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
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
            Err((String::new(), "property \"count\" is required".into()))
        );
        assert_eq!(
            said(json!({"count": 1, "x": 1})),
            Err((
                String::new(),
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
}
