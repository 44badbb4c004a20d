//! Settings of paths that servers read in more than one way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Paths that servers read in more than one way; [`Settings::paths`](super::Settings::paths) says why they matter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// `%2F`: some servers take it for a separator, some for a part of a name. See `router.match_uri_encoded_slash` for how the
    /// gateway takes it.
    #[schemars(extend("x-applies" = "live"))]
    pub encoded_slash: PathPolicy,
    /// `;` and `%3B`: Java servlet containers drop what follows it in a segment (`/admin;a=b/x`). Applications also use it as a
    /// letter like others (`/route/13.3,52.5;13.4,52.6`). See `router.normalize_uri_like_servlet` for a gateway that drops it
    /// too.
    #[schemars(extend("x-applies" = "live"))]
    pub parameters: PathPolicy,
    /// Characters that are encoded twice: some servers decode twice (`/%2561dmin`). A percent sign that is encoded and stands
    /// for itself (`/100%25`) is not meant.
    #[schemars(extend("x-applies" = "live"))]
    pub double_encoding: PathPolicy,
    /// `%5C`: servers on Windows take it for a separator.
    #[schemars(extend("x-applies" = "live"))]
    pub backslash: PathPolicy,
    /// `//`.
    #[schemars(extend("x-applies" = "live"))]
    pub double_slash: DoubleSlash,
    /// `.` and `..` as segments, raw or encoded.
    #[schemars(extend("x-applies" = "live"))]
    pub dot_segments: DotSegments,
    /// The path that upstreams get, unless a plugin rewrites it.
    #[schemars(extend("x-applies" = "live"))]
    pub forward: ForwardedPath,
}

/// What becomes of a path that servers read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathPolicy {
    /// 400.
    Refuse,
    /// 400 unless all readings find the same route.
    #[default]
    SameRoute,
    /// It passes.
    Pass,
}

/// What becomes of `//`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DoubleSlash {
    /// One slash for routes and plugins, as in nginx.
    #[default]
    Merge,
    /// Two slashes for routes and plugins, too.
    Pass,
    /// 400.
    Refuse,
}

/// What becomes of dot segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DotSegments {
    /// They are resolved for routes and plugins (RFC 3986 §5.2.4).
    #[default]
    Resolve,
    /// 400.
    Refuse,
}

/// The path that upstreams get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedPath {
    /// The client's bytes, as in APISIX.
    #[default]
    AsWritten,
    /// The path that routes and plugins saw, encoded anew.
    Normalised,
}
