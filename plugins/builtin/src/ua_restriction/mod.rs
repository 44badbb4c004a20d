//! `ua-restriction`: admits or refuses by the client's User-Agent.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::{expr::Pattern, prelude::*};
use http::header::USER_AGENT;

/// The plugin.
pub struct UaRestriction {
    patterns: Box<[Pattern]>,
    /// What to do with a User-Agent that a pattern is found in.
    admits_listed: bool,
    bypass_missing: bool,
    refusal: Reply,
}

#[phases]
impl Plugin for UaRestriction {
    const NAME: &'static str = "ua-restriction";
    const PRIORITY: i32 = 2999;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let (place, patterns) = match (&config.allowlist, &config.denylist) {
            (Some(patterns), None) => ("allowlist", patterns),
            (None, Some(patterns)) => ("denylist", patterns),
            (Some(_), Some(_)) => {
                return Err(cx.error("", "expected either allowlist or denylist, got both"));
            }
            (None, None) => {
                return Err(cx.error("", "expected either allowlist or denylist, got neither"));
            }
        };
        let compile = |(index, pattern): (usize, &String)| {
            Pattern::new(pattern, false)
                .map_err(|e| cx.error(format!("/{place}/{index}"), e.to_string()))
        };
        Ok(Self {
            patterns: patterns
                .iter()
                .enumerate()
                .map(compile)
                .collect::<Result<_, _>>()?,
            admits_listed: place == "allowlist",
            bypass_missing: config.bypass_missing,
            refusal: Reply::message(403, &config.message),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let mut agents = ex
            .session
            .req_header()
            .headers
            .get_all(USER_AGENT)
            .iter()
            .peekable();
        let admitted = match agents.peek() {
            None => self.bypass_missing,
            // A server behind the gateway may take any one of several.
            Some(_) => agents.all(|agent| self.admits(agent.as_bytes().trim_ascii())),
        };
        match admitted {
            true => Step::next(),
            false => Step::respond(self.refusal.clone()),
        }
    }
}

impl UaRestriction {
    /// A search that gives up never admits.
    fn admits(&self, agent: &[u8]) -> bool {
        let mut found = self.patterns.iter().map(|pattern| pattern.search(agent));
        match self.admits_listed {
            true => found.any(|found| found == Some(true)),
            false => found.all(|found| found == Some(false)),
        }
    }
}
