//! `log_format`, read once.

use super::json::{Json, Text};
use crossway_sdk::{
    build::BuildError,
    expr::{Lookup, Template, Variable},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value as Document};

/// Levels of objects in each other.
const DEEPEST: usize = 5;

/// Fields and what stands in them.
pub(super) struct Format(Vec<(String, Field)>);

enum Field {
    Constant(Document),
    /// One variable alone, whose kind of value is kept.
    Variable(Variable),
    /// A text with variables in it.
    Text(Template),
    RequestBody,
    ResponseBody,
    Object(Format),
    List(Vec<Field>),
}

/// Where the values come from.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) from: &'a dyn Lookup,
    pub(super) request_body: Option<&'a [u8]>,
    pub(super) response_body: Option<&'a [u8]>,
}

impl Format {
    /// Reads a format at `path` of the configuration.
    ///
    /// # Errors
    /// An unknown variable, or objects too deep in each other.
    pub(super) fn new(fields: &Map<String, Document>, path: &str) -> Result<Self, BuildError> {
        Self::at(fields, path, 1)
    }

    fn at(fields: &Map<String, Document>, path: &str, depth: usize) -> Result<Self, BuildError> {
        if depth > DEEPEST {
            let message = format!("expected at most {DEEPEST} levels of objects");
            return Err(BuildError::new(path, message));
        }
        let field = |(name, written): (&String, &Document)| {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            let place = format!("{path}/{escaped}");
            Ok((name.clone(), Field::new(written, &place, depth)?))
        };
        fields.iter().map(field).collect::<Result<_, _>>().map(Self)
    }

    fn any(&self, test: &dyn Fn(&Field) -> bool) -> bool {
        self.0.iter().any(|(_, field)| field.any(test))
    }

    /// Whether the request body has to be looked at.
    pub(super) fn needs_request_body(&self) -> bool {
        self.any(&|field| match field {
            Field::RequestBody => true,
            Field::Variable(variable) => variable.needs_body(),
            Field::Text(template) => template.needs_body(),
            _ => false,
        })
    }

    /// Whether the response body has to be looked at.
    pub(super) fn needs_response_body(&self) -> bool {
        self.any(&|field| matches!(field, Field::ResponseBody))
    }

    /// Whether there is a field of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(field, _)| field == name)
    }

    /// Writes the fields that the request has values for, but those that `skip` names.
    pub(super) fn write<S: Serializer>(
        &self,
        source: Source<'_>,
        skip: &[&str],
        to: &mut S::SerializeMap,
    ) -> Result<(), S::Error> {
        for (name, field) in &self.0 {
            if !skip.contains(&name.as_str()) {
                field.write::<S>(name, source, to)?;
            }
        }
        Ok(())
    }
}

impl Field {
    fn new(written: &Document, path: &str, depth: usize) -> Result<Self, BuildError> {
        Ok(match written {
            Document::String(text) => Self::text(text, path)?,
            Document::Object(fields) => Self::Object(Format::at(fields, path, depth + 1)?),
            Document::Array(items) => {
                let item = |(index, item)| Self::new(item, &format!("{path}/{index}"), depth + 1);
                Self::List(
                    items
                        .iter()
                        .enumerate()
                        .map(item)
                        .collect::<Result<_, _>>()?,
                )
            }
            other => Self::Constant(other.clone()),
        })
    }

    fn text(text: &str, path: &str) -> Result<Self, BuildError> {
        match text.strip_prefix('$') {
            Some("request_body") => return Ok(Self::RequestBody),
            Some("resp_body") => return Ok(Self::ResponseBody),
            // One variable alone, which may be a path such as `$post_arg.user.id`.
            Some(name) => {
                if let Ok(variable) = Variable::parse(name) {
                    return Ok(Self::Variable(variable));
                }
            }
            None => {}
        }
        let template = Template::parse(text).map_err(|e| BuildError::new(path, e.to_string()))?;
        Ok(match template.is_constant() {
            Some(_) => Self::Constant(Document::String(text.to_owned())),
            None => Self::Text(template),
        })
    }

    fn any(&self, test: &dyn Fn(&Self) -> bool) -> bool {
        match self {
            Self::Object(format) => format.any(test),
            Self::List(items) => items.iter().any(|item| item.any(test)),
            leaf => test(leaf),
        }
    }

    fn write<S: Serializer>(
        &self,
        name: &str,
        source: Source<'_>,
        to: &mut S::SerializeMap,
    ) -> Result<(), S::Error> {
        match self {
            Self::Variable(variable) => match source.from.lookup(variable) {
                Some(value) => to.serialize_entry(name, &Json(&value)),
                None => Ok(()),
            },
            Self::RequestBody => optional::<S>(name, source.request_body, to),
            Self::ResponseBody => optional::<S>(name, source.response_body, to),
            other => to.serialize_entry(
                name,
                &Filled {
                    field: other,
                    source,
                },
            ),
        }
    }
}

fn optional<S: Serializer>(
    name: &str,
    body: Option<&[u8]>,
    to: &mut S::SerializeMap,
) -> Result<(), S::Error> {
    match body {
        Some(body) => to.serialize_entry(name, &Text(body)),
        None => Ok(()),
    }
}

/// A field with values in it.
struct Filled<'a> {
    field: &'a Field,
    source: Source<'a>,
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let source = self.source;
        match self.field {
            Field::Constant(document) => document.serialize(to),
            Field::Variable(variable) => source
                .from
                .lookup(variable)
                .as_ref()
                .map(Json)
                .serialize(to),
            Field::Text(template) => {
                let mut text = Vec::new();
                template.render(source.from, &mut text);
                Text(&text).serialize(to)
            }
            Field::RequestBody => source.request_body.map(Text).serialize(to),
            Field::ResponseBody => source.response_body.map(Text).serialize(to),
            Field::List(items) => {
                to.collect_seq(items.iter().map(|field| Filled { field, source }))
            }
            Field::Object(format) => {
                let mut object = to.serialize_map(None)?;
                format.write::<S>(source, &[], &mut object)?;
                object.end()
            }
        }
    }
}
