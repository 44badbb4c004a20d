//! `GET /v1/schema`: what resources and plugins may say, in one document.

use super::Control;
use crate::model::Kind;
use axum::{Json, extract::State, response::Response};
use crossway_sdk::definition::Definition;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) async fn schema(State(control): State<Arc<Control>>) -> Response {
    super::work(move || {
        let kinds = Kind::ALL.iter();
        let main: Map<_, _> = kinds
            .map(|kind| (kind.singular().to_owned(), kind.schema().clone()))
            .collect();
        let state = control.state();
        let all = || state.workshop().registry.iter();
        let described = |d: &Definition| (d.name.to_owned(), plugin(d));
        let plugins: Map<_, _> = all().map(described).collect();
        let of_streams = all().filter(|d| d.has_stream());
        let stream_plugins: Map<_, _> = of_streams.map(described).collect();
        Json(json!({"main": main, "plugins": plugins, "stream_plugins": stream_plugins}))
    })
    .await
}

fn plugin(definition: &Definition) -> Value {
    let mut plugin = json!({
        "priority": definition.priority,
        "schema": definition.schema(),
    });
    if let Some(object) = plugin.as_object_mut() {
        let metadata = definition.metadata_schema();
        object.extend(metadata.map(|s| ("metadata_schema".to_owned(), s.clone())));
        let credential = definition.credential_schema();
        object.extend(credential.map(|s| ("consumer_schema".to_owned(), s.clone())));
        if definition.is_auth() {
            object.insert("type".to_owned(), json!("auth"));
        }
    }
    plugin
}
