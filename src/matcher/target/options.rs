//! How paths are normalised, and what becomes of spellings that servers read in more than one way.

/// How paths are normalised. The default is APISIX's, with [`Policy::SameRoute`] for what is in doubt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `match_uri_encoded_slash`: an encoded slash stays `%2F` and separates nothing. So that it cannot be confused
    /// with the text `%2F`, an encoded `%` stays `%25` too.
    pub keep_encoded_slash: bool,
    /// `delete_uri_tail_slash`: one `/` at the end is cut off; `/` becomes the empty path.
    pub delete_tail_slash: bool,
    /// `normalize_uri_like_servlet`: `;parameters` are cut off each segment; a segment that has nothing before them is
    /// refused.
    pub like_servlet: bool,
    /// `%2F`: a separator for some servers, part of a name for others.
    pub encoded_slash: Policy,
    /// `;`, raw or encoded: servlet containers drop what follows it in a segment. With [`like_servlet`](Self::like_servlet)
    /// they are dropped here too, and nothing is in doubt.
    pub parameters: Policy,
    /// What is still encoded once it is decoded (`%2561`): some servers decode again.
    pub double_encoding: Policy,
    /// `%5C`: a separator for servers on Windows.
    pub backslash: Policy,
    /// `//`.
    pub double_slash: DoubleSlash,
    /// `.` and `..`, raw or encoded.
    pub dot_segments: DotSegments,
}

impl Options {
    /// These, with nothing that is refused or in doubt.
    #[must_use]
    pub fn without_policies(self) -> Self {
        Self {
            encoded_slash: Policy::Pass,
            parameters: Policy::Pass,
            double_encoding: Policy::Pass,
            backslash: Policy::Pass,
            ..self
        }
    }
}

/// What becomes of a path that servers read in more than one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// It is refused.
    Refuse,
    /// It is refused unless all readings find the same route.
    #[default]
    SameRoute,
    /// It counts as this gateway reads it.
    Pass,
}

/// What becomes of `//`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DoubleSlash {
    /// It is one slash, as in nginx.
    #[default]
    Merge,
    /// It stays: an empty segment is a segment.
    Pass,
    /// It is refused.
    Refuse,
}

/// What becomes of `.` and `..`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DotSegments {
    /// They are resolved (RFC 3986 §5.2.4).
    #[default]
    Resolve,
    /// They are refused.
    Refuse,
}
