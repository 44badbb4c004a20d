//! The gateway's own balancers, and the table of all balancers by name.
//!
//! A new one is a file here, a `mod` line and a line in [`Balancers::builtin`].

mod chash;
mod ewma;
mod least_conn;
mod round_robin;
#[cfg(test)]
mod tests;

use crossway_sdk::balance::{Balance, BalanceFactory, BalanceNode, Pick};
use std::{collections::BTreeMap, sync::Arc};

/// Balancers by the name that an upstream's `type` gives.
#[derive(Clone)]
pub struct Balancers(BTreeMap<Box<str>, BalanceFactory>);

/// The `type` of an upstream that names no balancer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no balancer `{name}`; known are {known}")]
pub struct UnknownBalancer {
    /// The name.
    pub name: String,
    /// The names that would do.
    pub known: String,
}

impl Balancers {
    /// `roundrobin`, `chash`, `least_conn`, `ewma`.
    pub fn builtin() -> Self {
        Self(BTreeMap::new())
            .with("roundrobin", |nodes| {
                Box::new(round_robin::RoundRobin::new(nodes))
            })
            .with("chash", |nodes| Box::new(chash::Chash::new(nodes)))
            .with("least_conn", |nodes| {
                Box::new(least_conn::LeastConn::new(nodes))
            })
            .with("ewma", |nodes| Box::new(ewma::Ewma::new(nodes)))
    }

    /// With one more balancer; a name that is taken is replaced, also a built-in one.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        factory: impl Fn(&[BalanceNode]) -> Box<dyn Balance> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.into(), Arc::new(factory));
        self
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// The factory of this name.
    pub fn get(&self, name: &str) -> Result<&BalanceFactory, UnknownBalancer> {
        self.0.get(name).ok_or_else(|| UnknownBalancer {
            name: name.to_owned(),
            known: self.names().collect::<Vec<_>>().join(", "),
        })
    }
}

/// The weights without their common factor; equal ones when all are 0.
fn reduced_weights(nodes: &[BalanceNode]) -> Box<[u32]> {
    let divisor = nodes
        .iter()
        .fold(0, |divisor, node| gcd(divisor, node.weight));
    match divisor {
        0 => nodes.iter().map(|_| 1).collect(),
        _ => nodes.iter().map(|node| node.weight / divisor).collect(),
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// The nodes that may be used although their weight is 0, which is when no healthy node has more: APISIX makes its
/// picker of healthy nodes alone, and a picker that knows but weights of 0 treats them as equal. A node with weight
/// that was tried still counts as healthy, so a retry does not spill over.
fn usable_without_weight(weights: &[u32], pick: &Pick<'_>) -> impl Iterator<Item = usize> {
    let weighty = weights
        .iter()
        .enumerate()
        .any(|(node, &w)| w > 0 && pick.is_healthy(node));
    let nodes = if weighty { 0..0 } else { 0..weights.len() };
    nodes.filter(|&node| pick.is_usable(node))
}
