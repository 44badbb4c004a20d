//! The documents that the running configuration was compiled from, in the shape of APISIX's control API. Consumers and
//! their credentials are not shown here, secret fields are blanked out.

use super::{Control, refuse};
use crate::{
    model::{Kind, ResourceKey},
    secret::Sealer,
    store::Entry,
};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// A document and its place in the store.
#[derive(Serialize)]
struct Document {
    key: String,
    value: Value,
    /// Revisions of the store, as long as it still has the document in this form.
    #[serde(rename = "createdIndex", skip_serializing_if = "Option::is_none")]
    created: Option<u64>,
    #[serde(rename = "modifiedIndex", skip_serializing_if = "Option::is_none")]
    modified: Option<u64>,
}

impl Document {
    fn new(sealer: &Sealer, key: &ResourceKey, content: &Bytes, stored: Option<&Entry>) -> Self {
        let stored = stored.filter(|entry| entry.value == *content);
        Self {
            key: format!("/apisix/{key}"),
            value: value_of(sealer, key, content),
            created: stored.map(|entry| entry.created.0),
            modified: stored.map(|entry| entry.modified.0),
        }
    }
}

fn value_of(sealer: &Sealer, key: &ResourceKey, content: &Bytes) -> Value {
    let mut value = serde_json::from_slice(content).unwrap_or(Value::Null);
    sealer.hide(key, &mut value);
    value
}

async fn list(control: Arc<Control>, kind: Kind) -> Response {
    let prefix = format!("{}/", kind.collection());
    // Only the revisions come from the store; without it the documents are shown without them.
    let stored = control.authority.store().list(&prefix).await;
    super::work(move || {
        let entries = stored.map(|contents| contents.entries).unwrap_or_default();
        let stored: HashMap<&str, &Entry> = entries.iter().map(|e| (e.key.as_str(), e)).collect();
        let state = control.state();
        let documents: Vec<Document> = state
            .documents()
            .filter(|(key, _)| key.kind == kind)
            .map(|(key, content)| {
                let stored = stored.get(key.to_string().as_str()).copied();
                Document::new(&state.workshop().sealer, key, content, stored)
            })
            .collect();
        Json(documents).into_response()
    })
    .await
}

async fn one(control: Arc<Control>, kind: Kind, id: &str) -> Response {
    let not_found = || {
        let message = format!("{}[{id}] not found", kind.singular());
        refuse(StatusCode::NOT_FOUND, message)
    };
    let Ok(key) = ResourceKey::new(kind, id) else {
        return not_found();
    };
    let stored = match crate::store::Key::new(&key.to_string()) {
        Ok(key) => control.authority.store().get(&key).await.ok().flatten(),
        Err(_) => None,
    };
    let state = control.state();
    match state.document(&key) {
        Some(content) => {
            let sealer = &state.workshop().sealer;
            Json(Document::new(sealer, &key, content, stored.as_ref())).into_response()
        }
        None => not_found(),
    }
}

pub(super) async fn routes(State(control): State<Arc<Control>>) -> Response {
    list(control, Kind::Route).await
}

pub(super) async fn route(State(control): State<Arc<Control>>, Path(id): Path<String>) -> Response {
    one(control, Kind::Route, &id).await
}

pub(super) async fn services(State(control): State<Arc<Control>>) -> Response {
    list(control, Kind::Service).await
}

pub(super) async fn service(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
) -> Response {
    one(control, Kind::Service, &id).await
}

pub(super) async fn upstreams(State(control): State<Arc<Control>>) -> Response {
    list(control, Kind::Upstream).await
}

pub(super) async fn upstream(
    State(control): State<Arc<Control>>,
    Path(id): Path<String>,
) -> Response {
    one(control, Kind::Upstream, &id).await
}

/// `GET /v1/plugin_metadatas`: the bare documents, each with the plugin's name as its `id`.
pub(super) async fn plugin_metadatas(State(control): State<Arc<Control>>) -> Response {
    let state = control.state();
    let all: Vec<Value> = state
        .documents()
        .filter(|(key, _)| key.kind == Kind::PluginMetadata)
        .map(|(key, content)| metadata(&state.workshop().sealer, key, content))
        .collect();
    Json(all).into_response()
}

/// `GET /v1/plugin_metadata/{name}`.
pub(super) async fn plugin_metadata(
    State(control): State<Arc<Control>>,
    Path(name): Path<String>,
) -> Response {
    let state = control.state();
    let key = ResourceKey::new(Kind::PluginMetadata, &name).ok();
    match key
        .as_ref()
        .and_then(|key| Some((key, state.document(key)?)))
    {
        Some((key, content)) => {
            Json(metadata(&state.workshop().sealer, key, content)).into_response()
        }
        None => refuse(
            StatusCode::NOT_FOUND,
            format!("plugin metadata[{name}] not found"),
        ),
    }
}

fn metadata(sealer: &Sealer, key: &ResourceKey, content: &Bytes) -> Value {
    let mut value = value_of(sealer, key, content);
    if let Some(object) = value.as_object_mut() {
        object.insert("id".to_owned(), key.id.as_str().into());
    }
    value
}
