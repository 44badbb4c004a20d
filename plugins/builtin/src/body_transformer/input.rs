//! Reads a body for a template.

use super::{config::Format, xml};
use crate::rewrite::form;
use crossway_sdk::{bytes::Bytes, variables};
use serde_json::{Map, Value};

/// What the Content-Type says.
pub(super) fn detect(content_type: &[u8]) -> Option<Format> {
    let text = String::from_utf8_lossy(content_type);
    let lower = text.to_ascii_lowercase();
    if text.contains("text/xml") {
        Some(Format::Xml)
    } else if text.contains("application/json") {
        Some(Format::Json)
    } else if lower.contains("application/x-www-form-urlencoded") {
        Some(Format::Encoded)
    } else if lower.contains("multipart/") {
        Some(Format::Multipart)
    } else {
        None
    }
}

/// The body as members with names.
///
/// # Errors
/// It is not in that format.
pub(super) fn decode(
    format: Format,
    body: &Bytes,
    query: Option<&[u8]>,
    content_type: &[u8],
) -> Result<Value, String> {
    match format {
        Format::Xml => xml::decode(body),
        Format::Json => match serde_json::from_slice(body).map_err(|e| e.to_string())? {
            table @ (Value::Object(_) | Value::Array(_)) => Ok(table),
            _ => Err("expected an object or an array".to_owned()),
        },
        Format::Encoded => Ok(Value::Object(form::members(body))),
        Format::Args => Ok(Value::Object(form::members(query.unwrap_or_default()))),
        Format::Plain => Ok(Value::Object(Map::new())),
        Format::Multipart => {
            let fields = variables::multipart_fields(content_type, body)
                .ok_or("it is not multipart/form-data")?;
            let mut members = Map::new();
            for (name, value) in fields {
                let name = String::from_utf8_lossy(&name).into_owned();
                form::add(
                    &mut members,
                    name,
                    Value::String(String::from_utf8_lossy(&value).into_owned()),
                );
            }
            Ok(Value::Object(members))
        }
    }
}
