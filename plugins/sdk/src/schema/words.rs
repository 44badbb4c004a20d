//! Words for schema violations, in APISIX's manner: what was expected and what came.

use jsonschema::{
    JsonType, ValidationError, error::TypeKind, error::ValidationErrorKind as Violation,
};
use serde_json::{Map, Value};

use super::path::{frames, member};
use crate::build::BuildError;

/// Longest value that is repeated in a message, in characters.
const SHOWN: usize = 80;

/// Which violations to name first: the smaller the earlier.
pub(super) fn rank(error: &ValidationError<'_>) -> u8 {
    let whole = error.instance_path().is_empty();
    match error.kind() {
        Violation::Required { .. } | Violation::AdditionalProperties { .. } => 1,
        Violation::AnyOf { .. } | Violation::OneOfNotValid { .. } | Violation::Not { .. }
            if whole =>
        {
            2
        }
        Violation::OneOfMultipleValid { .. } => 2,
        _ => 0,
    }
}

/// The violation in words, with the pointer to what is to blame in the document `root`.
pub(super) fn describe(error: &ValidationError<'_>, root: &Value) -> BuildError {
    let outer = error.instance_path().as_str();
    let (reason, path) = reason(error, root);
    BuildError::new(path, format!("{}{reason}", frames(outer, Some(root))))
}

/// What is wrong, and the pointer to the innermost value that is to blame.
fn reason(error: &ValidationError<'_>, root: &Value) -> (String, String) {
    let path = error.instance_path().as_str();
    let text = match error.kind() {
        Violation::AnyOf { context } => {
            return alternatives("object matches none of the required", context, path, root);
        }
        Violation::OneOfNotValid { context } => {
            let text = "value should match only one schema, but matches none";
            return alternatives(text, context, path, root);
        }
        Violation::OneOfMultipleValid { context } => several(context),
        Violation::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            return (format!("property {name:?} is required"), member(path, name));
        }
        Violation::AdditionalProperties { unexpected }
        | Violation::UnevaluatedProperties { unexpected } => return surplus(unexpected, path),
        // What an object that has no properties at all says of the first one.
        Violation::FalseSchema
            if error
                .schema_path()
                .as_str()
                .ends_with("/additionalProperties") =>
        {
            let members = root.pointer(path).and_then(Value::as_object);
            let names: Vec<_> = members.into_iter().flat_map(Map::keys).cloned().collect();
            return surplus(&names, path);
        }
        Violation::PropertyNames { error: inner } => {
            let name = inner.instance().as_str().unwrap_or_default();
            let text = of_value(inner.kind(), inner.instance());
            return (
                format!("property name {name:?} is refused: {text}"),
                member(path, name),
            );
        }
        kind => of_value(kind, error.instance()),
    };
    (text, path.to_owned())
}

/// Words for a violation by the value itself. Texts that break a length limit are never repeated:
/// they may be keys.
fn of_value(kind: &Violation, value: &Value) -> String {
    let got = shown(value);
    let length = || value.as_str().map_or(0, |text| text.chars().count());
    let items = || value.as_array().map_or(0, Vec::len);
    match kind {
        Violation::Type { kind } => {
            format!(
                "wrong type: expected {}, got {}",
                expected_type(kind),
                type_of(value)
            )
        }
        Violation::Enum { options } => {
            format!(
                "matches none of the enum values: expected one of {}, got {got}",
                listed(options)
            )
        }
        Violation::Pattern { pattern } => format!("failed to match pattern {pattern:?} with {got}"),
        Violation::MinLength { limit } => {
            format!(
                "string too short, expected at least {limit}, got {}",
                length()
            )
        }
        Violation::MaxLength { limit } => {
            format!(
                "string too long, expected at most {limit}, got {}",
                length()
            )
        }
        Violation::Minimum { limit } => format!("expected {got} to be at least {limit}"),
        Violation::ExclusiveMinimum { limit } => {
            format!("expected {got} to be greater than {limit}")
        }
        Violation::Maximum { limit } => format!("expected {got} to be at most {limit}"),
        Violation::ExclusiveMaximum { limit } => {
            format!("expected {got} to be smaller than {limit}")
        }
        Violation::MultipleOf { multiple_of } => {
            format!("expected {got} to be a multiple of {multiple_of}")
        }
        Violation::MinItems { limit } => {
            format!(
                "expect array to have at least {limit} items, got {}",
                items()
            )
        }
        Violation::MaxItems { limit } => {
            format!(
                "expect array to have at most {limit} items, got {}",
                items()
            )
        }
        Violation::MinProperties { limit } => {
            format!("expect object to have at least {limit} properties")
        }
        Violation::MaxProperties { limit } => {
            format!("expect object to have at most {limit} properties")
        }
        Violation::UniqueItems => match equal_items(value) {
            Some((a, b)) => format!("expected unique items but items {a} and {b} are equal"),
            None => "expected unique items".to_owned(),
        },
        Violation::Format { format } => format!("expected {got} to be a valid {format}"),
        Violation::Constant { expected_value } => format!("expected {expected_value}, got {got}"),
        Violation::Not { schema } => match required_by(schema) {
            Some(names) => format!("these properties exclude each other: {names}"),
            None => "value wasn't supposed to match schema".to_owned(),
        },
        Violation::FalseSchema => "no value is allowed here".to_owned(),
        // What is left (content encodings, references, …) no schema here uses; the library's words
        // serve, without the value.
        other => format!("the rule {:?} is not met", other.keyword()),
    }
}

