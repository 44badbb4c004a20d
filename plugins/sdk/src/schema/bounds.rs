//! Bounds of integers that a schema tells by their `format` alone, as schemars writes the integers of Rust.

use serde_json::{Map, Value, json};

/// Adds the bounds that are missing, so that a number that does not fit is refused in the words of the schema.
pub(super) fn add(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(add),
        Value::Object(members) => {
            if let Some((least, most)) = range(members) {
                members.entry("minimum").or_insert(least);
                members.entry("maximum").or_insert(most);
            }
            members.values_mut().for_each(add);
        }
        _ => {}
    }
}

fn range(schema: &Map<String, Value>) -> Option<(Value, Value)> {
    let range = match schema.get("format")?.as_str()? {
        "uint8" => (json!(0), json!(u8::MAX)),
        "uint16" => (json!(0), json!(u16::MAX)),
        "uint32" => (json!(0), json!(u32::MAX)),
        "uint64" | "uint" => (json!(0), json!(u64::MAX)),
        "int8" => (json!(i8::MIN), json!(i8::MAX)),
        "int16" => (json!(i16::MIN), json!(i16::MAX)),
        "int32" => (json!(i32::MIN), json!(i32::MAX)),
        "int64" | "int" => (json!(i64::MIN), json!(i64::MAX)),
        _ => return None,
    };
    Some(range)
}
