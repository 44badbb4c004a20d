//! The decision over a request: its route, what the plugins say before the upstream, and which upstream it is.

use super::{InFlight, admit::content_length, exchange::Stage, reply};
use crate::{
    chain::Outcome,
    matcher::{self, Query},
    snapshot::{Route, Standing, Target},
    upstream::Upstream,
};
use crossway_sdk::{
    exchange::Exchange, flow::Reply, request::MAX_BUFFERED_BODY, route::Matched, variables::View,
};
use http::header;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use std::sync::Arc;

/// A route, the patterns that led to it, and what its parameters are.
type Found = (Arc<Route>, Matched, Vec<(Box<str>, Box<str>)>);

/// Finds the route; `Err` is the answer when there is none.
async fn route(session: &mut Session, flight: &mut InFlight) -> Result<(), Reply> {
    let found = loop {
        match find(session, flight) {
            Search::Over(found) => break found,
            Search::NeedsBody => read_body(session, flight).await?,
        }
    };
    if !flight.readings.is_empty() {
        // Boxed: hardly any path comes here.
        Box::pin(all_read_alike(session, flight, found.as_ref())).await?;
    }
    let (route, matched, params) = found.ok_or_else(reply::not_found)?;
    flight.request.route = Some(route.info.clone());
    flight.request.matched = Some(matched);
    flight.request.path_params = params;
    flight.chain = Some(route.chain.clone());
    flight.route = Some(route);
    Ok(())
}

/// Refuses a path in which other servers would see one that has another route: what guards that one would be walked around.
async fn all_read_alike(
    session: &mut Session,
    flight: &mut InFlight,
    found: Option<&Found>,
) -> Result<(), Reply> {
    for path in std::mem::take(&mut flight.readings) {
        let own = flight.request.normal_path.replace(path);
        let mut other = find(session, flight);
        if matches!(other, Search::NeedsBody) {
            read_body(session, flight).await?;
            other = find(session, flight);
        }
        flight.request.normal_path = own;
        let same = match (found, other) {
            (Some((route, ..)), Search::Over(Some((other, ..)))) => Arc::ptr_eq(route, &other),
            (None, Search::Over(None)) => true,
            _ => false,
        };
        if !same {
            tracing::debug!("a request target was refused: its readings have different routes");
            return Err(Reply::status(400));
        }
    }
    Ok(())
}

/// What came of looking for a route.
enum Search {
    Over(Option<Found>),
    /// Some candidate asks for the body.
    NeedsBody,
}

fn find(session: &mut Session, flight: &InFlight) -> Search {
    let head = session.req_header();
    let view = View {
        session,
        request: &flight.request,
    };
    let query = Query {
        host: &flight.request.host,
        authority: authority(head),
        path: flight.request.path(head),
        method: &head.method,
        remote: flight.request.client.ip(),
        vars: &view,
        body_read: flight.request.body.is_some(),
    };
    match flight.snapshot.routes.find(&query) {
        matcher::Outcome::Found(found) => {
            let matched = Matched {
                path: found.path.to_shared(),
                host: found.host.map(|h| h.to_shared()),
            };
            let params = found.params(query.path);
            let params = params.iter().map(|(n, v)| ((*n).into(), (*v).into()));
            Search::Over(Some((found.value.clone(), matched, params.collect())))
        }
        matcher::Outcome::NotFound => Search::Over(None),
        matcher::Outcome::NeedsBody => Search::NeedsBody,
    }
}

async fn read_body(session: &mut Session, flight: &mut InFlight) -> Result<(), Reply> {
    let mut exchange = Exchange::new(session, &mut flight.request);
    let read = exchange.read_body(MAX_BUFFERED_BODY).await;
    read.map(drop).map_err(|error| error.reply())
}

/// Runs the phases before the upstream; `Some` is an answer.
pub(super) async fn decide(session: &mut Session, flight: &mut InFlight) -> Option<Reply> {
    let unmatched = route(session, flight).await.err();
    flight.stage = Stage::Admitted;
    let snapshot = flight.snapshot.clone();
    let standing = flight.route.as_ref().map(|r| r.standing);
    match standing {
        Some(Standing::ServiceMissing) => return Some(Reply::status(404)),
        Some(Standing::PluginConfigMissing) => return Some(Reply::status(503)),
        Some(Standing::Complete) | None => {}
    }
    let mut exchange = Exchange::new(session, &mut flight.request);
    if let Outcome::Respond(reply) = snapshot.global.rewrite(&mut exchange).await {
        return Some(reply);
    }
    if let Some(chain) = &mut flight.chain {
        if let Outcome::Respond(reply) = chain.rewrite(&mut exchange).await {
            return Some(reply);
        }
        if let (Some(identity), Some(route)) = (&exchange.request.identity, &flight.route) {
            *chain = route.chain_for(&identity.consumer, &snapshot);
            if let Outcome::Respond(reply) = chain.rewrite_in_consumer(&mut exchange).await {
                return Some(reply);
            }
        }
    }
    // Plugins may have set another limit. What is not said beforehand is counted as it comes.
    let length = content_length(exchange.session.req_header());
    if let (Some(limit), Some(length)) = (exchange.request.max_body, length)
        && length > limit
    {
        return Some(Reply::status(413));
    }
    if let Outcome::Respond(reply) = snapshot.global.access(&mut exchange).await {
        return Some(reply);
    }
    if let Some(chain) = &flight.chain
        && let Outcome::Respond(reply) = chain.access(&mut exchange).await
    {
        return Some(reply);
    }
    unmatched.or_else(|| resolve_upstream(flight).err())
}

/// Settles which upstream serves the request: a plugin's choice, else the route's.
fn resolve_upstream(flight: &mut InFlight) -> Result<(), Reply> {
    let chosen = match &flight.request.upstream_override {
        Some(handle) => handle.get::<Upstream>(),
        None => match flight.route.as_ref().map(|r| &r.target) {
            Some(Target::Upstream(upstream)) => Some(upstream.clone()),
            Some(Target::Missing) => return Err(Reply::status(502)),
            Some(Target::None) | None => None,
        },
    };
    flight.upstream = Some(chosen.ok_or_else(|| Reply::status(503))?);
    Ok(())
}

/// The host as the client wrote it, with its port.
pub(super) fn authority(head: &RequestHeader) -> &str {
    let host = head.headers.get(header::HOST).and_then(|h| h.to_str().ok());
    host.or_else(|| head.uri.authority().map(|a| a.as_str()))
        .unwrap_or_default()
}
