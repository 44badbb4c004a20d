//! The matcher's rules written the plain way, one after the other over all routes: what the fast one is compared with.
//!
//! Tests and the fuzz target include this file; it uses what its parent module imports and nothing else of the matcher.

use regex::Regex;

use super::{Mode, Query, Spec};

/// What the routes are compared by, better first.
type Rank<'r> = (usize, bool, usize, i64, usize, std::cmp::Reverse<&'r str>);

/// A route's key, its path and its host.
pub(crate) type Found<'r> = (&'r str, &'r str, Option<&'r str>);

/// The route that takes the request.
pub(crate) fn find<'r, T>(
    mode: Mode,
    specs: &'r [Spec<T>],
    query: &Query<'_>,
) -> Option<Found<'r>> {
    let host_first = matches!(mode, Mode::HostThenPath | Mode::HostThenPathWithParameters);
    let parameters = matches!(
        mode,
        Mode::PathWithParameters | Mode::HostThenPathWithParameters
    );
    let mut best: Option<(Rank<'r>, Found<'r>)> = None;
    for spec in specs {
        let fits = spec.methods.allows(query.method)
            && spec
                .remote
                .as_ref()
                .is_none_or(|networks| networks.contains(query.remote))
            && spec
                .vars
                .as_ref()
                .is_none_or(|vars| vars.matches(query.vars));
        if !fits {
            continue;
        }
        let mut hosts: Vec<(usize, Option<&str>)> = spec
            .hosts
            .iter()
            .map(|host| host.as_str())
            .filter(|host| host_matches(host, host_first, query))
            .map(|host| (if host_first { host_rank(host) } else { 0 }, Some(host)))
            .collect();
        if spec.hosts.is_empty() {
            hosts.push((0, None));
        }
        // The first host of a route counts when hosts are a condition only.
        if !host_first {
            hosts.truncate(1);
        }
        for (host_rank, host) in hosts {
            for path in spec.paths.iter().map(|path| path.as_str()) {
                let Some((exact, literal)) = path_matches(path, parameters, query.path) else {
                    continue;
                };
                let rank = (
                    host_rank,
                    exact,
                    literal,
                    spec.priority,
                    path.len(),
                    std::cmp::Reverse(&*spec.key),
                );
                if best.as_ref().is_none_or(|(other, _)| rank > *other) {
                    best = Some((rank, (&spec.key, path, host)));
                }
            }
        }
    }
    best.map(|(_, found)| found)
}

/// No host, then wildcards by length, then whole names.
fn host_rank(host: &str) -> usize {
    match host.strip_prefix('*') {
        Some(suffix) => 1 + suffix.len(),
        None => usize::MAX,
    }
}

fn host_matches(pattern: &str, host_first: bool, query: &Query<'_>) -> bool {
    let with_port = !host_first && pattern.contains(':');
    let authority = query.authority.to_ascii_lowercase();
    let asked = if with_port {
        authority.as_str()
    } else {
        query.host
    };
    let matches = |asked: &str| match pattern.strip_prefix('*') {
        Some(suffix) => asked.ends_with(suffix),
        None => asked == pattern,
    };
    matches(asked) || (pattern.starts_with('[') && matches(query.host))
}

/// Whether the pattern is exact, and the length of its literal part.
fn path_matches(pattern: &str, parameters: bool, path: &str) -> Option<(bool, usize)> {
    let mut regex = String::from(r"(?s-u)\A");
    let mut special = None;
    let mut at = 0;
    for (index, segment) in pattern.split('/').enumerate() {
        if index > 0 {
            regex.push('/');
            at += 1;
        }
        let start = segment.find('*').map(|star| at + star);
        if segment.starts_with('*') {
            regex.push_str(".*");
            special = special.or(start);
        } else if parameters && segment.starts_with(':') {
            regex.push_str("[^/]+");
            special = special.or(Some(at));
        } else {
            let parts: Vec<_> = segment.split('*').map(regex::escape).collect();
            regex.push_str(&parts.join(".*"));
            special = special.or(start);
        }
        at += segment.len();
    }
    regex.push_str(r"\z");
    let regex = regex::bytes::Regex::new(&regex).ok()?;
    regex
        .is_match(path.as_bytes())
        .then_some((special.is_none(), special.unwrap_or(pattern.len())))
}

/// What a regular expression makes of a pattern's names: greedy, from the left.
pub(crate) fn params(pattern: &str, parameters: bool, path: &str) -> Vec<(String, String)> {
    let mut regex = String::from(r"(?s)\A");
    let mut names = Vec::new();
    for (index, segment) in pattern.split('/').enumerate() {
        if index > 0 {
            regex.push('/');
        }
        if let Some(name) = segment.strip_prefix('*') {
            names.push(if name.is_empty() { ":ext" } else { name });
            regex.push_str("(.*)");
        } else if let Some(name) = segment.strip_prefix(':').filter(|_| parameters) {
            names.push(name);
            regex.push_str("([^/]+)");
        } else {
            let parts: Vec<_> = segment.split('*').map(regex::escape).collect();
            regex.push_str(&parts.join(".*"));
        }
    }
    regex.push_str(r"\z");
    let captures = Regex::new(&regex)
        .ok()
        .and_then(|regex| regex.captures(path));
    let Some(captures) = captures else {
        return Vec::new();
    };
    let own =
        |(name, value): (&str, regex::Match<'_>)| (name.to_owned(), value.as_str().to_owned());
    names
        .into_iter()
        .zip(captures.iter().skip(1).flatten())
        .map(own)
        .collect()
}
