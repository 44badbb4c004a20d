//! Where a route sends its requests, and what keeps nodes from being used.

use super::{NodeReport, TimeoutReport, UpstreamReport};
use crate::{
    compile::State,
    model::Kind,
    snapshot::Route,
    upstream::{Node, OnAllUnhealthy, PassHost, Upstream},
};

/// The upstream of a route, as it is now.
pub(super) fn report(state: &State, route: &Route, upstream: &Upstream) -> UpstreamReport {
    let spec = upstream.spec();
    let timeouts = route.timeouts.as_deref().unwrap_or(&spec.timeouts);
    UpstreamReport {
        key: spec.key.to_string(),
        name: spec.name.to_string(),
        named_by: named_by(state, route),
        scheme: spec.scheme.as_str().to_owned(),
        balance: spec.balance.to_string(),
        pass_host: match &spec.pass_host {
            PassHost::Pass => "pass".to_owned(),
            PassHost::Node => "node".to_owned(),
            PassHost::Rewrite(host) => String::from_utf8_lossy(host.as_bytes()).into_owned(),
        },
        attempts: upstream.attempts(),
        timeouts: TimeoutReport {
            connect: timeouts.connect.as_secs_f64(),
            send: timeouts.send.as_secs_f64(),
            read: timeouts.read.as_secs_f64(),
        },
        checked: spec.checks.is_some(),
        nodes: upstream
            .nodes()
            .iter()
            .map(|node| NodeReport {
                host: node.host().to_string(),
                port: node.port(),
                weight: node.weight(),
                priority: node.priority(),
                health: spec
                    .checks
                    .as_ref()
                    .map(|_| node.health().as_str().to_owned()),
                addresses: node.addresses(),
                in_flight: node.inflight(),
            })
            .collect(),
        notes: notes(upstream),
    }
}

/// Why requests are refused although there is an upstream.
pub(super) fn refusal(upstream: &Upstream) -> Option<String> {
    let spec = upstream.spec();
    if upstream.nodes().is_empty() {
        return Some(format!("upstream {} has no nodes", spec.key));
    }
    let refuses = spec.on_all_unhealthy == OnAllUnhealthy::Fail && all_unhealthy(upstream);
    refuses.then(|| {
        format!(
            "all nodes of upstream {} are unhealthy, and on_all_unhealthy is fail",
            spec.key
        )
    })
}

/// Whether no node that has an address passes the health checks.
fn all_unhealthy(upstream: &Upstream) -> bool {
    let mut reachable = upstream.nodes().iter().filter(|node| is_reachable(node));
    upstream.spec().checks.is_some()
        && reachable.clone().next().is_some()
        && reachable.all(|node| !node.health().is_usable())
}

fn is_reachable(node: &Node) -> bool {
    node.has_address()
}

fn notes(upstream: &Upstream) -> Vec<String> {
    let mut notes = Vec::new();
    let nodes = upstream.nodes();
    let unresolved = nodes.iter().filter(|node| !is_reachable(node)).count();
    if unresolved > 0 {
        let which = match unresolved == nodes.len() {
            true => "no node has an address: requests get 503 until a name is resolved".to_owned(),
            false => format!("{unresolved} of {} nodes have no address yet", nodes.len()),
        };
        notes.push(which);
    }
    let unused = nodes
        .iter()
        .filter(|node| !node.health().is_usable())
        .count();
    if all_unhealthy(upstream) {
        notes.push(match upstream.spec().on_all_unhealthy {
            OnAllUnhealthy::UseAll => "all nodes are unhealthy: all are used".to_owned(),
            OnAllUnhealthy::Fail => "all nodes are unhealthy: requests are refused".to_owned(),
        });
    } else if upstream.spec().checks.is_some() && unused > 0 {
        notes.push(format!("{unused} of {} nodes are unhealthy", nodes.len()));
    }
    notes
}

/// The route when it says itself where requests go, else its service.
fn named_by(state: &State, route: &Route) -> String {
    let own = super::document(state, Kind::Route, &route.info.id);
    let says = own.is_some_and(|d| d.get("upstream_id").is_some() || d.get("upstream").is_some());
    match &route.info.service_id {
        Some(service) if !says => format!("services/{service}"),
        _ => format!("routes/{}", route.info.id),
    }
}
