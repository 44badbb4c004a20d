//! Configuration of `error-page`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Replaces the pages of errors that the gateway answers itself. The metadata says which and by what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The pages.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("additionalProperties" = false, "patternProperties" = {"^error_[45][0-9][0-9]$": {
    "type": "object", "additionalProperties": false,
    "properties": {"body": {"type": "string"}, "content_type": {"type": "string"}}}}))]
pub(crate) struct Metadata {
    /// Whether pages are replaced at all.
    pub(crate) enable: bool,
    /// The page of status 404. There may be one of any status from 400 to 599.
    pub(crate) error_404: Option<Page>,
    /// The page of status 500.
    pub(crate) error_500: Option<Page>,
    /// The page of status 502.
    pub(crate) error_502: Option<Page>,
    /// The page of status 503.
    pub(crate) error_503: Option<Page>,
    #[serde(flatten)]
    #[schemars(skip)]
    pub(crate) others: BTreeMap<String, Page>,
}

/// A page.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Its text, with `$variables`, which are escaped as the content type asks for. Without it, a short HTML page; when it is
    /// empty, the status keeps its page.
    pub(crate) body: Option<String>,
    /// Its Content-Type.
    #[serde(default = "html")]
    pub(crate) content_type: String,
}

fn html() -> String {
    "text/html".to_owned()
}
