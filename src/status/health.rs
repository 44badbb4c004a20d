//! `GET /v1/healthcheck`: health of the nodes of all upstreams that have checks.

use super::{Control, refuse};
use crate::{
    model::{Kind, ResourceKey},
    upstream::Report,
};
use axum::{
    Json,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use std::sync::Arc;

/// Kinds whose documents can have an upstream of their own.
const SOURCES: [Kind; 4] = [
    Kind::Route,
    Kind::Service,
    Kind::Upstream,
    Kind::StreamRoute,
];

/// `GET /v1/healthcheck`, as a table for browsers.
pub(super) async fn all(State(control): State<Arc<Control>>, headers: HeaderMap) -> Response {
    let reports = health_reports(&control.state());
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    match accept {
        Some(types) if types.contains("text/html") => Html(page(&reports)).into_response(),
        _ => Json(reports).into_response(),
    }
}

/// `GET /v1/healthcheck/{routes|services|upstreams|stream_routes}/{id}`.
pub(super) async fn one(
    State(control): State<Arc<Control>>,
    Path((kind, id)): Path<(String, String)>,
) -> Response {
    let Some(source) = Kind::from_path(&kind).filter(|kind| SOURCES.contains(kind)) else {
        return refuse(StatusCode::BAD_REQUEST, format!("invalid src type {kind}"));
    };
    let state = control.state();
    let key = ResourceKey::new(source, &id).ok();
    let Some(key) = key.filter(|key| state.document(key).is_some()) else {
        return refuse(StatusCode::NOT_FOUND, format!("{kind}[{id}] not found"));
    };
    let identity = match source {
        Kind::Upstream => key.to_string(),
        _ => format!("{key}{INLINE}"),
    };
    let upstreams = state.upstreams();
    let found = upstreams.iter().find(|u| *u.spec().key == *identity);
    match found.and_then(|upstream| upstream.report()) {
        Some(report) => Json(named(report)).into_response(),
        None => refuse(
            StatusCode::NOT_FOUND,
            format!("no checker for {kind}[{id}]"),
        ),
    }
}

/// The health of the nodes of all upstreams that have checks, under APISIX's names. The metrics page shows them, too.
pub fn health_reports(state: &crate::compile::State) -> Vec<Report> {
    let upstreams = state.upstreams();
    let reports = upstreams.iter().filter_map(|u| u.report());
    reports.map(named).collect()
}

/// What the identity of an upstream that is written inside of another document ends with.
const INLINE: &str = "#upstream";

/// The report under APISIX's name: the key of the document that holds the upstream.
fn named(mut report: Report) -> Report {
    let key = report.name.strip_suffix(INLINE).unwrap_or(&report.name);
    report.name = format!("/apisix/{key}").into();
    report
}

fn page(reports: &[Report]) -> String {
    let mut rows = String::new();
    for report in reports {
        for node in &report.nodes {
            let cells = [
                report.name.to_string(),
                report.r#type.to_owned(),
                node.ip.clone(),
                node.port.to_string(),
                node.hostname.to_string(),
                node.status.to_owned(),
                node.counter.success.to_string(),
                node.counter.tcp_failure.to_string(),
                node.counter.http_failure.to_string(),
                node.counter.timeout_failure.to_string(),
            ];
            rows.push_str("<tr>");
            for cell in cells {
                rows.extend(["<td>", &escaped(&cell), "</td>"]);
            }
            rows.push_str("</tr>\n");
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Health of nodes</title></head>\n\
         <body>\n<table border=\"1\">\n<tr><th>upstream</th><th>check</th><th>address</th><th>port</th>\
         <th>host</th><th>status</th><th>successes</th><th>TCP failures</th><th>HTTP failures</th>\
         <th>timeouts</th></tr>\n{rows}</table>\n</body>\n</html>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
