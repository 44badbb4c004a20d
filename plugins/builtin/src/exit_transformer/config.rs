//! Configuration of `exit-transformer`.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Changes answers that the gateway gives itself: those of plugins, and its errors. What an upstream answers stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that an answer matches changes it.
    #[schemars(length(min = 1))]
    pub(crate) rules: Option<Vec<Rule>>,
    /// Refused: Lua source, which is not run. `rules` say the same without Lua.
    pub(crate) functions: Option<Value>,
}

/// What becomes of some answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The statuses that the rule is for: `404`, `"4xx"`, `"500-504"`. Without it, all from 400 on.
    #[schemars(length(min = 1))]
    pub(crate) status_in: Option<Vec<Statuses>>,
    /// Conditions as on a route, which also have to hold; `status` is that of the answer as it came.
    #[schemars(extend("type" = ["array", "null"]))]
    pub(crate) vars: Option<Value>,
    /// The new status. The gateway's own page is then that of the new status.
    #[schemars(range(min = 200, max = 599))]
    pub(crate) status: Option<u16>,
    /// Headers to set, with `$variables`.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) headers: Option<WrittenMap>,
    /// Headers to take away.
    #[schemars(length(min = 1))]
    pub(crate) remove_headers: Option<Vec<String>>,
    /// The new body: a text, or an object or a list that is sent as JSON. `$variables` are filled in; in JSON, `"$status"` is the
    /// status as it came, and `"$message"` what the answer's own `message` or `error_msg` says, else the words of its status.
    #[schemars(extend("type" = ["string", "object", "array", "null"]))]
    pub(crate) body: Option<Value>,
    /// Content-Type of the new body. Without it, `text/plain; charset=utf-8` or `application/json`.
    pub(crate) content_type: Option<String>,
}

/// One status or several.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Statuses {
    /// One.
    One(#[schemars(range(min = 200, max = 599))] u16),
    /// A hundred, or from one to another.
    Several(#[schemars(regex(pattern = "^([2-5]xx|[2-5][0-9][0-9]-[2-5][0-9][0-9])$"))] String),
}

impl Statuses {
    /// The first and the last of them; `None` when the text says neither.
    pub(crate) fn bounds(&self) -> Option<(u16, u16)> {
        match self {
            Self::One(status) => Some((*status, *status)),
            Self::Several(text) => match text.split_once('-') {
                Some((first, last)) => {
                    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                    (first <= last).then_some((first, last))
                }
                None => {
                    let hundred = text
                        .strip_suffix("xx")?
                        .parse::<u16>()
                        .ok()?
                        .checked_mul(100)?;
                    Some((hundred, hundred + 99))
                }
            },
        }
    }
}
