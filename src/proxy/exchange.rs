//! The state of one request on its way through Pingora's callbacks.

use super::stand_in::Home;
use crate::{
    chain::Chain,
    snapshot::{RequestRules, Route, Snapshot},
    upstream::{Picked, Tried, Upstream},
};
use crossway_sdk::{
    exchange::Exchange,
    request::{Request, Response, ResponseSource},
};
use pingora_proxy::Session;
use std::{sync::Arc, time::Instant};

/// A request in flight.
pub struct InFlight {
    /// What plugins see of it.
    pub request: Request,
    /// The one configuration that serves it.
    pub snapshot: Arc<Snapshot>,
    /// The route, once one matched.
    pub route: Option<Arc<Route>>,
    /// Plugins of the route, from authentication on with those of the consumer.
    pub chain: Option<Arc<Chain>>,
    /// The upstream, once it is known.
    pub upstream: Option<Arc<Upstream>>,
    /// The node in use; dropped, it counts as no longer in flight.
    pub picked: Option<Picked>,
    /// Nodes that failed for this request.
    pub tried: Tried,
    /// Hash that consistent balancers pick by.
    pub hash_key: Option<u64>,
    /// When the first node was picked; `retry_timeout` counts from here.
    pub first_pick: Option<Instant>,
    /// Where the client's session is while another one stands in for it.
    pub stand_in: Option<Arc<Home>>,
    /// Whether the upstream's head said that no body follows.
    pub bodiless_answer: bool,
    /// Whether the body filters have seen the end of the response.
    pub body_ended: bool,
    /// How far it came.
    pub stage: Stage,
    /// The status that the edge refused it with.
    pub refused: Option<u16>,
    /// Whether the client makes a call of gRPC, which its refusals have to look like.
    pub is_call: bool,
    /// Other paths that servers may read in its target; its route has to be that of all of them.
    pub readings: Vec<Box<str>>,
    /// Interim answers of the node in use.
    pub interim: u32,
}

/// How far a request came, as far as later callbacks have to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not admitted yet: plugins have not seen it and do not see its end.
    Arrived,
    /// The global rules' plugins have seen it.
    Admitted,
    /// The response head is on its way.
    Answering,
}

impl InFlight {
    /// A request that has just arrived.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self {
            request: Request::new(snapshot.clone()),
            snapshot,
            route: None,
            chain: None,
            upstream: None,
            picked: None,
            tried: Tried::default(),
            hash_key: None,
            first_pick: None,
            stand_in: None,
            bodiless_answer: false,
            body_ended: false,
            stage: Stage::Arrived,
            refused: None,
            is_call: false,
            readings: Vec::new(),
            interim: 0,
        }
    }

    /// What the settings say of requests, as they were when this one came.
    pub fn rules(&self) -> &RequestRules {
        &self.snapshot.conduct.requests
    }

    /// Settles who answered, with what.
    pub fn answered(&mut self, status: u16, source: ResponseSource) {
        self.stage = Stage::Answering;
        self.request.response = Response {
            status,
            source,
            ..self.request.response
        };
    }

    /// Runs `call` over the global rules' chain and then over the route's.
    ///
    /// # Errors
    /// The first failure.
    pub fn each_chain<E>(
        &mut self,
        session: &mut Session,
        mut call: impl FnMut(&Chain, &mut Exchange<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut exchange = Exchange::new(session, &mut self.request);
        call(&self.snapshot.global, &mut exchange)?;
        match &self.chain {
            Some(chain) => call(chain, &mut exchange),
            None => Ok(()),
        }
    }

    /// Whether a plugin takes part in a phase.
    pub fn has(&self, phase: crossway_sdk::plugin::Phases) -> bool {
        self.snapshot.global.has(phase) || self.chain.as_ref().is_some_and(|c| c.has(phase))
    }
}
