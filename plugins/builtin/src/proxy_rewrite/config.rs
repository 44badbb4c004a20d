//! The configuration of proxy-rewrite.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::Deserialize;

/// Changes the request that the upstream gets. At least one property is needed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Config {
    /// New path, with `$variables`; wins over `regex_uri`. The client's query string is appended.
    #[schemars(length(min = 1, max = 4096), regex(pattern = "^/.*"))]
    pub(crate) uri: Option<String>,
    /// Pairs of a regular expression and a replacement with groups (`$1`) and `$variables`. The first pair whose
    /// expression matches the path is applied.
    #[schemars(length(min = 2))]
    pub(crate) regex_uri: Option<Vec<String>>,
    /// New method.
    pub(crate) method: Option<MethodName>,
    /// New `Host`, with or without a port.
    #[schemars(regex(pattern = r"^[0-9a-zA-Z.-]+(:\d{1,5})?$"))]
    pub(crate) host: Option<String>,
    /// Edits of request headers: `add`, `set` and `remove`, or a map of headers to set. Values may have `$variables`
    /// and groups of `regex_uri`.
    pub(crate) headers: Option<Headers>,
    /// Whether to start from the request target as it came, and to send the result without encoding it and without
    /// appending the query string.
    #[serde(default)]
    pub(crate) use_real_request_uri_unsafe: bool,
}

/// Edits of headers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Headers {
    /// Each kind of edit by itself.
    Edits(EditsConfig),
    /// Headers to set.
    Set(#[schemars(extend("minProperties" = 1))] WrittenMap),
}

/// Edits of headers, made in the order add, set, remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("minProperties" = 1))]
pub(crate) struct EditsConfig {
    /// Headers to add beside those that are there.
    pub(crate) add: Option<WrittenMap>,
    /// Headers to set; an empty value removes.
    pub(crate) set: Option<WrittenMap>,
    /// Headers to remove.
    #[schemars(length(min = 1))]
    pub(crate) remove: Option<Vec<String>>,
}

/// A method.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum MethodName {
    Get,
    Post,
    Put,
    Delete,
    Head,
    Options,
    Mkcol,
    Copy,
    Move,
    Propfind,
    Lock,
    Unlock,
    Patch,
    Trace,
}

impl MethodName {
    /// As it stands on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Mkcol => "MKCOL",
            Self::Copy => "COPY",
            Self::Move => "MOVE",
            Self::Propfind => "PROPFIND",
            Self::Lock => "LOCK",
            Self::Unlock => "UNLOCK",
            Self::Patch => "PATCH",
            Self::Trace => "TRACE",
        }
    }
}
