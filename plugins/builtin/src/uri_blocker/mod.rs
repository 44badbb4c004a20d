//! `uri-blocker`: refuses requests by their path and query. It looks at the one spelling that routes are matched by.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::{expr::Pattern, prelude::*};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The plugin.
pub struct UriBlocker {
    rules: Box<[Pattern]>,
    refusal: Reply,
}

#[phases]
impl Plugin for UriBlocker {
    const NAME: &'static str = "uri-blocker";
    const PRIORITY: i32 = 2900;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let compile = |(index, rule): (usize, &String)| {
            Pattern::new(rule, config.case_insensitive)
                .map_err(|e| cx.error(format!("/block_rules/{index}"), e.to_string()))
        };
        let rules = config.block_rules.iter().enumerate().map(compile);
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            refusal: match &config.rejected_msg {
                Some(message) => Reply::error_msg(config.rejected_code, message),
                None => Reply::status(config.rejected_code),
            },
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match self.blocks(ex) {
            true => Step::respond(self.refusal.clone()),
            false => Step::next(),
        }
    }
}

impl UriBlocker {
    fn blocks(&self, ex: &Exchange<'_>) -> bool {
        let head = ex.session.req_header();
        let path = ex.request.path(head).as_bytes();
        let Some(query) = ex.request.query(head).filter(|query| !query.is_empty()) else {
            return self.is_found(path);
        };
        if self.is_found(&[path, query].join(&b'?')) {
            return true;
        }
        match decoded(query) {
            Cow::Owned(query) => self.is_found(&[path, &query].join(&b'?')),
            Cow::Borrowed(_) => false,
        }
    }

    /// A search that gives up blocks.
    fn is_found(&self, uri: &[u8]) -> bool {
        self.rules
            .iter()
            .any(|rule| rule.search(uri) != Some(false))
    }
}

/// The query as servers read it, so that `%61` and `+` hide nothing.
fn decoded(query: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', query).is_none() {
        return Cow::Borrowed(query);
    }
    let spaced: Vec<u8> = query
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}
