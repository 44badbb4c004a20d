//! The Admin API described in OpenAPI 3.1, made from the table of kinds and the registry of plugins.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, answer::Answer, plugins::with_meta};
use crate::model::{Kind, Verbs};

impl Admin {
    /// `/openapi.json`.
    pub(super) fn openapi(&self) -> Answer {
        let mut schemas = fixed_schemas();
        let mut paths = fixed_paths();
        for kind in Kind::ALL {
            schemas.insert(kind.singular().to_owned(), embedded(kind.schema()));
            add_kind(*kind, &mut paths);
        }
        self.registry(|registry| {
            for plugin in registry.iter() {
                let mut put = |suffix: &str, schema: &Value| {
                    let name = format!("plugin.{}{suffix}", plugin.name);
                    schemas.insert(name, rebased(plugin.name, suffix, schema));
                };
                put("", &with_meta(plugin.schema().clone()));
                if let Some(schema) = plugin.credential_schema() {
                    put(".consumer", schema);
                }
                if let Some(schema) = plugin.metadata_schema() {
                    put(".metadata", schema);
                }
            }
        });
        let document = json!({
            "openapi": "3.1.0",
            "jsonSchemaDialect": "http://json-schema.org/draft-07/schema#",
            "info": {
                "title": "Crossway Admin API",
                "version": env!("CARGO_PKG_VERSION"),
                "description": "Configures the gateway. The shape is that of Apache APISIX's Admin API, version 3."
            },
            "servers": [{"url": "/apisix/admin"}],
            "security": [{"header": []}, {"query": []}, {"cookie": []}],
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "header": {"type": "apiKey", "in": "header", "name": "X-API-KEY"},
                    "query": {"type": "apiKey", "in": "query", "name": "api_key"},
                    "cookie": {"type": "apiKey", "in": "cookie", "name": "x_api_key"}
                }
            }
        });
        Answer::json(StatusCode::OK, &document)
    }
}

/// A schema as a part of this document, which says the dialect once for all.
fn embedded(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(fields) = &mut schema {
        fields.remove("$schema");
    }
    schema
}

/// A plugin's schema whose own definitions are found where it stands now.
fn rebased(plugin: &str, suffix: &str, schema: &Value) -> Value {
    let mut schema = embedded(schema);
    rebase(
        &mut schema,
        &format!("#/components/schemas/plugin.{plugin}{suffix}"),
    );
    schema
}

fn rebase(schema: &mut Value, base: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(local) = target.strip_prefix('#')
            {
                *target = format!("{base}{local}");
            }
            fields.values_mut().for_each(|value| rebase(value, base));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| rebase(value, base)),
        _ => {}
    }
}

/// The paths of one kind: its list, one document, and a part of one.
fn add_kind(kind: Kind, paths: &mut Map<String, Value>) {
    let (base, mut scope) = match kind {
        Kind::Credential => (
            "/consumers/{username}/credentials".to_owned(),
            vec![parameter("username", "path", "Name of the consumer.")],
        ),
        Kind::Secret => (
            "/secrets/{manager}".to_owned(),
            vec![parameter("manager", "path", "vault, aws or gcp.")],
        ),
        kind => (format!("/{}", kind.path()), Vec::new()),
    };
    let mut list = Map::new();
    let mut one = Map::new();
    let verbs = [
        (Verbs::LIST, "get", true),
        (Verbs::POST, "post", true),
        (Verbs::GET, "get", false),
        (Verbs::PUT, "put", false),
        (Verbs::PATCH, "patch", false),
        (Verbs::DELETE, "delete", false),
    ];
    for (verb, method, in_list) in verbs {
        if kind.verbs().contains(verb) {
            let path = if in_list { &mut list } else { &mut one };
            path.insert(method.to_owned(), operation(kind, verb));
        }
    }
    if !kind.put_needs_id() {
        list.insert("put".to_owned(), operation(kind, Verbs::PUT));
    }
    if !scope.is_empty() {
        list.insert("parameters".to_owned(), scope.clone().into());
    }
    paths.insert(base.clone(), list.into());
    scope.push(parameter("id", "path", "Which one."));
    one.insert("parameters".to_owned(), scope.clone().into());
    paths.insert(format!("{base}/{{id}}"), one.into());
    if kind.verbs().contains(Verbs::PATCH) {
        scope.push(parameter(
            "path",
            "path",
            "Names from the document inwards, with slashes between them.",
        ));
        let mut replace = operation(kind, Verbs::PATCH);
        if let Some(fields) = replace.as_object_mut() {
            let summary = format!("Replaces a part of a {}", kind.label());
            fields.insert("summary".to_owned(), summary.into());
            fields.insert("requestBody".to_owned(), body(json!({})));
        }
        let part = json!({"parameters": scope, "patch": replace});
        paths.insert(format!("{base}/{{id}}/{{path}}"), part);
    }
}

