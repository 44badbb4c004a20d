//! What limit plugins say of themselves (`$rate_limiting_info`).

use serde_json::Value;
use smallvec::SmallVec;
use std::{borrow::Cow, sync::Arc};

/// The last limit that judged a request. The numbers are kept, and become text when the variable is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimitingInfo {
    /// The place of use, or the group, that the counter belongs to.
    pub owner: Arc<str>,
    /// What the request was counted by.
    pub key: SmallVec<[u8; 48]>,
    /// Requests that pass in a window.
    pub limit: u64,
    /// How many more would pass now.
    pub remaining: u64,
    /// Seconds until there is more.
    pub reset: u64,
}

impl RateLimitingInfo {
    /// A JSON object, as APISIX writes it.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.owner.len() + self.key.len() + 130);
        json.push_str("{\"rate_limiting_key\":\"");
        json.push_str(&escaped(self.owner.as_bytes()));
        json.push(':');
        json.push_str(&escaped(&self.key));
        for (name, number) in [
            ("\",\"rate_limiting_limit\":", self.limit),
            (",\"rate_limiting_remaining\":", self.remaining),
            (",\"rate_limiting_reset\":", self.reset),
        ] {
            json.push_str(name);
            json.push_str(itoa::Buffer::new().format(number));
        }
        json.push('}');
        json
    }
}

/// Text inside a JSON string.
fn escaped(text: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(text);
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        return text;
    }
    let quoted = Value::from(text.as_ref()).to_string();
    let inside = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    inside.unwrap_or_default().to_owned().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_json_whatever_the_key() {
        let info = RateLimitingInfo {
            owner: "routes/\"1".into(),
            key: SmallVec::from_slice(b"\",\n\\\xff"),
            limit: 3,
            remaining: 2,
            reset: 60,
        };
        let read: Value = serde_json::from_str(&info.to_json()).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"rate_limiting_key": "routes/\"1:\",\n\\\u{fffd}", "rate_limiting_limit": 3,
                "rate_limiting_remaining": 2, "rate_limiting_reset": 60})
        );
    }
}
