//! `multi-auth`: tries authenticators in order; the first one that lets the request in names the consumer.
//!
//! An authenticator that refuses leaves no trace: what it hid from the upstream is there again for the next one.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::{consumer::Identity, plugin::Scopes, prelude::*, request::Rewritten};
use http::header::{EXPECT, WWW_AUTHENTICATE};

/// The plugin.
pub struct MultiAuth {
    plugins: Vec<Nested>,
}

#[phases]
impl Plugin for MultiAuth {
    const NAME: &'static str = "multi-auth";
    const PRIORITY: i32 = 2600;
    const SCOPES: Scopes = Scopes::HTTP.difference(Scopes::CONSUMER);
    const NESTED: &'static [&'static str] = &["auth_plugins"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let mut plugins = Vec::with_capacity(config.auth_plugins.len());
        for (i, member) in config.auth_plugins.iter().enumerate() {
            if member.len() != 1 {
                let message = "expected one plugin in each object: their order would not be known";
                return Err(cx.error(format!("/auth_plugins/{i}"), message));
            }
            for (name, config) in member {
                let path = format!("/auth_plugins/{i}/{name}");
                let Some(definition) = cx.definition(name) else {
                    return Err(cx.error(path, format!("{name} plugin did not found")));
                };
                if !definition.is_auth() {
                    return Err(cx.error(path, format!("{name} plugin is not supported")));
                }
                plugins.push(cx.nested(&path, name, config)?);
            }
        }
        Ok(Self { plugins })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            let mut challenges = Vec::new();
            for plugin in &self.plugins {
                let before = Before::of(ex);
                let Flow::Respond(refusal) = plugin.rewrite(ex).await? else {
                    return Ok(Flow::Next);
                };
                let status = refusal.status.as_u16();
                tracing::debug!(plugin = plugin.name(), status, "not let in by it");
                before.restore(ex);
                let said = refusal.headers.into_iter();
                challenges.extend(said.filter(|(name, _)| name == WWW_AUTHENTICATE));
            }
            let mut refusal = Reply::message(401, "Authorization Failed");
            refusal.headers = challenges;
            Ok(Flow::Respond(refusal))
        })
    }
}

/// What an authenticator may change of a request.
struct Before {
    head: RequestHeader,
    query: Option<Bytes>,
    rewritten: Rewritten,
    identity: Option<Identity>,
    response_headers: usize,
}

impl Before {
    fn of(ex: &Exchange<'_>) -> Self {
        Self {
            head: ex.session.req_header().clone(),
            query: ex.request.query.clone(),
            rewritten: ex.request.rewritten.clone(),
            identity: ex.request.identity.clone(),
            response_headers: ex.request.response_headers.len(),
        }
    }

    fn restore(self, ex: &mut Exchange<'_>) {
        let head = ex.session.req_header_mut();
        *head = self.head;
        if ex.request.body.is_some() {
            // Whoever read the body has told the client to send it.
            head.remove_header(&EXPECT);
        }
        ex.request.query = self.query;
        ex.request.rewritten = self.rewritten;
        ex.request.response_headers.truncate(self.response_headers);
        ex.request.identity = self.identity;
    }
}
