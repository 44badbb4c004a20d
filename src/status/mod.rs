//! How the gateway stands: readiness, the control API with `explain`, and the page that Prometheus reads. It reads what
//! serves and changes nothing; it listens where only operators are, and asks nobody who they are.

mod documents;
pub mod explain;
#[cfg(test)]
mod fixture;
mod health;
mod life;
mod metrics;
mod question;
mod readings;
mod ready;
mod schema;
mod standing;
#[cfg(test)]
mod tests;

pub use health::health_reports;
pub use metrics::metrics_router;

use crate::{acme, compile::State as Compiled, sync::Authority};
use axum::{
    Json, Router,
    extract::{Query, State, rejection::QueryRejection},
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
pub use life::Life;
pub use readings::{Awaiting, Readings};

use explain::{Explanation, Question, explain};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

/// What the control API looks at.
pub struct Control {
    authority: Arc<Authority>,
    readings: Arc<Readings>,
    life: Arc<Life>,
    acme: Option<Arc<acme::Report>>,
    started_at: SystemTime,
    started: Instant,
}

impl Control {
    /// Looks at what `authority` lets serve. `readings` tells how the settings were read; `life` whether the gateway takes
    /// connections, and whether it is about to leave. The process counts as started now.
    pub fn new(authority: Arc<Authority>, readings: Arc<Readings>, life: Arc<Life>) -> Self {
        Self {
            authority,
            readings,
            life,
            acme: None,
            started_at: SystemTime::now(),
            started: Instant::now(),
        }
    }

    /// Tells of certificates that are ordered, too.
    #[must_use]
    pub fn with_acme(mut self, report: Option<Arc<acme::Report>>) -> Self {
        self.acme = report;
        self
    }

    /// Whether the process is about to leave.
    pub fn is_draining(&self) -> bool {
        self.life.is_draining()
    }

    fn state(&self) -> Arc<Compiled> {
        self.authority.state()
    }
}

/// The control API, by default on 127.0.0.1:9090: `/status`, `/status/ready`, `/v1/…`.
pub fn control_router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/status", get(ready::alive))
        .route("/status/ready", get(ready::ready))
        .route("/v1/status", get(standing::standing))
        .route("/v1/explain", get(answer))
        .route("/v1/schema", get(schema::schema))
        .route("/v1/healthcheck", get(health::all))
        .route("/v1/healthcheck/{kind}/{id}", get(health::one))
        .route("/v1/routes", get(documents::routes))
        .route("/v1/route/{id}", get(documents::route))
        .route("/v1/services", get(documents::services))
        .route("/v1/service/{id}", get(documents::service))
        .route("/v1/upstreams", get(documents::upstreams))
        .route("/v1/upstream/{id}", get(documents::upstream))
        .route("/v1/plugin_metadatas", get(documents::plugin_metadatas))
        .route(
            "/v1/plugin_metadata/{name}",
            get(documents::plugin_metadata),
        )
        // Plugins are compiled in and memory is not collected: both are done as soon as they are asked for.
        .route("/v1/plugins/reload", put(async || "done"))
        .route("/v1/gc", post(async || StatusCode::OK))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .with_state(control)
}

/// A refusal in APISIX's shape.
fn refuse(status: StatusCode, message: impl Into<String>) -> Response {
    (status, Json(json!({"error_msg": message.into()}))).into_response()
}

async fn unknown(uri: Uri) -> Response {
    let message = format!("the control API has no {}", uri.path());
    refuse(StatusCode::NOT_FOUND, message)
}

async fn wrong_method(uri: Uri) -> Response {
    let message = format!("{} does not take this method", uri.path());
    refuse(StatusCode::METHOD_NOT_ALLOWED, message)
}

/// `GET /v1/explain`.
async fn answer(
    State(control): State<Arc<Control>>,
    parameters: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let parameters = match parameters {
        Ok(Query(parameters)) => parameters,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let paths = control.state().conduct().requests.target;
    let question = match Question::parse(parameters, paths) {
        Ok(question) => question,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    work(move || -> Json<Explanation> { Json(explain(&control.state(), &question)) }).await
}

/// Runs what may take long with very many resources, beside the runtime's threads.
async fn work<R: IntoResponse + Send + 'static>(
    job: impl FnOnce() -> R + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(job).await {
        Ok(answer) => answer.into_response(),
        Err(error) => {
            tracing::error!(%error, "a page of the control API could not be made");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the page could not be made",
            )
        }
    }
}
