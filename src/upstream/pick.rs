//! A node that was picked for a request, and why none was.

use super::{node::Node, place::Place};
use crossway_sdk::balance::{Balance, Outcome};
use http::StatusCode;
use pingora_core::upstreams::peer::HttpPeer;
use smallvec::SmallVec;
use std::sync::Arc;

/// The nodes that a request has tried, by their index in the upstream.
#[derive(Debug, Clone, Default)]
pub struct Tried(SmallVec<[u64; 1]>);

impl Tried {
    /// Adds a node.
    pub fn insert(&mut self, node: usize) {
        let word = node / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (node % 64);
        }
    }

    /// Whether the node was tried.
    pub fn contains(&self, node: usize) -> bool {
        self.0
            .get(node / 64)
            .is_some_and(|bits| bits >> (node % 64) & 1 == 1)
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.0.iter().map(|bits| bits.count_ones() as usize).sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|bits| *bits == 0)
    }
}

/// Why there is no node for a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickError {
    /// The upstream has no nodes.
    #[error("no valid upstream node: upstream {0} has no nodes")]
    NoNodes(Arc<str>),
    /// None of its names is resolved.
    #[error("no valid upstream node: no name of upstream {0} is resolved")]
    Unresolved(Arc<str>),
    /// Health checks let no node pass, and the upstream is to refuse then.
    #[error("all nodes of upstream {0} are unhealthy")]
    AllUnhealthy(Arc<str>),
    /// The request has tried all nodes that it may.
    #[error("all nodes of upstream {0} were tried")]
    AllTried(Arc<str>),
    /// The balancer named a node that it must not.
    #[error("balancer `{balancer}` of upstream {upstream} picked a node that may not be used")]
    Misled {
        /// The upstream's `type`.
        balancer: Arc<str>,
        /// The upstream.
        upstream: Arc<str>,
    },
}

impl PickError {
    /// What the client gets: 502 when nodes were tried or the balancer is at fault, else 503.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::AllTried(_) | Self::Misled { .. } => StatusCode::BAD_GATEWAY,
            Self::NoNodes(_) | Self::Unresolved(_) | Self::AllUnhealthy(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

/// A node for one attempt of a request. The node counts the request as long as this lives.
#[must_use = "the node counts the request only as long as this lives"]
pub struct Picked {
    node: Arc<Node>,
    index: usize,
    address: Place,
    /// The balancer that chose, and the node's index there; a lone node was not chosen.
    chosen: Option<(Arc<dyn Balance>, usize)>,
    outcome: Outcome,
}

impl Picked {
    pub(super) fn new(
        node: Arc<Node>,
        index: usize,
        address: Place,
        chosen: Option<(Arc<dyn Balance>, usize)>,
    ) -> Self {
        node.load.begin();
        if let Some((balance, node)) = &chosen {
            balance.started(*node);
        }
        Self {
            node,
            index,
            address,
            chosen,
            outcome: Outcome::default(),
        }
    }

    /// The node.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Its index in the upstream, for [`Tried`].
    pub fn index(&self) -> usize {
        self.index
    }

    /// Where it is, for this attempt.
    pub fn address(&self) -> &Place {
        &self.address
    }

    /// What to connect to. `client_host`: see [`Node::peer`].
    pub fn peer(&self, client_host: Option<&str>) -> Box<HttpPeer> {
        self.node.peer(&self.address, client_host)
    }

    /// How the attempt went; the balancer hears of it when this is dropped. The last report counts; without one the
    /// attempt was given up before there was anything to tell.
    pub fn report(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.node.load.end();
        if let Some((balance, node)) = &self.chosen {
            balance.finished(*node, &self.outcome);
        }
    }
}

impl std::fmt::Debug for Picked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Picked")
            .field("node", &self.node)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Tried;

    #[test]
    fn tried_nodes_are_remembered() {
        let mut tried = Tried::default();
        assert!(tried.is_empty());
        for node in [0, 63, 64, 200, 0] {
            tried.insert(node);
        }
        assert_eq!(tried.len(), 4);
        let found: Vec<_> = (0..300).filter(|&node| tried.contains(node)).collect();
        assert_eq!(found, [0, 63, 64, 200]);
    }
}
