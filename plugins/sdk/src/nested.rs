//! A plugin that runs inside of another one: built from a part of its configuration, with state of its own for each request.

use crate::{
    definition::{Definition, Instance},
    exchange::Exchange,
    flow::{Error, Flow, Step},
    plugin::Phases,
    slots::Slot,
};
use bytes::Bytes;
use pingora_http::{RequestHeader, ResponseHeader};
use std::sync::Arc;

/// An instance inside of another; made by [`crate::build::BuildCx::nested`]. The outer plugin decides whether and when it runs, and
/// must take part in the phases that it wants to hand on. State that the inner plugin keeps for a request is apart from that of the
/// outer one and of others inside of it.
pub struct Nested {
    name: &'static str,
    phases: Phases,
    instance: Arc<dyn Instance>,
    part: u16,
}

impl Nested {
    pub(crate) fn new(definition: &Definition, instance: Arc<dyn Instance>, part: u16) -> Self {
        Self {
            name: definition.name,
            phases: definition.phases,
            instance,
            part,
        }
    }

    /// The plugin's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The phases that it takes part in; the others do nothing.
    pub fn phases(&self) -> Phases {
        self.phases
    }

    /// Runs its rewrite phase.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn rewrite(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let outer = self.enter(ex);
        let flow = match self.instance.rewrite(ex) {
            Step::Done(flow) => flow,
            Step::Wait(future) => future.await,
        };
        ex.enter(outer);
        flow
    }

    /// Runs its access phase.
    ///
    /// # Errors
    /// The plugin's.
    pub async fn access(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let outer = self.enter(ex);
        let flow = match self.instance.access(ex) {
            Step::Done(flow) => flow,
            Step::Wait(future) => future.await,
        };
        ex.enter(outer);
        flow
    }

    /// Runs its part before a head goes to a node.
    ///
    /// # Errors
    /// The plugin's.
    pub fn before_proxy(
        &self,
        ex: &mut Exchange<'_>,
        head: &mut RequestHeader,
    ) -> Result<(), Error> {
        self.within(ex, |ex| self.instance.before_proxy(ex, head))
    }

    /// Runs over a piece of the request body.
    ///
    /// # Errors
    /// The plugin's.
    pub fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.within(ex, |ex| self.instance.request_body(ex, chunk, end))
    }

    /// Runs over the response head.
    ///
    /// # Errors
    /// The plugin's.
    pub fn header_filter(
        &self,
        ex: &mut Exchange<'_>,
        head: &mut ResponseHeader,
    ) -> Result<(), Error> {
        self.within(ex, |ex| self.instance.header_filter(ex, head))
    }

    /// Runs over a piece of the response body.
    ///
    /// # Errors
    /// The plugin's.
    pub fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.within(ex, |ex| self.instance.body_filter(ex, chunk, end))
    }

    /// Tells it that the request is over.
    pub fn log(&self, ex: &mut Exchange<'_>) {
        self.within(ex, |ex| self.instance.log(ex));
    }

    fn within<R>(&self, ex: &mut Exchange<'_>, run: impl FnOnce(&mut Exchange<'_>) -> R) -> R {
        let outer = self.enter(ex);
        let done = run(ex);
        ex.enter(outer);
        done
    }

    /// Makes it its turn; returns whose turn it was.
    fn enter(&self, ex: &mut Exchange<'_>) -> Slot {
        let outer = ex.slot();
        ex.enter(Slot {
            part: self.part,
            ..outer
        });
        outer
    }
}

#[cfg(test)]
mod tests;
