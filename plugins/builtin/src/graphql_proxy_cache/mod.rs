//! `graphql-proxy-cache`: keeps the answers to GraphQL queries, and answers with them.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::{
    graphql::{self, LONGEST},
    proxy_cache::ProxyCache,
};
use crossway_sdk::{prelude::*, variables::graphql_operations};
use http::Method;

/// The plugin.
pub struct GraphqlProxyCache {
    cache: ProxyCache,
}

#[phases]
impl Plugin for GraphqlProxyCache {
    const NAME: &'static str = "graphql-proxy-cache";
    const PRIORITY: i32 = 1009;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let cache = ProxyCache::build(config.into(), cx)?;
        Ok(Self { cache })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let method = &ex.session.req_header().method;
        if *method != Method::GET && *method != Method::POST {
            return Step::respond(Reply::status(405));
        }
        Step::wait(async move {
            let invalid = |why: &str| {
                let message = format!("Invalid graphql request: {why}");
                Ok(Flow::Respond(Reply::message(400, &message)))
            };
            let document = match ex.session.req_header().method {
                Method::GET => {
                    let query = ex.request.query(ex.session.req_header());
                    match query.filter(|query| !query.is_empty()) {
                        Some(query) => graphql::of_query(query),
                        None => return invalid(ABSENT),
                    }
                }
                _ if graphql::is_in_query(ex.request.query(ex.session.req_header())) => {
                    return invalid("a POST has its query in the body");
                }
                _ => match ex.read_body(LONGEST).await {
                    Ok(body) if !body.is_empty() => {
                        graphql::of_body(&ex.session.req_header().headers, &body).ok()
                    }
                    _ => return invalid(ABSENT),
                },
            };
            let Some(document) = document else {
                return invalid("no query");
            };
            let Some(operations) = graphql_operations(&document) else {
                return invalid("failed to parse graphql query");
            };
            if operations.is_empty() {
                return invalid("empty graphql query");
            }
            // A mutation changes something, and a subscription has no end.
            if operations.iter().any(|kind| *kind != "query") {
                self.cache.say(ex, "BYPASS");
                return Ok(Flow::Next);
            }
            match self.cache.access(ex) {
                Step::Done(flow) => flow,
                Step::Wait(flow) => flow.await,
            }
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        self.cache.header_filter(ex, head)
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.cache.body_filter(ex, chunk, end)
    }
}

const ABSENT: &str = "cant't get graphql request body";
