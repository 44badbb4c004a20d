//! What became of each candidate, in words. Looks at what `find` looks at, in the same order.

use std::{ops::ControlFlow, sync::Arc};

use super::{Matcher, Query, Reason, RouteKey, find::Tried};

/// A route that was considered for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The route's key.
    pub key: RouteKey,
    /// The path pattern under which it was considered.
    pub path: Arc<str>,
    /// The host pattern under which it was considered; `None` when it serves every host, or was refused for its hosts.
    pub host: Option<Arc<str>>,
    /// Its priority.
    pub priority: i64,
    /// What became of it.
    pub fate: Fate,
}

/// What became of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It takes the request.
    Won,
    /// It does not fit.
    Lost {
        /// The first thing against it.
        reason: Reason,
        /// The same in words.
        detail: String,
    },
    /// Whether it fits depends on the body, which has not been read; nothing below is decided before that.
    Open,
    /// It fits, but one above takes the request.
    Shadowed,
}

impl<T> Matcher<T> {
    /// The candidates for a request, in the order tried. At most `limit` others are listed beside the winner, so that a
    /// host with many routes for one path stays readable.
    pub fn explain(&self, query: &Query<'_>, limit: usize) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        let mut decided = false;
        // Whether the list is complete is all that `Break` tells, and nobody asks.
        let _complete = self.search(query, &mut |tried| {
            let fate = match tried.verdict {
                Ok(_) if decided => Fate::Shadowed,
                Ok(_) => Fate::Won,
                Err(Reason::NeedsBody) => Fate::Open,
                Err(reason) => Fate::Lost {
                    reason,
                    detail: tried.detail(reason, query),
                },
            };
            let decides = !decided && matches!(fate, Fate::Won | Fate::Open);
            decided |= decides;
            if decides || candidates.len() < limit {
                candidates.push(tried.into_candidate(fate));
            }
            if decided && candidates.len() > limit {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        candidates
    }
}

impl<T> Tried<'_, T> {
    fn into_candidate(self, fate: Fate) -> Candidate {
        let host = self.verdict.ok().flatten().or(self.reached);
        Candidate {
            key: Arc::clone(&self.entry.key),
            path: self.path.to_shared(),
            host: host.map(|host| host.to_shared()),
            priority: self.entry.priority,
            fate,
        }
    }

    fn detail(&self, reason: Reason, query: &Query<'_>) -> String {
        match reason {
            Reason::Method => format!("it does not take the method {}", query.method),
            Reason::RemoteAddress => format!("it does not serve the client {}", query.remote),
            Reason::Host => format!("it does not serve the host {:?}", query.host),
            Reason::Path => format!("the path does not fit {}", self.path),
            Reason::Condition => self
                .entry
                .vars()
                .and_then(|vars| vars.explain(query.vars))
                .unwrap_or_else(|| "its vars are not met".to_owned()),
            Reason::NeedsBody => "its vars depend on the body".to_owned(),
        }
    }
}