fn operation(kind: Kind, verb: Verbs) -> Value {
    let label = kind.label();
    let own = json!({"$ref": format!("#/components/schemas/{}", kind.singular())});
    let ttl = parameter(
        "ttl",
        "query",
        "Deletes the document after so many seconds.",
    );
    let written = || envelope(&own, false);
    let (summary, parameters, request, responses) = match verb {
        Verbs::LIST => (
            format!("Lists documents of the kind {label}"),
            list_parameters(kind),
            None,
            json!({"200": answer("The documents.", json!({
                "type": "object",
                "required": ["list", "total"],
                "properties": {
                    "list": {"type": "array", "items": envelope(&own, true)},
                    "total": {"type": "integer"}
                }
            }))}),
        ),
        Verbs::GET => (
            format!("Reads a {label}"),
            Vec::new(),
            None,
            json!({"200": answer("The document.", envelope(&own, true)), "404": failure()}),
        ),
        Verbs::DELETE => (
            format!("Deletes a {label}"),
            vec![parameter(
                "force",
                "query",
                "`true` deletes it although others refer to it.",
            )],
            None,
            json!({"200": answer("It is gone.", json!({
                "type": "object",
                "properties": {"deleted": {"const": "1"}, "key": {"type": "string"}}
            })), "400": failure(), "404": failure()}),
        ),
        Verbs::PATCH => (
            format!("Merges a change into a {label}"),
            vec![ttl],
            Some(body(json!({"type": "object"}))),
            json!({"200": answer("The changed document.", written()), "400": failure(), "404": failure(), "503": failure()}),
        ),
        Verbs::POST => (
            format!("Creates a {label} under a new id"),
            vec![ttl],
            Some(body(own.clone())),
            json!({"201": answer("The new document.", written()), "400": failure()}),
        ),
        _ => (
            format!("Creates or replaces a {label}"),
            vec![ttl],
            Some(body(own.clone())),
            json!({"200": answer("The replaced document.", written()), "201": answer("The new document.", written()), "400": failure()}),
        ),
    };
    let mut operation = json!({
        "tags": [kind.path()],
        "summary": summary,
        "responses": responses,
    });
    if let Value::Object(fields) = &mut operation {
        if !parameters.is_empty() {
            fields.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(request) = request {
            fields.insert("requestBody".to_owned(), request);
        }
    }
    operation
}

fn list_parameters(kind: Kind) -> Vec<Value> {
    let mut all = vec![
        parameter("page", "query", "Page, from 1; with page_size."),
        parameter("page_size", "query", "Documents on a page: 10 to 500."),
        parameter("name", "query", "Regular expression that the name matches."),
        parameter("label", "query", "Key of a label that is there."),
        parameter(
            "uri",
            "query",
            "Regular expression that uri or one of uris matches.",
        ),
    ];
    if matches!(kind, Kind::Route | Kind::StreamRoute) {
        all.push(parameter(
            "filter",
            "query",
            "Encoded query of service_id and upstream_id that are equal.",
        ));
    }
    all
}

fn parameter(name: &str, place: &str, description: &str) -> Value {
    json!({
        "name": name, "in": place, "required": place == "path",
        "description": description, "schema": {"type": "string"}
    })
}

fn body(schema: Value) -> Value {
    json!({"required": true, "content": {"application/json": {"schema": schema}}})
}

fn answer(description: &str, schema: Value) -> Value {
    json!({"description": description, "content": {"application/json": {"schema": schema}}})
}

fn failure() -> Value {
    answer("Why not.", json!({"$ref": "#/components/schemas/failure"}))
}

/// A document with its key, and with its place in the order of changes.
fn envelope(own: &Value, indexed: bool) -> Value {
    let mut properties = json!({"key": {"type": "string"}, "value": own});
    if let (true, Value::Object(fields)) = (indexed, &mut properties) {
        for name in ["createdIndex", "modifiedIndex"] {
            fields.insert(name.to_owned(), json!({"type": "integer"}));
        }
    }
    json!({"type": "object", "properties": properties})
}

fn fixed_schemas() -> Map<String, Value> {
    let failure = json!({
        "type": "object",
        "properties": {
            "error_msg": {"type": "string"}, "message": {"type": "string"},
            "description": {"type": "string"}, "req_body": {"type": "string"}
        }
    });
    let lists = super::sections::sections().map(|kind| {
        let items = json!({"type": "array", "items": {"type": "object"}});
        (kind.path().to_owned(), items)
    });
    let configs = json!({
        "type": "object",
        "description": "Lists by kind; credentials stand among consumers with the id {username}/credentials/{id}. \
                        <kind>_conf_version is the version of a list.",
        "properties": lists.collect::<Map<String, Value>>(),
    });
    Map::from_iter([
        ("failure".to_owned(), failure),
        ("configs".to_owned(), configs),
    ])
}

/// What is not CRUD.
fn fixed_paths() -> Map<String, Value> {
    let configs = || json!({"$ref": "#/components/schemas/configs"});
    let any = || json!({});
    let name = || json!([parameter("name", "path", "Which one.")]);
    let digest = json!({
        "name": "X-Digest", "in": "header", "required": true,
        "description": "Of the document; the same one again changes nothing.", "schema": {"type": "string"}
    });
    let paths = json!({
        "/configs": {
            "get": {"tags": ["configs"], "summary": "Reads the whole configuration",
                    "responses": {"200": answer("The configuration.", configs())}},
            "put": {"tags": ["configs"], "summary": "Replaces the whole configuration in one transaction",
                    "parameters": [digest], "requestBody": body(configs()),
                    "responses": {"202": {"description": "It serves."}, "204": {"description": "It served already."}, "400": failure()}}
        },
        "/configs/validate": {"post": {
            "tags": ["configs"], "summary": "Judges a whole configuration and names every problem",
            "requestBody": body(configs()), "responses": {"200": answer("It is good.", any()), "400": failure()}}},
        "/schema/{name}": {"parameters": name(), "get": {
            "tags": ["schema"], "summary": "Reads the schema of a kind",
            "responses": {"200": answer("JSON schema, draft-07.", any()), "400": failure()}}},
        "/schema/plugins/{name}": {"parameters": name(), "get": {
            "tags": ["schema"], "summary": "Reads a schema of a plugin",
            "parameters": [parameter("schema_type", "query", "`consumer` or `metadata`; else that of its configuration.")],
            "responses": {"200": answer("JSON schema, draft-07.", any()), "400": failure()}}},
        "/schema/validate/{name}": {"parameters": name(), "post": {
            "tags": ["schema"], "summary": "Judges a document without its plugins and references",
            "requestBody": body(any()), "responses": {"200": {"description": "It is good."}, "400": failure()}}},
        "/plugins/list": {"get": {
            "tags": ["plugins"], "summary": "Lists plugins, those that run first first",
            "parameters": [parameter("subsystem", "query", "`http` or `stream`.")],
            "responses": {"200": answer("Names.", json!({"type": "array", "items": {"type": "string"}}))}}},
        "/plugins": {"get": {
            "tags": ["plugins"], "summary": "Reads everything about all plugins",
            "parameters": [parameter("all", "query", "`true`."), parameter("subsystem", "query", "`http` or `stream`.")],
            "responses": {"200": answer("By name.", json!({"type": "object"})), "400": failure()}}},
        "/plugins/{name}": {"parameters": name(), "get": {
            "tags": ["plugins"], "summary": "Reads a schema of a plugin",
            "responses": {"200": answer("JSON schema, draft-07.", any()), "404": failure()}}},
        "/plugins/reload": {"put": {
            "tags": ["plugins"], "summary": "Does nothing, at once: plugins are part of the program",
            "responses": {"200": {"description": "Done."}}}}
    });
    match paths {
        Value::Object(paths) => paths,
        _ => Map::new(),
    }
}