/// Properties that do not exist; the first one is pointed at.
fn surplus(names: &[String], path: &str) -> (String, String) {
    let place = names
        .first()
        .map_or_else(|| path.to_owned(), |name| member(path, name));
    let text = format!(
        "additional properties forbidden, found {}",
        names.join(", ")
    );
    (text, place)
}

/// None of the alternatives fits: name the one that came closest, or the fields that were missing.
fn alternatives(
    text: &str,
    context: &[Vec<ValidationError<'static>>],
    path: &str,
    root: &Value,
) -> (String, String) {
    // That it might have been left out helps nobody who wrote something.
    let some: Vec<_> = context
        .iter()
        .filter(|branch| !only_null(branch, path))
        .collect();
    if let [only] = some.as_slice()
        && context.len() > 1
    {
        return match foremost(only) {
            Some(error) => within(error, path, root),
            None => (text.to_owned(), path.to_owned()),
        };
    }
    let context = some;
    let values: Vec<_> = context
        .iter()
        .filter_map(|branch| values_at(branch, path))
        .collect();
    if values.len() == context.len() && !values.is_empty() {
        let got = root.pointer(path).map(shown).unwrap_or_default();
        let values = values.join(", ");
        let text = format!("matches none of the enum values: expected one of {values}, got {got}");
        return (text, path.to_owned());
    }
    let missing: Vec<_> = context
        .iter()
        .map(|branch| missing_at(branch, path))
        .collect();
    if missing.iter().all(Option::is_some) {
        let groups: Vec<_> = missing.into_iter().flatten().collect();
        return (
            format!("{text}: expected {}", groups.join(" or ")),
            path.to_owned(),
        );
    }
    let types: Vec<_> = context
        .iter()
        .filter_map(|branch| wrong_type_at(branch, path))
        .collect();
    if types.len() == context.len() && !types.is_empty() {
        let value = root.pointer(path).map_or("nothing", type_of);
        let text = format!(
            "{text}: wrong type: expected {}, got {value}",
            types.join(" or ")
        );
        return (text, path.to_owned());
    }
    let formats: Vec<_> = context
        .iter()
        .filter_map(|branch| format_at(branch, path))
        .collect();
    if formats.len() > 1 {
        let got = root.pointer(path).map(shown).unwrap_or_default();
        let text = format!(
            "{text}: expected {got} to be a valid {}",
            formats.join(" or ")
        );
        return (text, path.to_owned());
    }
    let closest = context
        .iter()
        .filter(|branch| wrong_type_at(branch, path).is_none())
        .filter_map(|branch| foremost(branch))
        .reduce(|best, other| {
            if depth(other) > depth(best) {
                other
            } else {
                best
            }
        });
    match closest {
        Some(error) => {
            let (inner, place) = within(error, path, root);
            (format!("{text}: {inner}"), place)
        }
        None => (text.to_owned(), path.to_owned()),
    }
}

/// What is wrong inside of the value at `path`, framed from there on.
fn within(error: &ValidationError<'_>, path: &str, root: &Value) -> (String, String) {
    let (inner, place) = reason(error, root);
    let all = frames(error.instance_path().as_str(), Some(root));
    let outer = frames(path, Some(root));
    let between = all.strip_prefix(outer.as_str()).unwrap_or_default();
    (format!("{between}{inner}"), place)
}

/// The violation of an alternative that is named first.
fn foremost<'a, 'e>(branch: &'a [ValidationError<'e>]) -> Option<&'a ValidationError<'e>> {
    branch.iter().min_by_key(|error| rank(error))
}

