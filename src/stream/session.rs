//! What sessions of TCP and of UDP have in common: the way to the upstream, and the end.

use super::StreamProxy;
use crate::{
    chain::Admission,
    matcher::SessionQuery,
    snapshot::{Standing, StreamRoute, Target},
    upstream::Upstream,
};
use crossway_sdk::{
    request::FailureKind,
    stream::{StreamExchange, StreamSession},
};
use std::sync::Arc;

/// Why a session gets no upstream; the status that it is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// A plugin refused it, or failed.
    #[error("a plugin refused it")]
    Plugin(u16),
    /// Its service, or its upstream, is gone.
    #[error("its service or its upstream does not exist")]
    Missing,
    /// Nobody said where it goes.
    #[error("neither its route nor its service has an upstream")]
    NoUpstream,
}

impl Refused {
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Plugin(status) => status,
            Self::Missing => 502,
            Self::NoUpstream => 503,
        }
    }
}

impl StreamProxy {
    /// The route of a session; without one nobody answers.
    pub(super) fn route(&self, session: &StreamSession) -> Option<Arc<StreamRoute>> {
        let query = SessionQuery {
            client: session.client.ip(),
            server: session.server,
            sni: session.sni.as_deref(),
        };
        let route = self.current.load().streams.find(&query).cloned();
        if route.is_none() {
            let (client, server) = (session.client, session.server);
            tracing::debug!(%client, %server, sni = session.sni.as_deref(), "no stream route");
        }
        route
    }

    /// Runs the plugins, and tells where the session goes.
    pub(super) async fn admit(
        &self,
        session: &mut StreamSession,
        route: &StreamRoute,
    ) -> Result<Arc<Upstream>, Refused> {
        if route.standing != Standing::Complete {
            return Err(Refused::Missing);
        }
        let mut exchange = StreamExchange::new(session);
        if let Admission::Refused(status) = route.chain.stream_access(&mut exchange).await {
            return Err(Refused::Plugin(status));
        }
        if let Some(chosen) = &session.upstream_override {
            return chosen.get::<Upstream>().ok_or(Refused::Missing);
        }
        match &route.target {
            Target::Upstream(upstream) => Ok(upstream.clone()),
            Target::Missing => Err(Refused::Missing),
            Target::None => Err(Refused::NoUpstream),
        }
    }

    /// Lets the plugins log a session, and counts those that failed.
    pub(super) fn end(&self, session: &mut StreamSession, route: &StreamRoute) {
        route.chain.stream_log(&mut StreamExchange::new(session));
        for failure in &session.failures {
            match failure.kind {
                FailureKind::Error => self.metrics.plugins.failed(failure.plugin),
                FailureKind::Panic => self.metrics.plugins.panicked(failure.plugin),
            }
        }
    }
}
