//! JSON as a message, by its description.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;

/// How deeply messages may stand in each other.
const DEPTH: usize = 64;

/// The message that these members make. Members that it does not have are left out, and so is `null`.
///
/// # Errors
/// A member is not what the field takes.
pub(super) fn encode(
    of: &MessageDescriptor,
    members: &Map<String, Json>,
) -> Result<DynamicMessage, String> {
    message(of, members, 0)
}

fn message(
    of: &MessageDescriptor,
    members: &Map<String, Json>,
    depth: usize,
) -> Result<DynamicMessage, String> {
    if depth > DEPTH {
        return Err("messages are nested too deeply".to_owned());
    }
    let mut made = DynamicMessage::new(of.clone());
    for field in of.fields() {
        let given = match members.get(field.name()) {
            None | Some(Json::Null) => continue,
            Some(given) => given,
        };
        let value = whole(&field, given, depth)?;
        made.try_set_field(&field, value)
            .map_err(|e| format!("{}: {e}", field.name()))?;
    }
    Ok(made)
}

fn whole(field: &FieldDescriptor, given: &Json, depth: usize) -> Result<Value, String> {
    let name = field.name();
    if field.is_map() {
        let Json::Object(entries) = given else {
            return Err(format!("{name}: expected an object"));
        };
        let Kind::Message(entry) = field.kind() else {
            return Err(format!("{name}: not a map"));
        };
        let (keys, values) = (
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        );
        let each = entries.iter().map(|(key, value)| {
            let key = map_key(&keys, key)
                .ok_or_else(|| format!("{name}: the key {key:?} does not fit"))?;
            Ok((key, single(name, &values, value, depth)?))
        });
        return Ok(Value::Map(each.collect::<Result<HashMap<_, _>, String>>()?));
    }
    let kind = field.kind();
    match given {
        Json::Array(items) if field.is_list() => {
            let items = items.iter().map(|item| single(name, &kind, item, depth));
            Ok(Value::List(items.collect::<Result<_, _>>()?))
        }
        // An argument that stands once.
        one if field.is_list() => Ok(Value::List(vec![single(name, &kind, one, depth)?])),
        // An argument that stands several times where one is expected: the first counts.
        Json::Array(items) => match items.first() {
            Some(first) => single(name, &kind, first, depth),
            None => Err(format!("{name}: expected a single value")),
        },
        one => single(name, &kind, one, depth),
    }
}

fn single(name: &str, kind: &Kind, given: &Json, depth: usize) -> Result<Value, String> {
    let wrong = || format!("{name}: the value does not fit");
    Ok(match kind {
        Kind::Message(of) => match given {
            Json::Object(members) => Value::Message(message(of, members, depth + 1)?),
            _ => return Err(format!("{name}: expected an object")),
        },
        Kind::Enum(of) => {
            let number = match given {
                Json::String(text) => of
                    .get_value_by_name(text)
                    .map(|v| v.number())
                    .or_else(|| text.parse().ok()),
                other => integer(other).and_then(|n| n.try_into().ok()),
            };
            Value::EnumNumber(number.ok_or_else(wrong)?)
        }
        Kind::String => Value::String(match given {
            Json::String(text) => text.clone(),
            Json::Number(number) => number.to_string(),
            _ => return Err(wrong()),
        }),
        Kind::Bytes => match given {
            Json::String(text) => Value::Bytes(text.clone().into_bytes().into()),
            _ => return Err(wrong()),
        },
        Kind::Bool => Value::Bool(match given {
            Json::Bool(truth) => *truth,
            Json::String(text) if text == "true" => true,
            Json::String(text) if text == "false" => false,
            _ => return Err(wrong()),
        }),
        Kind::Double => Value::F64(float(given).ok_or_else(wrong)?),
        #[expect(clippy::cast_possible_truncation, reason = "that is what a float is")]
        Kind::Float => Value::F32(float(given).ok_or_else(wrong)? as f32),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(fitting(given).ok_or_else(wrong)?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(fitting(given).ok_or_else(wrong)?)
        }
        Kind::Uint32 | Kind::Fixed32 => Value::U32(fitting(given).ok_or_else(wrong)?),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(fitting(given).ok_or_else(wrong)?),
    })
}

fn map_key(kind: &Kind, key: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::String => MapKey::String(key.to_owned()),
        Kind::Bool => MapKey::Bool(key.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(key.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(key.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(key.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(key.parse().ok()?),
        _ => return None,
    })
}

fn fitting<T: TryFrom<i128>>(given: &Json) -> Option<T> {
    integer(given)?.try_into().ok()
}

/// An integer, also as text: in decimal, and as lua-protobuf writes it, `#123` and `#0x7b`.
fn integer(given: &Json) -> Option<i128> {
    match given {
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(n), _) => Some(n.into()),
            (None, Some(n)) => Some(n.into()),
            (None, None) => {
                let number = number
                    .as_f64()
                    .filter(|n| n.fract() == 0.0 && n.abs() < 1e19)?;
                #[expect(clippy::cast_possible_truncation, reason = "checked above")]
                Some(number as i128)
            }
        },
        Json::String(text) => {
            let text = text.strip_prefix('#').unwrap_or(text);
            let (sign, text) = match text.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, text),
            };
            let digits = match text.strip_prefix("0x") {
                Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).ok()?,
                None => text.parse().ok()?,
            };
            Some(sign * i128::from(digits))
        }
        _ => None,
    }
}

fn float(given: &Json) -> Option<f64> {
    match given {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}