/// Whether the alternative is `null`.
fn only_null(branch: &[ValidationError<'_>], path: &str) -> bool {
    matches!(branch, [error] if error.instance_path().as_str() == path
        && matches!(error.kind(), Violation::Type { kind: TypeKind::Single(JsonType::Null) }))
}

/// The values that an alternative asks for, if that is all that speaks against it.
fn values_at(branch: &[ValidationError<'_>], path: &str) -> Option<String> {
    let [.., error] = branch else { return None };
    let at = branch
        .iter()
        .all(|error| error.instance_path().as_str() == path);
    match error.kind() {
        Violation::Constant { expected_value } if at => Some(expected_value.to_string()),
        Violation::Enum { options } if at => Some(listed(options)),
        _ => None,
    }
}

fn depth(error: &ValidationError<'_>) -> usize {
    error.instance_path().as_str().matches('/').count()
}

/// The fields that an alternative misses, if that is all that speaks against it.
fn missing_at(branch: &[ValidationError<'_>], path: &str) -> Option<String> {
    let names: Vec<_> = branch
        .iter()
        .map(|error| match error.kind() {
            Violation::Required { property } if error.instance_path().as_str() == path => {
                Some(property.to_string())
            }
            Violation::AnyOf { context } | Violation::OneOfNotValid { context } => {
                let groups: Option<Vec<_>> = context
                    .iter()
                    .map(|branch| missing_at(branch, path))
                    .collect();
                groups.map(|groups| groups.join(" or "))
            }
            _ => None,
        })
        .collect::<Option<_>>()?;
    (!names.is_empty()).then(|| names.join(" and "))
}

fn wrong_type_at(branch: &[ValidationError<'_>], path: &str) -> Option<String> {
    branch.iter().find_map(|error| match error.kind() {
        Violation::Type { kind } if error.instance_path().as_str() == path => {
            Some(expected_type(kind))
        }
        _ => None,
    })
}

/// The format that an alternative asks for in vain.
fn format_at<'a>(branch: &'a [ValidationError<'_>], path: &str) -> Option<&'a str> {
    branch.iter().find_map(|error| match error.kind() {
        Violation::Format { format } if error.instance_path().as_str() == path => {
            Some(format.as_str())
        }
        _ => None,
    })
}

fn several(context: &[Vec<ValidationError<'static>>]) -> String {
    let matching: Vec<_> = context
        .iter()
        .enumerate()
        .filter(|(_, branch)| branch.is_empty())
        .map(|(index, _)| index.saturating_add(1).to_string())
        .collect();
    match matching.as_slice() {
        [] => "value should match only one schema, but matches several".to_owned(),
        list => format!(
            "value should match only one schema, but matches both schemas {}",
            list.join(" and ")
        ),
    }
}

fn expected_type(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => one.to_string(),
        TypeKind::Multiple(set) => set
            .iter()
            .filter(|one| *one != JsonType::Null)
            .map(|one| one.to_string())
            .collect::<Vec<_>>()
            .join(" or "),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn listed(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    options
        .iter()
        .filter(|option| !option.is_null())
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn required_by(schema: &Value) -> Option<String> {
    schema.get("required").map(listed)
}

/// The first two equal items, counted from one.
fn equal_items(value: &Value) -> Option<(usize, usize)> {
    let items = value.as_array()?;
    items.iter().enumerate().find_map(|(second, item)| {
        let first = items.iter().take(second).position(|other| other == item)?;
        Some((first.saturating_add(1), second.saturating_add(1)))
    })
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
