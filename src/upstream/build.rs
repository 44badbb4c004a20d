//! From a spec to a live upstream, with what the one before it knew. Nothing here is felt outside: a build may be
//! thrown away.

use super::{
    Environment, Group, Upstream,
    balance::UnknownBalancer,
    health::HealthState,
    node::{BadNode, Node},
    spec::{NodeSpec, Scheme, Spec},
    tls::{self, BadTls},
};
use crossway_sdk::balance::{Balance, BalanceNode, Load};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::AtomicBool},
};

/// Why an upstream cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Its `type` names no balancer.
    #[error(transparent)]
    Balancer(#[from] UnknownBalancer),
    /// A node cannot be one.
    #[error(transparent)]
    Node(#[from] BadNode),
    /// TLS to nodes cannot be as configured.
    #[error(transparent)]
    Tls(#[from] BadTls),
}

impl Upstream {
    /// A live upstream of this spec. It carries over from `previous`, when that has the same key:
    /// * what a node is busy with, by host and port;
    /// * the node's health, as long as probes ask the same of it;
    /// * the balancers of groups whose nodes and weights are the same, with the same `type`.
    pub fn build(
        mut spec: Spec,
        previous: Option<&Arc<Upstream>>,
        environment: &Arc<Environment>,
    ) -> Result<Arc<Self>, BuildError> {
        if !environment.checks_enabled {
            spec.checks = None;
        }
        let spec = Arc::new(spec);
        let previous = previous.filter(|previous| previous.spec.key == spec.key);
        let nodes = build_nodes(&spec, previous, environment)?;
        let groups = build_groups(&spec, &nodes, previous, environment)?;
        let tls = match spec.scheme {
            Scheme::Tls => Some(tls::client(&spec.tls, environment)?),
            _ => None,
        };
        Ok(Arc::new(Self {
            spec,
            nodes,
            groups,
            environment: environment.clone(),
            tls,
            overruled: AtomicBool::new(false),
            predecessor: Mutex::new(previous.map_or_else(Weak::new, Arc::downgrade)),
            probes: Mutex::new(None),
        }))
    }
}

type State = (Arc<Load>, Arc<HealthState>);

/// Live state of nodes by host and port.
struct Known<'a>(HashMap<(&'a str, u16), State>);

impl<'a> Known<'a> {
    fn of(previous: Option<&'a Arc<Upstream>>, spec: &Spec) -> Self {
        let Some(previous) = previous else {
            return Self(HashMap::new());
        };
        let target = |spec: &Spec| spec.checks.as_ref().map(|checks| checks.target());
        let same_target = target(&previous.spec) == target(spec);
        let state = |node: &'a Arc<Node>| {
            let health = if same_target {
                node.state.clone()
            } else {
                Arc::default()
            };
            ((&**node.host(), node.port()), (node.load.clone(), health))
        };
        Self(previous.nodes.iter().map(state).collect())
    }

    fn get(&mut self, node: &'a NodeSpec) -> State {
        // Kept for a node of the same host and port in another priority.
        self.0.entry((&*node.host, node.port)).or_default().clone()
    }
}

fn build_nodes(
    spec: &Arc<Spec>,
    previous: Option<&Arc<Upstream>>,
    environment: &Environment,
) -> Result<Box<[Arc<Node>]>, BadNode> {
    let configs = ordered(&spec.nodes);
    let mut known = Known::of(previous, spec);
    let node = |config: &NodeSpec, (load, health)| {
        Node::new(spec.clone(), config.clone(), environment, load, health).map(Arc::new)
    };
    configs
        .into_iter()
        .map(|config| node(config, known.get(config)))
        .collect()
}

/// Highest priority first, otherwise in the order of the configuration; of several with the same priority, host and
/// port the first has the place and the last the weight.
fn ordered(nodes: &[NodeSpec]) -> Vec<&NodeSpec> {
    let mut places = HashMap::with_capacity(nodes.len());
    let mut ordered: Vec<&NodeSpec> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let place = *places
            .entry((node.priority, &node.host, node.port))
            .or_insert(ordered.len());
        match ordered.get_mut(place) {
            Some(held) => *held = node,
            None => ordered.push(node),
        }
    }
    ordered.sort_by_key(|node| std::cmp::Reverse(node.priority));
    ordered
}

fn build_groups(
    spec: &Spec,
    nodes: &[Arc<Node>],
    previous: Option<&Arc<Upstream>>,
    environment: &Environment,
) -> Result<Box<[Group]>, UnknownBalancer> {
    let factory = environment.balancers.get(&spec.balance)?;
    let mut start = 0;
    let group = |nodes: &[Arc<Node>]| {
        let balance = match nodes {
            [] | [_] => None,
            _ => Some(held_balance(spec, nodes, previous).unwrap_or_else(|| {
                factory(
                    &nodes
                        .iter()
                        .map(|node| balance_node(node))
                        .collect::<Vec<_>>(),
                )
                .into()
            })),
        };
        let group = Group {
            start,
            length: nodes.len(),
            balance,
        };
        start += nodes.len();
        group
    };
    Ok(nodes
        .chunk_by(|a, b| a.priority() == b.priority())
        .map(group)
        .collect())
}

fn balance_node(node: &Node) -> BalanceNode {
    BalanceNode {
        host: node.host().clone(),
        port: node.port(),
        weight: node.weight(),
        load: node.load.clone(),
    }
}

/// The balancer that served these very nodes before.
fn held_balance(
    spec: &Spec,
    nodes: &[Arc<Node>],
    previous: Option<&Arc<Upstream>>,
) -> Option<Arc<dyn Balance>> {
    let previous = previous.filter(|previous| previous.spec.balance == spec.balance)?;
    let same = |(a, b): (&Arc<Node>, &Arc<Node>)| {
        a.host() == b.host()
            && a.port() == b.port()
            && a.weight() == b.weight()
            && Arc::ptr_eq(&a.load, &b.load)
    };
    let matches = |group: &&Group| {
        let range = group.start..group.start + group.length;
        let held = previous.nodes.get(range).unwrap_or_default();
        held.len() == nodes.len() && held.iter().zip(nodes).all(same)
    };
    previous.groups.iter().find(matches)?.balance.clone()
}
