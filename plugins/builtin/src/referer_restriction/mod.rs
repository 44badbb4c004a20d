//! `referer-restriction`: admits or refuses by the host in the Referer.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::prelude::*;
use http::header::REFERER;
use std::collections::HashSet;

/// The plugin.
pub struct RefererRestriction {
    hosts: Hosts,
    /// What to do with a host that is among them.
    admits_listed: bool,
    bypass_missing: bool,
    refusal: Reply,
}

/// Host patterns, in lower case.
struct Hosts {
    exact: HashSet<Box<[u8]>>,
    suffixes: Box<[Box<[u8]>]>,
}

#[phases]
impl Plugin for RefererRestriction {
    const NAME: &'static str = "referer-restriction";
    const PRIORITY: i32 = 2990;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let (hosts, admits_listed) = match (config.whitelist, config.blacklist) {
            (Some(hosts), None) => (hosts, true),
            (None, Some(hosts)) => (hosts, false),
            (Some(_), Some(_)) => {
                return Err(cx.error("", "expected either whitelist or blacklist, got both"));
            }
            (None, None) => {
                return Err(cx.error("", "expected either whitelist or blacklist, got neither"));
            }
        };
        Ok(Self {
            hosts: Hosts::new(&hosts),
            admits_listed,
            bypass_missing: config.bypass_missing,
            refusal: Reply::message(403, &config.message),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let referers = ex.session.req_header().headers.get_all(REFERER);
        let mut referers = referers.iter().peekable();
        let admitted = match referers.peek() {
            None => self.bypass_missing,
            Some(_) => referers.all(|referer| match host(referer.as_bytes()) {
                None => self.bypass_missing,
                Some(host) => self.hosts.hold(host) == self.admits_listed,
            }),
        };
        match admitted {
            true => Step::next(),
            false => Step::respond(self.refusal.clone()),
        }
    }
}

impl Hosts {
    fn new(patterns: &[String]) -> Self {
        let lower = |text: &str| text.to_ascii_lowercase().into_bytes().into_boxed_slice();
        Self {
            exact: patterns
                .iter()
                .filter(|p| !p.starts_with('*'))
                .map(|p| lower(p))
                .collect(),
            suffixes: patterns
                .iter()
                .filter_map(|p| p.strip_prefix('*'))
                .map(lower)
                .collect(),
        }
    }

    fn hold(&self, host: &[u8]) -> bool {
        let host = host.to_ascii_lowercase();
        self.exact.contains(host.as_slice())
            || self.suffixes.iter().any(|suffix| host.ends_with(suffix))
    }
}

/// The host of an absolute http or https URI. One with user information is none that a browser would send.
fn host(uri: &[u8]) -> Option<&[u8]> {
    let rest = [&b"http://"[..], b"https://"].iter().find_map(|scheme| {
        let (start, rest) = uri.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\'));
    let authority = rest.get(..end.unwrap_or(rest.len()))?;
    if authority.contains(&b'@') {
        return None;
    }
    let end = match authority.first()? {
        b'[' => authority.iter().position(|b| *b == b']')? + 1,
        _ => authority
            .iter()
            .position(|b| *b == b':')
            .unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end)?;
    let port_is_right = match port.strip_prefix(b":") {
        None => port.is_empty(),
        Some(digits) => digits.iter().all(u8::is_ascii_digit),
    };
    (port_is_right && !host.is_empty()).then_some(host)
}
