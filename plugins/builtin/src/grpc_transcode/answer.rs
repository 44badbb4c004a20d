//! A message as JSON, in the manner of lua-protobuf.

use super::config::PbOption;
use base64::{Engine, engine::general_purpose::STANDARD};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Syntax, Value};
use serde_json::{Map, Number, Value as Json};

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    integers: Integers,
    enum_names: bool,
    defaults: Defaults,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Integers {
    Numbers,
    Text,
    Hexadecimal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Defaults {
    /// In proto3.
    Auto,
    Never,
    Always,
}

impl Manner {
    pub(super) fn of(options: &[PbOption]) -> Self {
        let mut manner = Self {
            integers: Integers::Numbers,
            enum_names: true,
            defaults: Defaults::Auto,
        };
        for option in options {
            match option {
                PbOption::Int64AsNumber => manner.integers = Integers::Numbers,
                PbOption::Int64AsString => manner.integers = Integers::Text,
                PbOption::Int64AsHexstring => manner.integers = Integers::Hexadecimal,
                PbOption::EnumAsName => manner.enum_names = true,
                PbOption::EnumAsValue => manner.enum_names = false,
                PbOption::AutoDefaultValues => manner.defaults = Defaults::Auto,
                PbOption::NoDefaultValues => manner.defaults = Defaults::Never,
                PbOption::UseDefaultValues | PbOption::UseDefaultMetatable => {
                    manner.defaults = Defaults::Always
                }
                PbOption::EnableHooks | PbOption::DisableHooks => {}
            }
        }
        manner
    }

    /// The message as JSON, its fields by the names in the description.
    pub(super) fn write(self, message: &DynamicMessage) -> Json {
        let descriptor = message.descriptor();
        let proto3 = descriptor.parent_file().syntax() == Syntax::Proto3;
        let filled = match self.defaults {
            Defaults::Always => true,
            Defaults::Never => false,
            Defaults::Auto => proto3,
        };
        let mut members = Map::new();
        for field in descriptor.fields() {
            let is_message =
                matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map();
            let optional = is_message || field.containing_oneof().is_some();
            if message.has_field(&field) || (filled && !optional) {
                let value = message.get_field(&field);
                members.insert(field.name().to_owned(), self.value(&field, &value));
            }
        }
        Json::Object(members)
    }

    fn value(self, field: &FieldDescriptor, value: &Value) -> Json {
        match value {
            Value::List(items) => Json::Array(
                items
                    .iter()
                    .map(|item| self.single(&field.kind(), item))
                    .collect(),
            ),
            Value::Map(entries) => {
                let Kind::Message(entry) = field.kind() else {
                    return Json::Null;
                };
                let kind = entry.map_entry_value_field().kind();
                let each = entries
                    .iter()
                    .map(|(key, value)| (name_of(key), self.single(&kind, value)));
                Json::Object(each.collect())
            }
            single => self.single(&field.kind(), single),
        }
    }

    fn single(self, kind: &Kind, value: &Value) -> Json {
        match value {
            Value::Bool(truth) => Json::Bool(*truth),
            Value::I32(number) => Json::from(*number),
            Value::U32(number) => Json::from(*number),
            Value::I64(number) => self.long((*number).into()),
            Value::U64(number) => self.long((*number).into()),
            Value::F32(number) => float((*number).into()),
            Value::F64(number) => float(*number),
            Value::String(text) => Json::String(text.clone()),
            // JSON has no bytes: text stays text.
            Value::Bytes(bytes) => Json::String(match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => STANDARD.encode(bytes),
            }),
            Value::EnumNumber(number) => {
                let name = match kind {
                    Kind::Enum(of) if self.enum_names => of.get_value(*number),
                    _ => None,
                };
                name.map_or_else(
                    || Json::from(*number),
                    |value| Json::String(value.name().to_owned()),
                )
            }
            Value::Message(message) => self.write(message),
            Value::List(_) | Value::Map(_) => Json::Null,
        }
    }

    /// A 64-bit integer. Numbers of Lua hold 32 bits for certain: only beyond them it becomes text.
    fn long(self, number: i128) -> Json {
        let plain = i128::from(i32::MIN) <= number && number <= i128::from(u32::MAX);
        match self.integers {
            Integers::Text if !plain => Json::String(format!("#{number}")),
            Integers::Hexadecimal if !plain && number < 0 => {
                Json::String(format!("#-0x{:x}", number.unsigned_abs()))
            }
            Integers::Hexadecimal if !plain => Json::String(format!("#0x{number:x}")),
            _ => match (i64::try_from(number), u64::try_from(number)) {
                (Ok(number), _) => Json::from(number),
                (_, Ok(number)) => Json::from(number),
                _ => Json::Null,
            },
        }
    }
}

/// What JSON has no number for is text.
fn float(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| Json::String(number.to_string()), Json::Number)
}

fn name_of(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}
