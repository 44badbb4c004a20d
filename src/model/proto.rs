//! Protos: descriptions of gRPC services for transcoding.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Problem, number, schema};

/// Largest content, in bytes.
const MAX_CONTENT: usize = 1024 * 1024;

/// A description of gRPC services.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proto {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Name for people.
    pub name: Option<String>,
    /// What it is for.
    pub desc: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// The text of a `.proto` file, or a FileDescriptorSet in base64; 1 byte to 1 MiB. Whether it
    /// compiles is not judged here.
    pub content: String,
}

pub(super) fn schema() -> Value {
    let own = [
        ("name", schema::name()),
        (
            "content",
            json!({
                "type": "string", "minLength": 1, "maxLength": MAX_CONTENT,
                "description": "Text of a .proto file, or a FileDescriptorSet in base64."
            }),
        ),
    ];
    schema::with(
        schema::object(
            own.into_iter()
                .chain(schema::stored())
                .chain(schema::annotations()),
        ),
        json!({"required": ["content"]}),
    )
}

/// The schema counts characters; the limit is on bytes.
pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    let bytes = document
        .get("content")
        .and_then(Value::as_str)
        .map_or(0, str::len);
    if bytes > MAX_CONTENT {
        let reason = format!("string too long, expected at most {MAX_CONTENT}, got {bytes} bytes");
        problems.push(Problem::in_property("/content", &reason));
    }
}
