//! Configuration of `echo`.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Puts text around the body of a response, or in its place. At least one of `before_body`, `body` and `after_body` must be
/// there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What comes before the body.
    pub before_body: Option<String>,
    /// What takes the place of the body.
    pub body: Option<String>,
    /// What comes after the body.
    pub after_body: Option<String>,
    /// Headers that are set on the response, as they are written here.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) headers: Option<WrittenMap>,
}
