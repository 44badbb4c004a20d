//! Runs a chain's phases over a request. A plugin that panics or fails ends this request alone.

use super::{Chain, Entry, Placed};
use bytes::Bytes;
use crossway_sdk::{
    exchange::Exchange,
    flow::{Error, Flow, Reply, ReplyBody, Step},
    plugin::Phases,
    request::{Failure, FailureKind},
};
use futures::FutureExt;
use pingora_http::{RequestHeader, ResponseHeader};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Whether the request goes on.
pub enum Outcome {
    /// To the next chain, and in the end to the upstream.
    Continue,
    /// This is the answer.
    Respond(Reply),
}

/// Which entries of a chain a run takes.
#[derive(Clone, Copy)]
enum Which<'a> {
    All,
    /// Entries that came from the consumer alone and do not authenticate.
    OfConsumer,
    /// Entries of a global chain, without those that give way to the route's.
    BesideRoute(&'a Chain),
}

impl Which<'_> {
    fn takes(self, Placed { entry, joined, .. }: &Placed) -> bool {
        match self {
            Which::All => true,
            Which::OfConsumer => *joined && !entry.auth,
            Which::BesideRoute(route) => !(entry.prefer_route && route.contains(entry.name)),
        }
    }
}

impl Chain {
    /// The rewrite phase.
    pub async fn rewrite(&self, ex: &mut Exchange<'_>) -> Outcome {
        self.decide(Phases::REWRITE, Which::All, ex).await
    }

    /// The rewrite phase of the plugins that joined with the consumer; authenticators among them do not run.
    pub async fn rewrite_in_consumer(&self, ex: &mut Exchange<'_>) -> Outcome {
        self.decide(Phases::REWRITE, Which::OfConsumer, ex).await
    }

    /// The access phase.
    pub async fn access(&self, ex: &mut Exchange<'_>) -> Outcome {
        self.decide(Phases::ACCESS, Which::All, ex).await
    }

    async fn decide(&self, phase: Phases, which: Which<'_>, ex: &mut Exchange<'_>) -> Outcome {
        for placed in self.phase(phase) {
            if !which.takes(placed) || !placed.admits(ex) {
                continue;
            }
            ex.enter(placed.slot);
            let plugin = &placed.entry.instance;
            // A reborrow that the closure takes along, so that a future may keep it.
            let turn = &mut *ex;
            let flow = match caught(move || match phase {
                Phases::REWRITE => plugin.rewrite(turn),
                _ => plugin.access(turn),
            }) {
                Ok(Step::Done(flow)) => flow.map_err(Cause::from),
                Ok(Step::Wait(future)) => match AssertUnwindSafe(future).catch_unwind().await {
                    Ok(flow) => flow.map_err(Cause::from),
                    Err(payload) => Err(Cause::panic(&*payload)),
                },
                Err(cause) => Err(cause),
            };
            match flow {
                Ok(Flow::Next) => {}
                Ok(Flow::Respond(reply)) => return Outcome::Respond(placed.dress(reply)),
                Err(cause) => {
                    placed.report(phase, ex, &cause);
                    return Outcome::Respond(Reply::status(500));
                }
            }
        }
        Outcome::Continue
    }

    /// The head that is about to go to a node.
    ///
    /// # Errors
    /// A plugin failed; it was logged.
    pub fn before_proxy(
        &self,
        ex: &mut Exchange<'_>,
        head: &mut RequestHeader,
    ) -> Result<(), Failed> {
        self.each(Phases::BEFORE_PROXY, Which::All, ex, |entry, ex| {
            entry.instance.before_proxy(ex, head)
        })
    }

    /// A piece of the request body.
    ///
    /// # Errors
    /// A plugin failed; it was logged.
    pub fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Failed> {
        self.each(Phases::REQUEST_BODY, Which::All, ex, |entry, ex| {
            entry.instance.request_body(ex, chunk, end)
        })
    }

    /// The response head.
    ///
    /// # Errors
    /// A plugin failed; it was logged.
    pub fn header_filter(
        &self,
        ex: &mut Exchange<'_>,
        head: &mut ResponseHeader,
    ) -> Result<(), Failed> {
        self.each(Phases::HEADER_FILTER, Which::All, ex, |entry, ex| {
            entry.instance.header_filter(ex, head)
        })
    }

    /// A piece of the response body.
    ///
    /// # Errors
    /// A plugin failed; it was logged.
    pub fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Failed> {
        self.each(Phases::BODY_FILTER, Which::All, ex, |entry, ex| {
            entry.instance.body_filter(ex, chunk, end)
        })
    }

