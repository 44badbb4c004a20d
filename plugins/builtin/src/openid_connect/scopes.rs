//! Scopes that must have been granted.

use super::{
    sessions::Stored,
    token::{includes, verified_before},
};
use crossway_sdk::flow::Reply;
use serde_json::{Value, json};

/// The scopes that are needed.
#[derive(Clone)]
pub(super) struct Scopes(Vec<String>);

impl Scopes {
    pub(super) fn new(required: &[String]) -> Self {
        Self(required.to_vec())
    }

    /// The answer when claims do not have all of them.
    pub(super) fn refusal(&self, claims: &Value) -> Option<Reply> {
        let granted = claims.get("scope");
        let has = |wanted: &String| match granted {
            Some(Value::String(all)) => all.split_ascii_whitespace().any(|one| one == wanted),
            Some(all) => includes(all, wanted),
            None => false,
        };
        if self.0.iter().all(has) {
            return None;
        }
        let error = format!("required scopes {} not present", self.0.join(", "));
        let body = json!({ "error": error }).to_string();
        Some(Reply::bytes(403, body))
    }

    /// As [`Scopes::refusal`], for a session: its access token says what was granted, or else its ID token. Both came from the
    /// provider itself.
    pub(super) fn refusal_of(&self, session: &Stored, id_token: &Value) -> Option<Reply> {
        if self.0.is_empty() {
            return None;
        }
        let access_token = verified_before(&session.tokens.access_token).map(Value::Object);
        match access_token.filter(|claims| claims.get("scope").is_some()) {
            Some(claims) => self.refusal(&claims),
            None => self.refusal(id_token),
        }
    }
}
