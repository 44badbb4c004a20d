//! `graphql-limit-count`: a number of requests in a window of time, of which each counts as much as its GraphQL document is deep.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::{
    graphql::{self, LONGEST},
    limit_count::LimitCount,
};
use crossway_sdk::{prelude::*, variables::graphql_depth};
use http::Method;

/// The plugin.
pub struct GraphqlLimitCount {
    limit: LimitCount,
}

#[phases]
impl Plugin for GraphqlLimitCount {
    const NAME: &'static str = "graphql-limit-count";
    const PRIORITY: i32 = 1004;
    const ENCRYPTED: &'static [&'static str] = LimitCount::ENCRYPTED;
    type Config = Config;

    fn build(Config(config): Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let limit = LimitCount::build(config, cx)?;
        Ok(Self { limit })
    }

    fn metadata_schema() -> Option<Value> {
        LimitCount::metadata_schema()
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if ex.session.req_header().method != Method::POST {
            return Step::respond(Reply::status(405));
        }
        Step::wait(async move {
            let invalid = |why: &str| Ok(Flow::Respond(Reply::message(400, why)));
            if graphql::is_in_query(ex.request.query(ex.session.req_header())) {
                return invalid("Invalid graphql request: a POST has its query in the body");
            }
            let body = match ex.read_body(LONGEST).await {
                Ok(body) if !body.is_empty() => body,
                _ => return invalid("Invalid graphql request: can't get graphql request body"),
            };
            let document = match graphql::of_body(&ex.session.req_header().headers, &body) {
                Ok(document) => document,
                Err(why) => return invalid(&why),
            };
            match graphql_depth(&document) {
                Ok(depth) => self.limit.count(ex, depth as u64).await,
                Err(why) => invalid(&format!("Invalid graphql request: {why}")),
            }
        })
    }
}
