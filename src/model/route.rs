//! Routes: which requests, and what becomes of them.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Id, Labels, Plugins, Status, Timeout, Upstream, number, problem::Problem, schema, source,
    status, upstream,
};

/// A route.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Its id, as the document says it.
    pub id: Option<Id>,
    /// Name for people.
    pub name: Option<String>,
    /// What it is for.
    pub desc: Option<String>,
    /// Labels.
    #[serde(default)]
    pub labels: Labels,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub create_time: Option<i64>,
    /// Unix seconds.
    #[serde(default, deserialize_with = "number::optional")]
    pub update_time: Option<i64>,
    /// The path pattern, if there is one; see [`Route::uris`].
    pub uri: Option<String>,
    /// The path patterns, if there are several.
    pub uris: Option<Vec<String>>,
    /// Higher first, among routes with the same path pattern. Default 0.
    #[serde(default, deserialize_with = "number::required")]
    pub priority: i64,
    /// Methods; empty means any.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// The host, if there is one; see [`Route::hosts`].
    pub host: Option<String>,
    /// The hosts, if there are several.
    pub hosts: Option<Vec<String>>,
    /// The client network, if there is one; see [`Route::remote_addrs`].
    #[serde(default, deserialize_with = "source::optional")]
    pub remote_addr: Option<IpNet>,
    /// The client networks, if there are several.
    #[serde(default, deserialize_with = "source::optional_list")]
    pub remote_addrs: Option<Vec<IpNet>>,
    /// The expression that a request must meet, not yet compiled.
    pub vars: Option<Value>,
    /// Plugin configurations by plugin name.
    #[serde(default)]
    pub plugins: Plugins,
    /// The plugin config to merge.
    pub plugin_config_id: Option<Id>,
    /// The inline upstream; `upstream_id` wins over it.
    pub upstream: Option<Upstream>,
    /// The upstream to use.
    pub upstream_id: Option<Id>,
    /// The service to inherit from.
    pub service_id: Option<Id>,
    /// Time limits; they win over the upstream's.
    pub timeout: Option<Timeout>,
    /// Whether upgrades to WebSocket pass; `None` leaves it to the service.
    pub enable_websocket: Option<bool>,
    /// Whether it is served. Default yes.
    #[serde(default)]
    pub status: Status,
}

impl Route {
    /// The path patterns, whichever field holds them.
    pub fn uris(&self) -> &[String] {
        either(&self.uri, &self.uris)
    }

    /// The hosts, whichever field holds them; empty where the service's hosts apply, or any.
    pub fn hosts(&self) -> &[String] {
        either(&self.host, &self.hosts)
    }

    /// The client networks, whichever field holds them; empty means any.
    pub fn remote_addrs(&self) -> &[IpNet] {
        either(&self.remote_addr, &self.remote_addrs)
    }
}

/// The list, or the one value as a list.
fn either<'a, T>(one: &'a Option<T>, list: &'a Option<Vec<T>>) -> &'a [T] {
    match (list, one) {
        (Some(list), _) => list,
        (None, Some(one)) => std::slice::from_ref(one),
        (None, None) => &[],
    }
}

/// The methods that a route can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[allow(missing_docs)] // each is the method of that name
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
    Purge,
}

const METHODS: [(&str, Method); 10] = [
    ("GET", Method::Get),
    ("POST", Method::Post),
    ("PUT", Method::Put),
    ("DELETE", Method::Delete),
    ("PATCH", Method::Patch),
    ("HEAD", Method::Head),
    ("OPTIONS", Method::Options),
    ("CONNECT", Method::Connect),
    ("TRACE", Method::Trace),
    ("PURGE", Method::Purge),
];

impl Method {
    /// The method as it stands in a request line.
    pub fn as_str(self) -> &'static str {
        METHODS
            .iter()
            .find(|(_, method)| *method == self)
            .map_or("", |(name, _)| name)
    }
}

