//! Where the data plane reports to: counters and the access log.

use crate::{
    observe::{AccessLog, metrics::Traffic},
    proxy,
};
use crossway_sdk::{request::Request, variables::View};
use pingora_proxy::Session;
use std::sync::Arc;

pub(super) struct Reports {
    pub(super) traffic: Arc<Traffic>,
    pub(super) access_log: Option<Arc<AccessLog>>,
}

impl proxy::Reports for Reports {
    fn began(&self) {
        self.traffic.request_began();
    }

    fn ended(&self, session: &Session, request: &Request) {
        self.traffic.request_ended();
        if let Some(log) = &self.access_log {
            log.write(&View { session, request });
        }
    }
}
