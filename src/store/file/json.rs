//! The outline of a JSON file, with places in the text that `serde_json` does not give.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::outline::{Body, Section};
use super::parse::FileError;
use crate::store::Position;

pub(super) fn outline(text: &str) -> Result<Vec<Section>, FileError> {
    let mut places = Places {
        text,
        offset: 0,
        at: Position { line: 1, column: 1 },
    };
    let document: Document<'_> = serde_json::from_str(text).map_err(|error| syntax(&error))?;
    let mut sections = Vec::with_capacity(document.0.len());
    for (name, raw) in document.0 {
        let at = places.of(raw);
        let body = match raw.get().chars().next() {
            Some('[') => {
                let raw: Vec<&RawValue> =
                    serde_json::from_str(raw.get()).map_err(|error| syntax(&error))?;
                let mut items = Vec::with_capacity(raw.len());
                for item in raw {
                    let at = places.of(item);
                    // Well-formed as a part of the whole; what can fail is a number that is too
                    // large.
                    let value =
                        serde_json::from_str(item.get()).map_err(|error| FileError::Syntax {
                            at,
                            why: error.to_string(),
                        })?;
                    items.push((at, value));
                }
                Body::Items(items)
            }
            Some('n') => Body::Empty,
            _ => Body::Other,
        };
        sections.push(Section {
            name: name.into_owned(),
            at,
            body,
        });
    }
    Ok(sections)
}

fn syntax(error: &serde_json::Error) -> FileError {
    let at = (error.line() > 0).then(|| Position {
        line: error.line() as u64,
        column: error.column() as u64,
    });
    let why = error.to_string();
    // The place is told apart.
    let why = why
        .split_once(" at line ")
        .map_or(why.as_str(), |(why, _)| why);
    FileError::Syntax {
        at,
        why: why.to_owned(),
    }
}

/// The top level, in the order of the text.
struct Document<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Top;
        impl<'de> Visitor<'de> for Top {
            type Value = Document<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with sections such as `routes`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut sections = Vec::new();
                while let Some(section) = map.next_entry()? {
                    sections.push(section);
                }
                Ok(Document(sections))
            }
        }
        deserializer.deserialize_map(Top)
    }
}

/// Counts lines up to values that come in the order of the text.
struct Places<'a> {
    text: &'a str,
    offset: usize,
    at: Position,
}

impl Places<'_> {
    fn of(&mut self, raw: &RawValue) -> Option<Position> {
        let offset = (raw.get().as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        for character in self.text.get(self.offset..offset)?.chars() {
            if character == '\n' {
                self.at = Position {
                    line: self.at.line + 1,
                    column: 1,
                };
            } else {
                self.at.column += 1;
            }
        }
        self.offset = offset;
        Some(self.at)
    }
}