pub(super) fn schema() -> Value {
    let names: Vec<_> = METHODS.iter().map(|(name, _)| *name).collect();
    let uri = json!({
        "type": "string", "minLength": 1, "maxLength": 4096,
        "description": "Path pattern: `/exact`, or a prefix such as `/api/*`."
    });
    let client = schema::address("Client address, or network in CIDR form.");
    let own = [
        ("name", schema::name()),
        ("uri", uri.clone()),
        (
            "uris",
            schema::described(schema::set(uri, 1), "Path patterns, instead of `uri`."),
        ),
        (
            "priority",
            schema::with(
                schema::integer(),
                json!({
                    "default": 0,
                    "description": "Higher first, among routes with the same path pattern."
                }),
            ),
        ),
        (
            "methods",
            schema::described(
                schema::set(json!({"type": "string", "enum": names}), 0),
                "Methods; absent or empty means any.",
            ),
        ),
        (
            "host",
            schema::described(
                schema::host(),
                "Host, or a wildcard such as `*.example.com`.",
            ),
        ),
        (
            "hosts",
            schema::described(schema::set(schema::host(), 1), "Hosts, instead of `host`."),
        ),
        ("remote_addr", client.clone()),
        (
            "remote_addrs",
            schema::described(
                schema::set(client, 1),
                "Client networks, instead of `remote_addr`.",
            ),
        ),
        (
            "vars",
            json!({"type": "array", "description": "Expression over variables of the request."}),
        ),
        ("filter_func", schema::refused("A match condition in Lua.")),
        ("plugins", schema::plugins()),
        ("plugin_config_id", schema::id_of("plugin config")),
        ("script", schema::refused("A handler in Lua.")),
        ("script_id", schema::refused("A handler in Lua.")),
        ("upstream", upstream::schema()),
        ("upstream_id", schema::id_of("upstream")),
        ("service_id", schema::id_of("service")),
        ("timeout", schema::timeout()),
        (
            "enable_websocket",
            json!({"type": "boolean", "description": "Whether upgrades to WebSocket pass."}),
        ),
        ("status", status::schema()),
    ];
    schema::with(
        schema::object(
            own.into_iter()
                .chain(schema::stored())
                .chain(schema::annotations()),
        ),
        json!({
            "oneOf": [{"required": ["uri"]}, {"required": ["uris"]}],
            "anyOf": [
                {"required": ["plugins"]},
                {"required": ["upstream"]},
                {"required": ["upstream_id"]},
                {"required": ["service_id"]}
            ],
            "description": "Which requests, and what becomes of them."
        }),
    )
}

/// APISIX asks these before the schema.
pub(super) fn rules_first(document: &Value, problems: &mut Vec<Problem>) {
    for (one, list) in [("host", "hosts"), ("remote_addr", "remote_addrs")] {
        if document.get(one).is_some() && document.get(list).is_some() {
            let message = format!("only one of {one} or {list} is allowed");
            problems.push(Problem::verbatim(format!("/{list}"), message));
        }
    }
}

pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    source::rules(document.get("remote_addr"), "/remote_addr", problems);
    source::rules(document.get("remote_addrs"), "/remote_addrs", problems);
    upstream::inline_rules(document, problems);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::decode;

    #[test]
    fn one_or_several_read_the_same() {
        let one: Route = decode(&json!({
            "uri": "/a", "host": "a.com", "remote_addr": "10.0.0.1", "upstream_id": 1
        }))
        .unwrap();
        let several: Route = decode(&json!({
            "uris": ["/a"], "hosts": ["a.com"], "remote_addrs": ["10.0.0.1/32"], "upstream_id": "1"
        }))
        .unwrap();
        assert_eq!(one.uris(), ["/a"]);
        assert_eq!(one.uris(), several.uris());
        assert_eq!(one.hosts(), several.hosts());
        assert_eq!(one.remote_addrs(), several.remote_addrs());
        assert_eq!(one.upstream_id, several.upstream_id);
    }

    #[test]
    fn defaults_are_filled_in() {
        let route: Route = decode(&json!({"uri": "/", "plugins": {}})).unwrap();
        assert_eq!((route.priority, route.status), (0, Status::Enabled));
        assert!(route.methods.is_empty() && route.hosts().is_empty());
        assert_eq!(route.enable_websocket, None);
    }

    #[test]
    fn methods_have_their_names() {
        for (name, method) in METHODS {
            assert_eq!(method.as_str(), name);
            assert_eq!(
                serde_json::from_value::<Method>(json!(name)).unwrap(),
                method
            );
        }
    }
}
