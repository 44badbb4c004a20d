//! What `Cache-Control` and its kin say.

use http::{HeaderMap, HeaderName, header};
use jiff::Timestamp;

/// The directives of `Cache-Control` that matter here.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) no_store: bool,
    pub(crate) no_cache: bool,
    pub(crate) private: bool,
    pub(crate) public: bool,
    pub(crate) must_revalidate: bool,
    pub(crate) only_if_cached: bool,
    /// All in seconds.
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) min_fresh: Option<u64>,
}

impl Directives {
    /// Of all `Cache-Control` fields. A number that cannot be read is 0: what is unclear is not fresh (RFC 9111 §4.2.1).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            let text = String::from_utf8_lossy(value.as_bytes());
            for directive in text.split(',') {
                let (name, argument) = match directive.split_once('=') {
                    Some((name, argument)) => (name.trim(), argument.trim().trim_matches('"')),
                    None => (directive.trim(), ""),
                };
                let number = || Some(argument.parse().unwrap_or(0));
                match name.to_ascii_lowercase().as_str() {
                    "no-store" => found.no_store = true,
                    // Also with the names of headers: the whole is not used then, which is always allowed.
                    "no-cache" => found.no_cache = true,
                    "private" => found.private = true,
                    "public" => found.public = true,
                    "must-revalidate" => found.must_revalidate = true,
                    "only-if-cached" => found.only_if_cached = true,
                    "max-age" => found.max_age = number(),
                    "s-maxage" => found.s_maxage = number(),
                    "min-fresh" => found.min_fresh = number(),
                    _ => {}
                }
            }
        }
        found
    }
}

/// For how many seconds the upstream says that its response is fresh; `None` when it does not say.
pub(crate) fn lifetime(headers: &HeaderMap, said: Directives, now: i64) -> Option<u64> {
    said.s_maxage.or(said.max_age).or_else(|| {
        // Of several the last one; one that cannot be read has passed (RFC 9111 §5.3).
        let expires = headers.get_all(header::EXPIRES).iter().next_back()?;
        let until = expires.to_str().ok().and_then(date).unwrap_or(0);
        Some(u64::try_from(until.saturating_sub(now)).unwrap_or(0))
    })
}

/// The names in `Vary`, sorted, each once; `None` for `*`.
pub(crate) fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for value in headers.get_all(header::VARY) {
        for name in value.as_bytes().split(|byte| *byte == b',') {
            match name.trim_ascii() {
                b"" => {}
                b"*" => return None,
                // What is no name of a header is a mistake of the upstream's; it is not clear what it means.
                name => names.push(HeaderName::from_bytes(name).ok()?),
            }
        }
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Some(names)
}

/// Seconds since 1970 of a date in a header.
pub(crate) fn date(text: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(parsed.timestamp().as_second())
}

/// Seconds since 1970 as a date in a header (RFC 9110 §5.6.7).
#[cfg(test)]
pub(crate) fn date_of(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::UTC);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    Timestamp::now().as_second()
}