    /// The request is over. A plugin that panics here is logged, the others still run.
    pub fn log(&self, ex: &mut Exchange<'_>) {
        self.log_those(Which::All, ex);
    }

    /// The request is over, for a global chain: copies that give way to the route's do not run.
    pub fn log_beside(&self, route: &Chain, ex: &mut Exchange<'_>) {
        self.log_those(Which::BesideRoute(route), ex);
    }

    fn log_those(&self, which: Which<'_>, ex: &mut Exchange<'_>) {
        for placed in self.phase(Phases::LOG) {
            if !which.takes(placed) || !placed.admits(ex) {
                continue;
            }
            ex.enter(placed.slot);
            if let Err(cause) = caught(|| placed.entry.instance.log(ex)) {
                placed.report(Phases::LOG, ex, &cause);
            }
        }
    }

    fn each(
        &self,
        phase: Phases,
        which: Which<'_>,
        ex: &mut Exchange<'_>,
        mut call: impl FnMut(&Entry, &mut Exchange<'_>) -> Result<(), Error>,
    ) -> Result<(), Failed> {
        for placed in self.phase(phase) {
            if !which.takes(placed) || !placed.admits(ex) {
                continue;
            }
            ex.enter(placed.slot);
            let done = caught(|| call(&placed.entry, ex));
            if let Err(cause) = done.and_then(|done| done.map_err(Cause::from)) {
                placed.report(phase, ex, &cause);
                return Err(Failed {
                    plugin: placed.entry.name,
                });
            }
        }
        Ok(())
    }
}

/// A plugin failed in a phase that cannot answer by itself.
#[derive(Debug, thiserror::Error)]
#[error("plugin {plugin} failed")]
pub struct Failed {
    /// Its name.
    pub plugin: &'static str,
}

/// Why a plugin did not do its part, for the log.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cause {
    #[error(transparent)]
    Error(#[from] Error),
    #[error("it panicked: {0}")]
    Panic(String),
}

impl Cause {
    pub(super) fn panic(payload: &(dyn Any + Send)) -> Self {
        let formatted = payload.downcast_ref::<String>().map(String::as_str);
        let message = formatted.or_else(|| payload.downcast_ref::<&str>().copied());
        Self::Panic(message.unwrap_or("without a message").to_owned())
    }

    pub(super) fn kind(&self) -> FailureKind {
        match self {
            Cause::Error(_) => FailureKind::Error,
            Cause::Panic(_) => FailureKind::Panic,
        }
    }
}

/// Runs a piece of a plugin. The request that it was for ends, so nothing looks at what a panic left half done.
pub(super) fn caught<R>(piece: impl FnOnce() -> R) -> Result<R, Cause> {
    catch_unwind(AssertUnwindSafe(piece)).map_err(|payload| Cause::panic(&*payload))
}

impl Placed {
    /// Whether `_meta.filter` lets the plugin run; judged once a request.
    fn admits(&self, ex: &mut Exchange<'_>) -> bool {
        let Some(filter) = self.entry.meta.as_ref().and_then(|m| m.filter.as_ref()) else {
            return true;
        };
        if let Some((_, admitted)) = ex
            .request
            .admitted
            .iter()
            .find(|(slot, _)| *slot == self.slot)
        {
            return *admitted;
        }
        let admitted = filter.matches(&*ex);
        ex.request.admitted.push((self.slot, admitted));
        admitted
    }

    /// The reply with `_meta.error_response` for a body.
    fn dress(&self, mut reply: Reply) -> Reply {
        let replacement = self
            .entry
            .meta
            .as_ref()
            .and_then(|m| m.error_response.as_ref());
        if let (true, Some(body)) = (reply.status.as_u16() >= 400, replacement) {
            reply.body = ReplyBody::Bytes(body.clone());
        }
        reply
    }

    /// Puts a failure into the log and down in the request, whose end counts it.
    fn report(&self, phase: Phases, ex: &mut Exchange<'_>, error: &Cause) {
        ex.request.failures.push(Failure {
            plugin: self.entry.name,
            kind: error.kind(),
        });
        let route = ex.request.route.as_ref().map_or("", |r| &*r.id);
        let (plugin, origin) = (self.entry.name, &*self.entry.origin);
        tracing::error!(plugin, origin, route, ?phase, %error, "a plugin failed");
    }
}
