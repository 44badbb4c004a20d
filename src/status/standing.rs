//! `GET /v1/status`: which configuration serves, why the last change was refused, what is wrong with the store, how
//! the settings were read. All times are seconds since 1970.

use super::{Control, readings};
use crate::{
    acme,
    model::Kind,
    store::{Position, Trouble},
    sync::Refused,
};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

#[derive(Serialize)]
struct Standing {
    version: &'static str,
    /// The process.
    pid: u32,
    started: u64,
    /// In seconds.
    uptime: u64,
    draining: bool,
    store: Store,
    configuration: Configuration,
    settings: readings::Standing,
    /// Documents by kind.
    resources: BTreeMap<&'static str, u64>,
    upstreams: Upstreams,
    secrets: Secrets,
    /// Certificates that are ordered; `null` when none are.
    acme: Option<acme::Page>,
}

/// References to secrets. Values are never shown.
#[derive(Serialize)]
struct Secrets {
    references: usize,
    unresolved: Vec<Unresolved>,
}

/// A reference that gives no value: what refers to it is shut.
#[derive(Serialize)]
struct Unresolved {
    key: String,
    /// JSON pointer.
    path: String,
    reference: String,
    why: String,
}

#[derive(Serialize)]
struct Store {
    name: &'static str,
    writable: bool,
    trouble: Option<What>,
}

/// What is wrong with the store.
#[derive(Serialize)]
struct What {
    what: String,
    /// Where in a declarative file.
    at: Option<Position>,
    since: Option<u64>,
}

#[derive(Serialize)]
struct Configuration {
    ready: bool,
    /// What serves.
    revision: u64,
    /// What was looked at.
    seen: u64,
    since: Option<u64>,
    refused_total: u64,
    /// The last change that was refused; it stays after later ones were taken.
    refused: Option<Refused>,
}

/// Upstreams at work, those written inside of other documents among them.
#[derive(Default, Serialize)]
struct Upstreams {
    live: u64,
    nodes: u64,
    unhealthy_nodes: u64,
}

pub(super) async fn standing(State(control): State<Arc<Control>>) -> Response {
    super::work(move || Json(stand(&control)).into_response()).await
}

fn stand(control: &Control) -> Standing {
    let store = control.authority.store();
    let status = control.authority.status().borrow().clone();
    let trouble = store.trouble().borrow().clone().map(what);
    let unread = status.store_error.map(|what| What {
        what,
        at: None,
        since: None,
    });
    Standing {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        started: seconds(control.started_at),
        uptime: control.started.elapsed().as_secs(),
        draining: control.is_draining(),
        store: Store {
            name: store.name(),
            writable: store.writable(),
            trouble: trouble.or(unread),
        },
        configuration: Configuration {
            ready: status.ready,
            revision: status.serving,
            seen: status.seen,
            since: status.since.map(seconds),
            refused_total: status.refused_total,
            refused: status.refused,
        },
        settings: control.readings.standing(),
        resources: resources(control),
        upstreams: upstreams(control),
        secrets: secrets(control),
        acme: control.acme.as_ref().map(|report| report.page()),
    }
}

fn what(trouble: Trouble) -> What {
    What {
        what: trouble.what,
        at: trouble.at,
        since: Some(seconds(trouble.since)),
    }
}

fn secrets(control: &Control) -> Secrets {
    let state = control.state();
    let unresolved = state.unresolved_secrets().into_iter();
    let unresolved = unresolved.map(|one| Unresolved {
        key: one.key.to_string(),
        path: one.path,
        reference: one.reference,
        why: one.why,
    });
    Secrets {
        references: state.secret_references(),
        unresolved: unresolved.collect(),
    }
}

fn resources(control: &Control) -> BTreeMap<&'static str, u64> {
    let mut counts: BTreeMap<_, _> = Kind::ALL.iter().map(|kind| (kind.path(), 0)).collect();
    for (key, _) in control.state().documents() {
        *counts.entry(key.kind.path()).or_default() += 1;
    }
    counts
}

fn upstreams(control: &Control) -> Upstreams {
    let mut counts = Upstreams::default();
    for upstream in control.state().upstreams() {
        counts.live += 1;
        for node in upstream.nodes() {
            counts.nodes += 1;
            counts.unhealthy_nodes += u64::from(!node.health().is_usable());
        }
    }
    counts
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
