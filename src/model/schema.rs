//! JSON schema (draft-07) as the documents are judged by it: the pieces that several kinds share, and
//! the compiled form. The schema that validates is the one that the Admin API serves.

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::{Map, Value, json};

use super::{id, number, problem::Problem, source, timeout};

/// A schema together with the validator made from it.
pub(super) struct Compiled {
    pub(super) document: Value,
    /// A schema that does not compile is a defect of this crate; it refuses every document and says so.
    validator: Result<Validator, String>,
}

impl Compiled {
    pub(super) fn new(schema: Value) -> Self {
        let document = with(
            schema,
            json!({"$schema": "http://json-schema.org/draft-07/schema#"}),
        );
        let validator = compile(&document).map_err(|error| error.to_string());
        Self {
            document,
            validator,
        }
    }

    pub(super) fn problems(&self, document: &Value) -> Vec<Problem> {
        match &self.validator {
            Ok(validator) => violations(validator, document),
            Err(error) => {
                vec![Problem::verbatim(
                    "",
                    format!("the schema of this resource is broken: {error}"),
                )]
            }
        }
    }
}

/// Compiles a draft-07 schema with the settings that the resources use: formats are checked, patterns
/// run in linear time, and nothing is fetched.
pub fn compile(schema: &Value) -> Result<Validator, jsonschema::ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft7)
        .should_validate_formats(true)
        .with_pattern_options(PatternOptions::regex())
        .offline()
        .build(schema)
}

/// All violations of a schema by a document, in the words and the order of [`crossway_sdk::schema::violations`].
pub fn violations(validator: &Validator, document: &Value) -> Vec<Problem> {
    let found = crossway_sdk::schema::violations(validator, document);
    found.into_iter().map(Problem::from).collect()
}

/// An object with these properties and no others.
pub(super) fn object<I>(properties: I) -> Value
where
    I: IntoIterator<Item = (&'static str, Value)>,
{
    let properties: Map<_, _> = properties
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

/// The schema with these keywords added.
pub(super) fn with(mut schema: Value, keywords: Value) -> Value {
    if let (Value::Object(schema), Value::Object(keywords)) = (&mut schema, keywords) {
        schema.extend(keywords);
    }
    schema
}

pub(super) fn described(schema: Value, description: &str) -> Value {
    with(schema, json!({ "description": description }))
}

/// `id`, `create_time` and `update_time`, which every stored document may carry.
pub(super) fn stored() -> [(&'static str, Value); 3] {
    [
        (
            "id",
            described(id(), "Identifier; the one in the path must agree with it."),
        ),
        (
            "create_time",
            described(
                integer(),
                "When it was created, in Unix seconds; set by the server.",
            ),
        ),
        (
            "update_time",
            described(
                integer(),
                "When it last changed, in Unix seconds; set by the server.",
            ),
        ),
    ]
}

/// `desc` and `labels`.
pub(super) fn annotations() -> [(&'static str, Value); 2] {
    [("desc", desc()), ("labels", labels())]
}

pub(super) fn name() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": 256,
        "description": "Name for people; it need not be unique."
    })
}

fn desc() -> Value {
    json!({"type": "string", "maxLength": 256, "description": "What it is for."})
}

fn labels() -> Value {
    json!({
        "type": "object",
        "additionalProperties": {
            "type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^\S+$"
        },
        "description": "Labels, key to value; values have no white space."
    })
}

pub(super) fn id() -> Value {
    json!({"anyOf": [
        {"type": "string", "minLength": 1, "maxLength": id::MAX_PLAIN, "pattern": "^[a-zA-Z0-9_.-]+$"},
        {"type": "integer", "minimum": 1, "maximum": number::MAX_EXACT}
    ]})
}

/// The id of another resource.
pub(super) fn id_of(what: &str) -> Value {
    described(id(), &format!("Id of the {what} to use."))
}

pub(super) fn integer() -> Value {
    json!({"type": "integer", "minimum": -number::MAX_EXACT, "maximum": number::MAX_EXACT})
}

pub(super) fn integer_from(least: i64, most: i64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

/// Longest time that a setting may give, in seconds.
const MAX_SECONDS: i64 = 1_000_000_000;

pub(super) fn positive_seconds() -> Value {
    json!({"type": "number", "exclusiveMinimum": 0, "maximum": MAX_SECONDS})
}

pub(super) fn seconds() -> Value {
    json!({"type": "number", "minimum": 0, "maximum": MAX_SECONDS})
}

pub(super) fn boolean(default: bool) -> Value {
    json!({"type": "boolean", "default": default})
}

pub(super) fn string() -> Value {
    json!({"type": "string"})
}

pub(super) fn one_of(names: &[&str], default: &str) -> Value {
    json!({"type": "string", "enum": names, "default": default})
}

/// A host name, an address, or a wildcard such as `*.example.com`.
pub(super) fn host() -> Value {
    json!({"type": "string", "pattern": r"^\*$|^\*?[0-9a-zA-Z._\[\]:-]+$"})
}

/// A list without repetition.
pub(super) fn set(items: Value, least: u32) -> Value {
    json!({"type": "array", "items": items, "minItems": least, "uniqueItems": true})
}

pub(super) fn plugins() -> Value {
    json!({"type": "object", "description": "Plugin configurations by plugin name."})
}

pub(super) fn address(description: &str) -> Value {
    source::schema(description)
}

pub(super) fn timeout() -> Value {
    timeout::schema()
}

/// Lua source, which is known but never accepted: no value fits.
pub(super) fn refused(what: &str) -> Value {
    json!({"not": {}, "description": format!("{what} Crossway runs no Lua and refuses it.")})
}

/// A PEM text within its size limits, or a reference to a secret (`$secret://…`, `$env://…`).
pub(super) fn pem(least: u32, description: &str) -> Value {
    json!({
        "type": "string",
        "description": description,
        "anyOf": [
            {"title": "PEM", "minLength": least, "maxLength": 65536},
            {"title": "Reference to a secret", "pattern": SECRET_REFERENCE}
        ]
    })
}

const SECRET_REFERENCE: &str = r"^\$([sS][eE][cC][rR][eE][tT]|[eE][nN][vV])://";

/// Whether the text refers to a secret, so that its content cannot be judged yet. The scheme's case
/// does not matter.
pub fn is_secret_reference(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|s| s.eq_ignore_ascii_case("$secret") || s.eq_ignore_ascii_case("$env"))
}
