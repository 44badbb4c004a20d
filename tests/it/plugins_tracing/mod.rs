//! Traces: what the upstream is told of them, and what a collector is sent.

mod opentelemetry;
mod otlp;
mod zipkin;

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Upstream};

/// A route `/a` with this plugin.
async fn route(gateway: &Gateway, upstream: &Upstream, plugin: &str, config: Value) {
    let route = json!({
        "name": "shop", "uri": "/a", "plugins": { plugin: config }, "upstream": upstream.document(),
    });
    gateway.put("/routes/1", route).await;
}

/// Ends the gateway, which sends what waits.
async fn end(mut gateway: Gateway) {
    let stopped = gateway.terminate(PATIENCE).await;
    assert!(stopped.status.success(), "{stopped:?}");
}
