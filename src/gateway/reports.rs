//! Where the data plane reports to: counters of requests and of plugins that failed, and the access
//! log that held when the request came.

use crate::{
    listener::{Counters, Reason},
    observe::{Metrics, metrics::Traffic},
    proxy,
    snapshot::Conduct,
};
use crossway_sdk::{
    request::{FailureKind, Request},
    variables::View,
};
use pingora_proxy::Session;
use std::sync::Arc;

pub(super) struct Reports {
    /// The one of `metrics`, a step nearer.
    pub(super) traffic: Arc<Traffic>,
    pub(super) metrics: Arc<Metrics>,
    /// Those of the edge.
    pub(super) stopped: Arc<Counters>,
}

impl proxy::Reports for Reports {
    fn began(&self) {
        self.traffic.request_began();
    }

    fn ended(&self, session: &Session, request: &Request, conduct: &Conduct) {
        self.traffic.request_ended();
        for failure in &request.failures {
            match failure.kind {
                FailureKind::Error => self.metrics.plugins.failed(failure.plugin),
                FailureKind::Panic => self.metrics.plugins.panicked(failure.plugin),
            }
        }
        if let Some(log) = &conduct.access_log {
            log.write(&View { session, request });
        }
    }

    fn stopped(&self, reason: Reason) {
        self.stopped.count(reason);
    }
}
