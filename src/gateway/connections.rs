//! Counts client connections as they come and go. It stands around Pingora's handler of connections, so that a request
//! pays nothing for it.

use crate::observe::metrics::Traffic;
use async_trait::async_trait;
use pingora_core::{apps::ServerApp, protocols::Stream, server::ShutdownWatch};
use std::sync::Arc;

/// An application whose connections are counted.
pub(super) struct Counted<A> {
    app: Arc<A>,
    traffic: Arc<Traffic>,
}

impl<A> Counted<A> {
    pub(super) fn new(app: A, traffic: Arc<Traffic>) -> Self {
        Self {
            app: Arc::new(app),
            traffic,
        }
    }
}

#[async_trait]
impl<A: ServerApp + Send + Sync + 'static> ServerApp for Counted<A> {
    /// One call serves one connection from its first request to its end: an HTTP application gives no stream back.
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _open = Open::new(&self.traffic);
        self.app.process_new(stream, shutdown).await
    }

    async fn cleanup(&self) {
        self.app.cleanup().await;
    }
}

/// A connection that is open; it closes when this is dropped, be it by a panic.
struct Open<'t>(&'t Traffic);

impl<'t> Open<'t> {
    fn new(traffic: &'t Traffic) -> Self {
        traffic.connection_opened();
        Self(traffic)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}
