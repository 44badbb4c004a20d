//! Makes up a document for a JSON Schema: examples where the schema has them, random values of its types elsewhere.
//! The schema is read once; what it leaves open is refused then.

use crossway_sdk::{
    build::BuildError,
    expr::{Lookup, Template},
    schema::member,
};
use rand::RngExt;
use serde_json::{Map, Value};

/// Schemas that are nested deeper are refused.
const DEEPEST: usize = 32;

/// Lists that may stand inside of one another and have several items; those deeper have one. All of them together have
/// 729 items then at most, and not three to the power of [`DEEPEST`].
const LONG_LISTS: usize = 6;

/// A schema, ready to be filled.
pub(super) enum Sample {
    Object(Vec<(String, Sample)>),
    /// One to three of these, see [`LONG_LISTS`].
    Array(Box<Sample>),
    /// The example, or one to ten lower case letters.
    Text(Option<Template>),
    Number(Option<serde_json::Number>),
    Integer(Option<serde_json::Number>),
    Boolean(Option<bool>),
    Null,
}

impl Sample {
    /// Reads a schema whose JSON pointer is `path`. Where `type` is left out, `properties` and `items` tell it.
    ///
    /// # Errors
    /// What cannot be made up, and where.
    pub(super) fn read(schema: &Map<String, Value>, path: &str) -> Result<Self, BuildError> {
        read(schema, path, 0)
    }

    /// The names of all properties, in any order.
    pub(super) fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Object(properties) => Box::new(properties.iter().flat_map(|(name, property)| {
                std::iter::once(name.as_str()).chain(property.names())
            })),
            Self::Array(items) => items.names(),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// A document.
    pub(super) fn fill(&self, from: &dyn Lookup) -> Value {
        self.fill_within(from, 0)
    }

    /// Whether it depends on the body of the request.
    pub(super) fn needs_body(&self) -> bool {
        match self {
            Self::Object(properties) => properties.iter().any(|(_, sample)| sample.needs_body()),
            Self::Array(items) => items.needs_body(),
            Self::Text(example) => example.as_ref().is_some_and(Template::needs_body),
            _ => false,
        }
    }

    fn fill_within(&self, from: &dyn Lookup, lists: usize) -> Value {
        let mut rng = rand::rng();
        match self {
            Self::Object(properties) => Value::Object(
                properties
                    .iter()
                    .map(|(name, sample)| (name.clone(), sample.fill_within(from, lists)))
                    .collect(),
            ),
            Self::Array(items) => {
                let count = match lists {
                    0..LONG_LISTS => rng.random_range(1..=3),
                    _ => 1,
                };
                (0..count)
                    .map(|_| items.fill_within(from, lists + 1))
                    .collect()
            }
            Self::Text(Some(example)) => {
                let mut text = Vec::new();
                example.render(from, &mut text);
                Value::String(String::from_utf8_lossy(&text).into_owned())
            }
            Self::Text(None) => {
                let length = rng.random_range(1..=10);
                let letter = |_| char::from(rng.random_range(b'a'..=b'z'));
                Value::String((0..length).map(letter).collect())
            }
            Self::Number(Some(example)) | Self::Integer(Some(example)) => example.clone().into(),
            Self::Number(None) => (rng.random::<f64>() * 10_000.0).into(),
            Self::Integer(None) => rng.random_range(1..=10_000).into(),
            Self::Boolean(example) => example.unwrap_or_else(|| rng.random()).into(),
            Self::Null => Value::Null,
        }
    }
}

fn read(schema: &Map<String, Value>, path: &str, depth: usize) -> Result<Sample, BuildError> {
    if depth > DEEPEST {
        return Err(BuildError::new(
            path,
            format!("nested deeper than {DEEPEST} levels"),
        ));
    }
    let example = schema.get("example");
    Ok(match kind(schema, path)?.as_str() {
        "object" => object(schema, path, depth)?,
        "array" => {
            let path = format!("{path}/items");
            let items = schema.get("items").and_then(Value::as_object);
            let items = items.ok_or_else(|| BuildError::new(&path, "expected a schema"))?;
            Sample::Array(Box::new(read(items, &path, depth + 1)?))
        }
        "string" => {
            let template = example.and_then(Value::as_str).map(Template::parse);
            let template = template
                .transpose()
                .map_err(|error| BuildError::new(format!("{path}/example"), error.to_string()))?;
            Sample::Text(template)
        }
        "number" => Sample::Number(example.and_then(Value::as_number).cloned()),
        "integer" => Sample::Integer(example.and_then(floor)),
        "boolean" => Sample::Boolean(example.and_then(Value::as_bool)),
        "null" => Sample::Null,
        other => {
            let message = format!(
                "expected object, array, string, number, integer, boolean or null, got {other}"
            );
            return Err(BuildError::new(format!("{path}/type"), message));
        }
    })
}

/// The type, in lower case.
fn kind(schema: &Map<String, Value>, path: &str) -> Result<String, BuildError> {
    match schema.get("type") {
        Some(Value::String(kind)) => Ok(kind.to_ascii_lowercase()),
        None if schema.contains_key("properties") => Ok("object".to_owned()),
        None if schema.contains_key("items") => Ok("array".to_owned()),
        _ => Err(BuildError::new(
            format!("{path}/type"),
            "expected the name of one type",
        )),
    }
}

fn object(schema: &Map<String, Value>, path: &str, depth: usize) -> Result<Sample, BuildError> {
    let path = format!("{path}/properties");
    let properties = match schema.get("properties") {
        None => return Ok(Sample::Object(Vec::new())),
        Some(Value::Object(properties)) => properties,
        Some(_) => return Err(BuildError::new(path, "expected an object of schemas")),
    };
    let read = properties.iter().map(|(name, property)| {
        let path = member(&path, name);
        match property {
            Value::Object(property) => Ok((name.clone(), read(property, &path, depth + 1)?)),
            _ => Err(BuildError::new(path, "expected a schema")),
        }
    });
    read.collect::<Result<_, _>>().map(Sample::Object)
}

fn floor(example: &Value) -> Option<serde_json::Number> {
    let number = example.as_number()?;
    if number.is_i64() || number.is_u64() {
        return Some(number.clone());
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` keeps within the range of i64"
    )]
    let floor = number.as_f64()?.floor() as i64;
    Some(floor.into())
}
