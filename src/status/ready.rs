//! Whether the process lives, and whether it should get requests: for load balancers and Kubernetes.

use super::Control;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;

/// `GET /status`: the process lives.
pub(super) async fn alive() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

/// `GET /status/ready`: a configuration serves, and the process is not about to leave.
pub(super) async fn ready(State(control): State<Arc<Control>>) -> Response {
    match unready(&control) {
        None => alive().await,
        Some(error) => {
            let body = json!({"status": "error", "error": error});
            (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
        }
    }
}

/// Why requests should go elsewhere.
fn unready(control: &Control) -> Option<String> {
    if control.is_draining() {
        return Some("the gateway is shutting down".to_owned());
    }
    if control.life.is_starting() {
        return Some("the gateway is starting".to_owned());
    }
    let status = control.authority.status();
    let status = status.borrow();
    if status.ready {
        return None;
    }
    let problem = status.refused.as_ref().and_then(|r| r.problems.first());
    Some(match (&status.store_error, problem) {
        (Some(error), _) => format!("has not received configuration: {error}"),
        (None, Some(p)) => format!(
            "has not received configuration that it can take: {}: {}",
            p.key, p.error
        ),
        (None, None) => "has not received configuration".to_owned(),
    })
}
