//! Runs a chain over a stream session, in the two phases that one has.

use super::{
    Chain, Placed,
    run::{Cause, caught},
};
use crossway_sdk::{
    flow::{Flow, Step},
    plugin::Phases,
    request::Failure,
    stream::StreamExchange,
};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;

/// Whether a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// To its node.
    Admitted,
    /// A plugin refused it, or failed; the status to count it under.
    Refused(u16),
}

impl Chain {
    /// The stream access phase. A plugin that panics or fails refuses the session.
    pub async fn stream_access(&self, ex: &mut StreamExchange<'_>) -> Admission {
        for placed in self.phase(Phases::STREAM_ACCESS) {
            if !placed.admits_session(ex) {
                continue;
            }
            ex.enter(placed.slot);
            let plugin = &placed.entry.instance;
            // A reborrow that the closure takes along, so that a future may keep it.
            let turn = &mut *ex;
            let flow = match caught(move || plugin.stream_access(turn)) {
                Ok(Step::Done(flow)) => flow.map_err(Cause::from),
                Ok(Step::Wait(future)) => match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(flow) => flow.map_err(Cause::from),
                    Err(payload) => Err(Cause::panic(&*payload)),
                },
                Err(cause) => Err(cause),
            };
            match flow {
                Ok(Flow::Next) => {}
                Ok(Flow::Respond(reply)) => return Admission::Refused(reply.status.as_u16()),
                Err(cause) => {
                    placed.report_session(Phases::STREAM_ACCESS, ex, &cause);
                    return Admission::Refused(500);
                }
            }
        }
        Admission::Admitted
    }

    /// The session is over. A plugin that panics here is logged, the others still run.
    pub fn stream_log(&self, ex: &mut StreamExchange<'_>) {
        for placed in self.phase(Phases::STREAM_LOG) {
            if !placed.admits_session(ex) {
                continue;
            }
            ex.enter(placed.slot);
            if let Err(cause) = caught(|| placed.entry.instance.stream_log(ex)) {
                placed.report_session(Phases::STREAM_LOG, ex, &cause);
            }
        }
    }
}

impl Placed {
    /// Whether `_meta.filter` lets the plugin run; judged once a session.
    fn admits_session(&self, ex: &mut StreamExchange<'_>) -> bool {
        let Some(filter) = self.entry.meta.as_ref().and_then(|m| m.filter.as_ref()) else {
            return true;
        };
        let known = ex.session.admitted.iter().find(|(s, _)| *s == self.slot);
        if let Some((_, admitted)) = known {
            return *admitted;
        }
        let admitted = filter.matches(&*ex);
        ex.session.admitted.push((self.slot, admitted));
        admitted
    }

    /// Puts a failure into the log and down in the session, whose end counts it.
    fn report_session(&self, phase: Phases, ex: &mut StreamExchange<'_>, error: &Cause) {
        ex.session.failures.push(Failure {
            plugin: self.entry.name,
            kind: error.kind(),
        });
        let stream_route = ex.session.route.as_ref().map_or("", |r| &*r.id);
        let (plugin, origin) = (self.entry.name, &*self.entry.origin);
        tracing::error!(plugin, origin, stream_route, ?phase, %error, "a plugin failed");
    }
}
