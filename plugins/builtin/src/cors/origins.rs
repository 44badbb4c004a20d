//! Which origins are allowed. An origin is compared as the browser writes it: scheme, host and port, no path.

use crossway_sdk::expr::{BadPattern, Pattern};
use http::HeaderValue;
use std::collections::HashSet;

/// A list of origins as it is configured.
pub(super) enum Origins {
    /// `*`: the answer is `*`, whoever asks.
    All,
    /// `**`: the answer is the origin that asks, or `*` when none does.
    Echo,
    /// One or several origins; the answer is the origin that asks.
    Listed(HashSet<Box<str>>),
    /// Origins in which one of these expressions is found.
    Matching(Vec<Pattern>),
}

/// The value of `Access-Control-Allow-Origin` or `Timing-Allow-Origin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowed<'o> {
    /// `*`.
    All,
    /// This origin.
    Origin(&'o HeaderValue),
}

impl Origins {
    /// Reads `*`, `**` or a list with commas.
    pub(super) fn parse(written: &str) -> Self {
        match written {
            "*" => Self::All,
            "**" => Self::Echo,
            _ => Self::Listed(written.split(',').map(Box::from).collect()),
        }
    }

    /// Compiles expressions.
    ///
    /// # Errors
    /// The position of the one that is not valid, and why.
    pub(super) fn matching(patterns: &[String]) -> Result<Self, (usize, BadPattern)> {
        let compiled = patterns
            .iter()
            .enumerate()
            .map(|(at, pattern)| Pattern::new(pattern, false).map_err(|error| (at, error)));
        compiled.collect::<Result<_, _>>().map(Self::Matching)
    }

    /// What is answered to this origin; `None` when it is not allowed.
    pub(super) fn allow<'o>(&self, origin: Option<&'o HeaderValue>) -> Option<Allowed<'o>> {
        match (self, origin) {
            (Self::All, _) | (Self::Echo, None) => Some(Allowed::All),
            (Self::Echo, Some(origin)) => Some(Allowed::Origin(origin)),
            (Self::Listed(_) | Self::Matching(_), None) => None,
            (Self::Listed(listed), Some(origin)) => {
                let text = origin.to_str().ok()?;
                listed.contains(text).then_some(Allowed::Origin(origin))
            }
            (Self::Matching(patterns), Some(origin)) => {
                // A search that gave up has not allowed anything.
                let found = |p: &Pattern| p.search(origin.as_bytes()) == Some(true);
                patterns
                    .iter()
                    .any(found)
                    .then_some(Allowed::Origin(origin))
            }
        }
    }
}

impl Allowed<'_> {
    pub(super) fn value(self) -> HeaderValue {
        match self {
            Self::All => HeaderValue::from_static("*"),
            Self::Origin(origin) => origin.clone(),
        }
    }
}
