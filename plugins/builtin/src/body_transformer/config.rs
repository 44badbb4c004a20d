//! Configuration of `body-transformer`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Makes another body of a request's or a response's, by a template.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{ "required": ["request"] }, { "required": ["response"] }]))]
pub struct Config {
    /// What becomes of the request's body.
    pub(crate) request: Option<Transform>,
    /// What becomes of the response's body.
    pub(crate) response: Option<Transform>,
    /// The largest request body, in bytes. A larger one gets 413.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_size: usize,
    /// The largest response body, in bytes. A larger one ends as incomplete.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_size: usize,
}

/// One direction.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(crate) struct Transform {
    /// How the body is read. Without it, the Content-Type says; a request with `GET` is always read as `args`.
    pub(crate) input_format: Option<Format>,
    /// The template, in the language of lua-resty-template. It sees the members of the body by name, the body as `_body`,
    /// variables as `_ctx.var.<name>`, and has `_escape_json` and `_escape_xml`.
    pub(crate) template: String,
    /// Whether the template is written in base64. One that can be read as base64 is taken so in any case, unless the body is
    /// read as `encoded` or `args`.
    #[serde(default)]
    pub(crate) template_is_base64: bool,
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Format {
    /// XML: elements without the prefixes of their namespaces.
    Xml,
    /// JSON.
    Json,
    /// A form, `application/x-www-form-urlencoded`.
    Encoded,
    /// The arguments of the query.
    Args,
    /// Not at all: the template has `_body`.
    Plain,
    /// A form, `multipart/form-data`.
    Multipart,
}

fn largest() -> usize {
    64 * 1024 * 1024
}
