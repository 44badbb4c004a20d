//! What a policy gets to see of a request, in the form that APISIX gives it.

use super::OpaInput;
use crossway_sdk::prelude::*;
use percent_encoding::percent_decode;
use serde_json::{Map, Value, json};
use std::time::UNIX_EPOCH;

/// The document that is sent.
pub(super) fn of(ex: &Exchange<'_>, with: OpaInput) -> Value {
    let mut input = json!({
        "type": "http",
        "request": request(ex),
        "var": connection(ex),
    });
    let stored = |kind: &str, id: Option<&str>| {
        let document = ex
            .request
            .configuration
            .document(&format!("{kind}/{}", id?))?;
        serde_json::from_slice::<Value>(&document).ok()
    };
    let route = ex.request.route.as_deref();
    let mut add = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(object)) = (value, input.as_object_mut()) {
            object.insert(name.to_owned(), value);
        }
    };
    if with.route {
        let mut document = stored("routes", route.map(|r| &*r.id));
        if let Some(Value::Object(members)) = &mut document {
            members.remove("upstream");
        }
        add("route", document);
    }
    if with.service {
        add(
            "service",
            stored("services", route.and_then(|r| r.service_id.as_deref())),
        );
    }
    if with.consumer {
        add("consumer", consumer(ex));
    }
    json!({ "input": input })
}

fn request(ex: &Exchange<'_>) -> Value {
    let head = ex.session.req_header();
    let mut headers = Map::new();
    for (name, value) in &head.headers {
        put(&mut headers, name.as_str(), text(value.as_bytes()));
    }
    json!({
        "scheme": if ex.request.tls { "https" } else { "http" },
        "method": head.method.as_str(),
        "host": &*ex.request.host,
        "port": ex.request.server.port(),
        "path": ex.request.path(head),
        "headers": headers,
        "query": query(ex.request.query(head).unwrap_or_default()),
    })
}

fn connection(ex: &Exchange<'_>) -> Value {
    let (client, server) = (ex.request.client, ex.request.server);
    let now = ex.request.started_at.duration_since(UNIX_EPOCH);
    json!({
        "server_addr": server.ip().to_string(),
        "server_port": server.port().to_string(),
        "remote_addr": client.ip().to_string(),
        "remote_port": client.port().to_string(),
        "timestamp": now.map_or(0, |since| since.as_secs()),
    })
}

fn consumer(ex: &Exchange<'_>) -> Option<Value> {
    let identity = ex.request.identity.as_ref()?;
    let consumer = &identity.consumer;
    let credential = identity.credential.as_ref().and_then(|id| id.to_str().ok());
    let mut known = json!({
        "username": &*consumer.username,
        "consumer_name": &*consumer.username,
        "labels": consumer.labels,
        "group_id": consumer.group_id.as_deref(),
        "credential_id": credential,
    });
    if let Some(members) = known.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    Some(known)
}

/// Arguments, decoded; one without `=` is `true`.
fn query(query: &[u8]) -> Map<String, Value> {
    let mut arguments = Map::new();
    for part in query.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        let at = memchr::memchr(b'=', part).unwrap_or(part.len());
        let (name, value) = part.split_at_checked(at).unwrap_or((part, b""));
        let value = value.strip_prefix(b"=").map_or(Value::Bool(true), decoded);
        if let Value::String(name) = decoded(name)
            && !name.is_empty()
        {
            put(&mut arguments, &name, value);
        }
    }
    arguments
}

fn decoded(written: &[u8]) -> Value {
    let spaced = written.iter().map(|&b| if b == b'+' { b' ' } else { b });
    let spaced: Vec<u8> = spaced.collect();
    text(&percent_decode(&spaced).collect::<Vec<u8>>())
}

/// JSON has no bytes: what is not UTF-8 is shown as U+FFFD.
fn text(bytes: &[u8]) -> Value {
    Value::String(String::from_utf8_lossy(bytes).into_owned())
}

/// One value is itself, several are an array.
fn put(map: &mut Map<String, Value>, name: &str, value: Value) {
    match map.get_mut(name) {
        None => drop(map.insert(name.to_owned(), value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => *first = Value::Array(vec![first.take(), value]),
    }
}
