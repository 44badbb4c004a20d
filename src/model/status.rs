//! Whether a resource is served.

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Value, json};

use super::number;

/// Whether a resource is served: 1 or 0 in documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// 0: kept, but not served.
    Disabled,
    /// 1: served.
    #[default]
    Enabled,
}

impl<'de> Deserialize<'de> for Status {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match number::required::<D, i64>(deserializer)? {
            0 => Ok(Status::Disabled),
            1 => Ok(Status::Enabled),
            other => Err(D::Error::custom(format_args!(
                "expected 0 or 1, got {other}"
            ))),
        }
    }
}

pub(super) fn schema() -> Value {
    json!({
        "type": "integer", "enum": [1, 0], "default": 1,
        "description": "1 to serve it, 0 to keep it without serving it."
    })
}
