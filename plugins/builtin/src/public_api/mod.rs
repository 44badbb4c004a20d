//! `public-api`: opens what plugins answer themselves to clients. What no plugin answers is a 404.

mod config;

#[cfg(test)]
mod tests;

use config::Config;
use crossway_sdk::{endpoint::Endpoint, prelude::*};
use std::sync::Arc;

/// See the module.
pub struct PublicApi {
    endpoints: Arc<[Endpoint]>,
    uri: Option<Box<str>>,
}

#[phases]
impl Plugin for PublicApi {
    const NAME: &'static str = "public-api";
    const PRIORITY: i32 = 501;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config
            .uri
            .as_deref()
            .is_some_and(|uri| !uri.starts_with('/'))
        {
            return Err(cx.error("/uri", "expected a path that begins with /"));
        }
        let chosen = |endpoint: &&Endpoint| match &config.uri {
            Some(uri) => endpoint.path == uri,
            None => true,
        };
        Ok(Self {
            endpoints: cx.endpoints().iter().filter(chosen).cloned().collect(),
            uri: config.uri.map(Into::into),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let head = ex.session.req_header();
        let path = self.uri.as_deref().unwrap_or(ex.request.path(head));
        let found = self
            .endpoints
            .iter()
            .find(|endpoint| endpoint.path == path && endpoint.method == head.method);
        match found {
            Some(endpoint) => endpoint.answer.answer(ex),
            None => Step::respond(Reply::status(404)),
        }
    }
}
