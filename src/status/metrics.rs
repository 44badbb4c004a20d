//! The page that Prometheus reads.

use axum::{
    Router,
    extract::Request,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use std::sync::Arc;

/// The text format of Prometheus.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves what `page` makes under `path` (`plugin_attr.prometheus.export_uri`, e.g. `/apisix/prometheus/metrics`), by
/// default on 127.0.0.1:9091. `page` may take its time; an error of it is a 500 with its text.
pub fn metrics_router(
    page: impl Fn() -> Result<Bytes, String> + Send + Sync + 'static,
    path: &str,
) -> Router {
    let page = Arc::new(page);
    let path: Arc<str> = path.into();
    // Not a route: a path of the settings may have characters that mean something to a router.
    Router::new().fallback(async move |request: Request| {
        if request.uri().path() != &*path {
            return StatusCode::NOT_FOUND.into_response();
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let allow = [(header::ALLOW, "GET, HEAD")];
            return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
        }
        answer(page.clone()).await
    })
}

async fn answer(page: Arc<impl Fn() -> Result<Bytes, String> + Send + Sync + 'static>) -> Response {
    let made = tokio::task::spawn_blocking(move || page()).await;
    match made.map_err(|error| error.to_string()).flatten() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics page could not be made");
            (StatusCode::INTERNAL_SERVER_ERROR, error).into_response()
        }
    }
}
