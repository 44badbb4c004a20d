//! A whole configuration in one document: lists of items by kind, credentials among consumers, as the standalone
//! dialect and bulk validation take it. Pure.

use std::collections::HashMap;

use axum::http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::{Map, Value};

use super::{body, error::Failure, judge::object, write::named};
use crate::model::{Id, IdShape, Kind, ResourceKey};

/// An item of a list.
pub(super) struct Item {
    /// The list that it stands in: `consumers` also for credentials.
    pub(super) section: Kind,
    /// Its place in it, from 0.
    pub(super) index: usize,
    /// Its id as it was written.
    pub(super) id: Value,
    /// Its key and its document as it would be stored, or why it is none.
    pub(super) read: Result<(ResourceKey, Value), String>,
}

/// The kinds that have a list of their own.
pub(super) fn sections() -> impl Iterator<Item = Kind> {
    Kind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.owner().is_none())
}

/// Reads a configuration: YAML if the Content-Type says so, else JSON.
///
/// # Errors
/// 400 when it is neither, or no object.
pub(super) fn parse(headers: &HeaderMap, text: &[u8]) -> Result<Map<String, Value>, Failure> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let is_yaml = content_type.is_some_and(|found| found.starts_with(b"application/yaml"));
    let whole = if is_yaml && !text.is_empty() {
        serde_saphyr::from_slice(text).map_err(|error| {
            // Its first line: what follows would show the document, which may hold secrets.
            let error = error.without_snippet().to_string();
            let line = error.lines().next().unwrap_or_default().to_owned();
            Failure::bad(format!("invalid request body: {line}"))
        })?
    } else {
        body::parse(text, "invalid request body: empty request body")?
    };
    let whole = object(whole)?;
    if whole
        .get("plugins")
        .is_some_and(|plugins| !plugins.is_null())
    {
        return Err(Failure::bad(
            "plugins: which plugins are enabled is part of the gateway's settings and cannot be set here",
        ));
    }
    Ok(whole)
}

/// The items of one list, each for itself; an id that stands there twice is wrong where it stands again.
///
/// # Errors
/// 400: it is no list.
pub(super) fn items(section: Kind, list: Option<Value>) -> Result<Vec<Item>, Failure> {
    let list = match list {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        // What an empty list is in Lua.
        Some(Value::Object(fields)) if fields.is_empty() => return Ok(Vec::new()),
        Some(_) => {
            return Err(Failure::bad(format!("{}: expected a list", section.path())));
        }
    };
    let mut seen: HashMap<ResourceKey, usize> = HashMap::new();
    let read = list.into_iter().enumerate().map(|(index, value)| {
        let id = value.get("id").or_else(|| value.get(section.id_field()));
        let id = id.cloned().unwrap_or_default();
        let mut read = item(section, index, value);
        if let Ok((key, _)) = &read
            && seen.insert(key.clone(), index).is_some()
        {
            read = Err(format!(
                "found duplicate id {} in {}",
                key.id,
                section.path()
            ));
        }
        Item {
            section,
            index,
            id,
            read,
        }
    });
    Ok(read.collect())
}

fn item(section: Kind, index: usize, value: Value) -> Result<(ResourceKey, Value), String> {
    let mut fields = object(value).map_err(|failure| failure.message())?;
    if let Some(modified) = fields.remove("modifiedIndex")
        && !modified.is_number()
    {
        return Err("modifiedIndex: expected a number".to_owned());
    }
    let text = |name: &str| fields.get(name).and_then(Value::as_str);
    let key = match (section.id_shape(), text("id")) {
        (IdShape::Username, Some(id)) if id.contains("/credentials/") => {
            ResourceKey::new(Kind::Credential, id)
        }
        (IdShape::Username, _) => {
            let name = text(section.id_field())
                .ok_or_else(|| format!("property \"{}\" is required", section.id_field()))?;
            ResourceKey::new(section, name)
        }
        (IdShape::Plain, _) if section != Kind::PluginMetadata => match fields.get("id") {
            // As APISIX calls what has no name.
            None => ResourceKey::new(section, &format!("arr_{}", index.saturating_add(1))),
            Some(id) => {
                Id::from_value(IdShape::Plain, id).map(|id| ResourceKey { kind: section, id })
            }
        },
        (_, Some(id)) => ResourceKey::new(section, id),
        (_, None) => return Err("property \"id\" is required".to_owned()),
    };
    let key = key.map_err(|error| format!("property \"id\" validation failed: {error}"))?;
    let document = Value::Object(named(&key, fields));
    Ok((key, document))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(section: Kind, list: Value) -> Vec<Result<(String, Value), String>> {
        let items = items(section, Some(list)).unwrap().into_iter();
        items
            .map(|item| item.read.map(|(key, value)| (key.to_string(), value)))
            .collect()
    }

    #[test]
    fn items_know_their_keys() {
        let routes = read(
            Kind::Route,
            json!([{"id": 1, "modifiedIndex": 7}, {"uri": "/"}, {"id": "1"}, 5, {"id": "a b"}]),
        );
        assert_eq!(routes[0], Ok(("routes/1".into(), json!({"id": "1"}))));
        assert_eq!(
            routes[1],
            Ok(("routes/arr_2".into(), json!({"id": "arr_2", "uri": "/"})))
        );
        assert_eq!(routes[2], Err("found duplicate id 1 in routes".into()));
        assert!(routes[3].is_err() && routes[4].is_err());

        let consumers = read(
            Kind::Consumer,
            json!([{"username": "jack"}, {"id": "jack/credentials/a", "plugins": {}}, {"id": "x"}]),
        );
        assert_eq!(
            consumers[0],
            Ok(("consumers/jack".into(), json!({"username": "jack"})))
        );
        assert_eq!(
            consumers[1],
            Ok((
                "consumers/jack/credentials/a".into(),
                json!({"id": "a", "plugins": {}})
            ))
        );
        assert!(consumers[2].is_err());

        let secrets = read(Kind::Secret, json!([{"id": "vault/1"}, {"id": "1"}]));
        assert_eq!(
            secrets[0],
            Ok(("secrets/vault/1".into(), json!({"id": "1"})))
        );
        assert!(secrets[1].is_err());
        let metadata = read(Kind::PluginMetadata, json!([{"id": "cors"}, {}]));
        assert_eq!(
            metadata[0],
            Ok(("plugin_metadata/cors".into(), json!({"id": "cors"})))
        );
        assert!(metadata[1].is_err());
    }

    #[test]
    fn a_section_is_a_list() {
        assert!(items(Kind::Route, None).unwrap().is_empty());
        assert!(items(Kind::Route, Some(json!({}))).unwrap().is_empty());
        assert!(items(Kind::Route, Some(json!({"a": 1}))).is_err());
        assert!(items(Kind::Route, Some(json!("x"))).is_err());
    }

    #[test]
    fn yaml_is_taken_where_it_is_announced() {
        let mut headers = HeaderMap::new();
        let yaml = b"routes:\n  - id: 1\n    uri: /a\n";
        assert!(parse(&headers, yaml).is_err());
        headers.insert(
            CONTENT_TYPE,
            "application/yaml; charset=utf-8".parse().unwrap(),
        );
        let whole = Value::Object(parse(&headers, yaml).unwrap());
        assert_eq!(whole, json!({"routes": [{"id": 1, "uri": "/a"}]}));
        assert!(parse(&headers, b"a: [").is_err());
    }
}
