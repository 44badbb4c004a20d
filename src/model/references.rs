//! Which other documents a document refers to.

use crossway_sdk::schema::member;
use serde_json::Value;

use super::{
    id::Id,
    kind::{IdShape, Kind},
    secret_reference::{SecretReference, secret_texts},
};

/// One reference from a document to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The kind of the other document.
    pub kind: Kind,
    /// Its id.
    pub id: Id,
    /// Where the reference stands: a JSON pointer such as `/upstream_id`.
    pub path: String,
}

impl Reference {
    /// What APISIX says when the other document does not exist.
    pub fn missing(&self) -> String {
        let (what, by) = match self.kind {
            Kind::StreamRoute if self.path == "/protocol/superior_id" => {
                ("superior stream route", "superior")
            }
            kind => (kind.label(), kind.label()),
        };
        format!(
            "failed to fetch {what} info by {by} id [{}], response code: 404",
            self.id
        )
    }
}

/// All references of a document, in the order: fields, then plugins by name. An id that is none is
/// left to [`check`](super::check()).
///
/// Fields: `upstream_id`, `service_id`, `plugin_config_id`, `group_id`, `protocol.superior_id` and
/// `tls.client_cert_id` (of an upstream, also an inline one). Plugins: the upstreams of `traffic-split`
/// and the `proto_id` of `grpc-transcode`. Last the secret managers of `$secret://` in plugins and certificates.
pub fn references(kind: Kind, document: &Value) -> Vec<Reference> {
    let row = kind.row();
    let mut found = Vec::new();
    for (pointer, target) in row.refers {
        add(
            *target,
            document.pointer(pointer),
            (*pointer).to_owned(),
            &mut found,
        );
    }
    if row.plugins
        && let Some(Value::Object(plugins)) = document.get("plugins")
    {
        for (name, config) in plugins {
            let at = member("/plugins", name);
            match name.as_str() {
                "traffic-split" => traffic_split(config, &at, &mut found),
                "grpc-transcode" => {
                    add(
                        Kind::Proto,
                        config.get("proto_id"),
                        format!("{at}/proto_id"),
                        &mut found,
                    );
                }
                _ => {}
            }
        }
    }
    for (path, text) in secret_texts(kind, document) {
        if let Some(Ok(SecretReference::Managed { manager: id, .. })) = SecretReference::parse(text)
        {
            let kind = Kind::Secret;
            found.push(Reference { kind, id, path });
        }
    }
    found
}

fn traffic_split(config: &Value, at: &str, found: &mut Vec<Reference>) {
    for (rule_index, rule) in items(config.get("rules")) {
        for (index, entry) in items(rule.get("weighted_upstreams")) {
            let path = format!("{at}/rules/{rule_index}/weighted_upstreams/{index}/upstream_id");
            add(Kind::Upstream, entry.get("upstream_id"), path, found);
        }
    }
}

fn items(list: Option<&Value>) -> impl Iterator<Item = (usize, &Value)> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .enumerate()
}

fn add(kind: Kind, id: Option<&Value>, path: String, found: &mut Vec<Reference>) {
    if let Some(id) = id.and_then(|id| Id::from_value(IdShape::Plain, id).ok()) {
        found.push(Reference { kind, id, path });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(kind: Kind, document: &Value) -> Vec<(Kind, String, String)> {
        let list = references(kind, document).into_iter();
        list.map(|r| (r.kind, r.id.to_string(), r.path)).collect()
    }

    #[test]
    fn a_route_refers_by_field_and_by_plugin() {
        let document = json!({
            "uri": "/",
            "upstream_id": 7,
            "service_id": "s",
            "plugin_config_id": "p",
            "upstream": {"tls": {"client_cert_id": "c"}},
            "plugins": {
                "traffic-split": {"rules": [
                    {"weighted_upstreams": [{"weight": 1}, {"upstream_id": "u"}]},
                    {"weighted_upstreams": [{"upstream_id": 8}]}
                ]},
                "grpc-transcode": {"proto_id": "g"}
            }
        });
        let path = "/plugins/traffic-split/rules";
        assert_eq!(
            found(Kind::Route, &document),
            [
                (Kind::Upstream, "7".into(), "/upstream_id".into()),
                (Kind::Service, "s".into(), "/service_id".into()),
                (Kind::PluginConfig, "p".into(), "/plugin_config_id".into()),
                (Kind::Ssl, "c".into(), "/upstream/tls/client_cert_id".into()),
                (
                    Kind::Proto,
                    "g".into(),
                    "/plugins/grpc-transcode/proto_id".into()
                ),
                (
                    Kind::Upstream,
                    "u".into(),
                    format!("{path}/0/weighted_upstreams/1/upstream_id")
                ),
                (
                    Kind::Upstream,
                    "8".into(),
                    format!("{path}/1/weighted_upstreams/0/upstream_id")
                ),
            ]
        );
    }

    #[test]
    fn the_other_kinds_refer_by_their_own_fields() {
        let cases = [
            (
                Kind::Service,
                json!({"upstream_id": "1"}),
                Kind::Upstream,
                "/upstream_id",
            ),
            (
                Kind::Upstream,
                json!({"tls": {"client_cert_id": "1"}}),
                Kind::Ssl,
                "/tls/client_cert_id",
            ),
            (
                Kind::Consumer,
                json!({"group_id": "1"}),
                Kind::ConsumerGroup,
                "/group_id",
            ),
            (
                Kind::StreamRoute,
                json!({"protocol": {"superior_id": 1}}),
                Kind::StreamRoute,
                "/protocol/superior_id",
            ),
        ];
        for (kind, document, target, path) in cases {
            assert_eq!(
                found(kind, &document),
                [(target, "1".to_owned(), path.to_owned())]
            );
        }
    }

    /// The metadata of a plugin may well have a field of that name.
    #[test]
    fn what_is_no_reference_is_not_taken_for_one() {
        let plugins = json!({"plugins": {"grpc-transcode": {"proto_id": "1"}}});
        assert_eq!(references(Kind::PluginMetadata, &plugins), []);
        assert_eq!(references(Kind::Consumer, &json!({"upstream_id": "1"})), []);
        assert_eq!(
            references(Kind::Route, &json!({"upstream_id": "no id"})),
            []
        );
    }
}
