//! Upstreams: nodes, and how to choose, reach and watch them. Also inline in routes, services and
//! stream routes.

use crossway_sdk::schema::member;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Checks, Id, Labels, Node, Timeout, health, node, number, pem, problem::Problem, schema,
};

/// An upstream. It has either `nodes` or `service_name` with `discovery_type`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
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
    /// The nodes, from either notation; `None` if they are discovered.
    #[serde(default, deserialize_with = "node::optional")]
    pub nodes: Option<Vec<Node>>,
    /// The balancer. Default `roundrobin`. Balancers register their own names, so any text may stand
    /// here; an unknown one is refused when the configuration is compiled.
    #[serde(default = "roundrobin")]
    pub r#type: String,
    /// What `chash` hashes. Default vars.
    #[serde(default)]
    pub hash_on: HashOn,
    /// The variable, header, cookie or template that `chash` hashes.
    pub key: Option<String>,
    /// The protocol towards the nodes. Default http.
    #[serde(default)]
    pub scheme: Scheme,
    /// Which host the nodes see. Default pass.
    #[serde(default)]
    pub pass_host: PassHost,
    /// The host for `pass_host: rewrite`.
    pub upstream_host: Option<String>,
    /// Tries after the first one; `None` stands for one less than there are nodes.
    #[serde(default, deserialize_with = "number::optional")]
    pub retries: Option<u32>,
    /// Seconds after which no further try is started; `None` or 0: no such limit.
    pub retry_timeout: Option<f64>,
    /// Time limits; `None` leaves them to the settings.
    pub timeout: Option<Timeout>,
    /// Idle connections; `None` leaves them to the settings.
    pub keepalive_pool: Option<KeepalivePool>,
    /// TLS towards the nodes.
    pub tls: Option<UpstreamTls>,
    /// The version of the PROXY protocol header that connections to the nodes begin with; `None` for no header. (APISIX
    /// has no such field.)
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Health checks; `None` takes every node for healthy.
    pub checks: Option<Checks>,
    /// The registry that knows the nodes of `service_name`.
    pub discovery_type: Option<String>,
    /// Arguments of the registry.
    pub discovery_args: Option<DiscoveryArgs>,
    /// The name in the registry.
    pub service_name: Option<String>,
}

fn roundrobin() -> String {
    "roundrobin".to_owned()
}

/// What `chash` hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HashOn {
    /// The variable named by `key`.
    #[default]
    Vars,
    /// The header named by `key`.
    Header,
    /// The cookie named by `key`.
    Cookie,
    /// The name of the consumer.
    Consumer,
    /// The template in `key`, such as `$remote_addr-$uri`.
    VarsCombinations,
}

/// The protocol towards the nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)] // each is the scheme of that name
pub enum Scheme {
    #[default]
    Http,
    Https,
    Grpc,
    Grpcs,
    Tcp,
    Tls,
    Udp,
    Kafka,
}

/// Which host the nodes see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassHost {
    /// That of the client.
    #[default]
    Pass,
    /// That of the node.
    Node,
    /// `upstream_host`.
    Rewrite,
}

/// Versions of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Idle connections to the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeepalivePool {
    /// Idle connections that are kept, at least 1. Default 320.
    #[serde(deserialize_with = "number::required")]
    pub size: u32,
    /// Seconds that an idle connection is kept. Default 60.
    pub idle_timeout: f64,
    /// Requests that a connection serves, at least 1. Default 1000.
    #[serde(deserialize_with = "number::required")]
    pub requests: u32,
}

impl Default for KeepalivePool {
    fn default() -> Self {
        Self {
            size: 320,
            idle_timeout: 60.0,
            requests: 1000,
        }
    }
}

/// TLS towards the nodes. The client certificate is given here or by `client_cert_id`, not both.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificate to show, as PEM or a reference to a secret.
    pub client_cert: Option<String>,
    /// Its private key, as PEM or a reference to a secret.
    pub client_key: Option<String>,
    /// The SSL resource (of type client) whose certificate to show.
    pub client_cert_id: Option<Id>,
    /// Whether the nodes' certificates must be valid; `None` means yes for https and grpcs. (APISIX
    /// does not verify unless told to.)
    pub verify: Option<bool>,
    /// The authorities that may have issued the nodes' certificates, each as PEM; `None` leaves them to the settings.
    pub ca_certs: Option<Vec<String>>,
}

/// Arguments of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryArgs {
    /// Namespace, for registries that have them.
    pub namespace_id: Option<String>,
    /// Group, for registries that have them.
    pub group_name: Option<String>,
}

pub(super) fn schema() -> Value {
    let own = [
        ("name", schema::name()),
        ("nodes", node::schema()),
        (
            "type",
            json!({
                "type": "string", "minLength": 1, "default": "roundrobin",
                "description": "Balancer: roundrobin, chash, ewma, least_conn, or one of a plugin."
            }),
        ),
        (
            "hash_on",
            schema::described(
                schema::one_of(
                    &["vars", "header", "cookie", "consumer", "vars_combinations"],
                    "vars",
                ),
                "What chash hashes.",
            ),
        ),
        (
            "key",
            schema::described(
                schema::string(),
                "Variable, header, cookie or template for chash.",
            ),
        ),
        (
            "scheme",
            schema::described(
                schema::one_of(
                    &[
                        "http", "https", "grpc", "grpcs", "tcp", "tls", "udp", "kafka",
                    ],
                    "http",
                ),
                "Protocol towards the nodes.",
            ),
        ),
        (
            "pass_host",
            schema::described(
                schema::one_of(&["pass", "node", "rewrite"], "pass"),
                "Host that the nodes see: the client's, the node's, or `upstream_host`.",
            ),
        ),
        (
            "upstream_host",
            schema::described(schema::host(), "Host for `pass_host: rewrite`."),
        ),
        (
            "retries",
            schema::described(
                schema::integer_from(0, u32::MAX.into()),
                "Tries after the first one; by default one less than there are nodes.",
            ),
        ),
        (
            "retry_timeout",
            schema::described(
                schema::seconds(),
                "Seconds after which no try is started; 0 is off.",
            ),
        ),
        ("timeout", schema::timeout()),
        ("keepalive_pool", keepalive_pool()),
        ("tls", tls()),
        (
            "proxy_protocol",
            json!({
                "type": "string", "enum": ["v1", "v2"],
                "description": "PROXY protocol header that connections to the nodes begin with, to tell who the client is."
            }),
        ),
        ("checks", health::schema()),
        (
            "discovery_type",
            schema::described(schema::string(), "Registry that knows the nodes."),
        ),
        (
            "discovery_args",
            schema::object([
                ("namespace_id", schema::string()),
                ("group_name", schema::string()),
            ]),
        ),
        (
            "service_name",
            json!({
                "type": "string", "minLength": 1, "maxLength": 256,
                "description": "Name in the registry."
            }),
        ),
    ];
    schema::with(
        schema::object(
            own.into_iter()
                .chain(schema::stored())
                .chain(schema::annotations()),
        ),
        json!({
            "oneOf": [{"required": ["nodes"]}, {"required": ["service_name", "discovery_type"]}],
            "description": "Servers, and how to choose, reach and watch them."
        }),
    )
}

fn keepalive_pool() -> Value {
    let default = KeepalivePool::default();
    let count = |default: u32, description: &str| {
        schema::with(
            schema::integer_from(1, u32::MAX.into()),
            json!({"default": default, "description": description}),
        )
    };
    schema::object([
        (
            "size",
            count(default.size, "Idle connections that are kept."),
        ),
        (
            "idle_timeout",
            schema::with(
                schema::seconds(),
                json!({"default": 60, "description": "Seconds that an idle connection is kept."}),
            ),
        ),
        (
            "requests",
            count(default.requests, "Requests that a connection serves."),
        ),
    ])
}

fn tls() -> Value {
    let fields = schema::object([
        ("client_cert", schema::pem(128, "Client certificate.")),
        ("client_key", schema::pem(64, "Its private key.")),
        (
            "client_cert_id",
            schema::id_of("SSL resource of type client"),
        ),
        (
            "verify",
            json!({
                "type": "boolean",
                "description": "Whether certificates must be valid; by default yes for https and grpcs."
            }),
        ),
        (
            "ca_certs",
            json!({
                "type": "array", "minItems": 1,
                "items": schema::pem(128, "Certificates of authorities."),
                "description": "Authorities that may have issued the nodes' certificates."
            }),
        ),
    ]);
    schema::with(
        fields,
        json!({
            "dependencies": {"client_cert": ["client_key"], "client_key": ["client_cert"]},
            "allOf": [
                {"not": {"required": ["client_cert_id", "client_cert"]}},
                {"not": {"required": ["client_cert_id", "client_key"]}}
            ]
        }),
    )
}

/// Rules of an upstream that is a document of its own.
pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    rules_at(document, "", problems);
}

/// Rules of the inline upstream of a document, if it has one.
pub(super) fn inline_rules(document: &Value, problems: &mut Vec<Problem>) {
    if let Some(upstream) = document.get("upstream") {
        rules_at(upstream, "/upstream", problems);
    }
}

fn rules_at(upstream: &Value, at: &str, problems: &mut Vec<Problem>) {
    let text = |name: &str| upstream.get(name).and_then(Value::as_str);
    node::rules(upstream.get("nodes"), &member(at, "nodes"), problems);
    if text("pass_host") == Some("rewrite") && text("upstream_host").is_none_or(str::is_empty) {
        let message = "`upstream_host` can't be empty when `pass_host` is `rewrite`";
        problems.push(Problem::verbatim(member(at, "upstream_host"), message));
    }
    if text("type") == Some("chash") {
        hash_key_rules(
            text("hash_on").unwrap_or("vars"),
            text("key"),
            &member(at, "key"),
            problems,
        );
    }
    if let Some(tls) = upstream.get("tls") {
        let at = member(at, "tls");
        let cert = tls.get("client_cert");
        pem::rule(
            cert,
            &member(&at, "client_cert"),
            pem::certificates,
            "",
            problems,
        );
        pem::rule(
            tls.get("client_key"),
            &member(&at, "client_key"),
            pem::private_key,
            "",
            problems,
        );
        let authorities = tls.get("ca_certs").and_then(Value::as_array);
        for (index, authority) in authorities.into_iter().flatten().enumerate() {
            let at = format!("{at}/ca_certs/{index}");
            pem::rule(Some(authority), &at, pem::certificates, "", problems);
        }
    }
}

const HASH_VARIABLES: [&str; 10] = [
    "uri",
    "server_name",
    "server_addr",
    "request_uri",
    "remote_port",
    "remote_addr",
    "query_string",
    "host",
    "hostname",
    "mqtt_client_id",
];

fn hash_key_rules(hash_on: &str, key: Option<&str>, at: &str, problems: &mut Vec<Problem>) {
    if hash_on == "consumer" {
        return;
    }
    let Some(key) = key else {
        problems.push(Problem::verbatim(at, "missing key"));
        return;
    };
    let name = |text: &str| {
        let mut bytes = text.bytes();
        !text.is_empty() && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let expected = match hash_on {
        "vars" if HASH_VARIABLES.contains(&key) || key.strip_prefix("arg_").is_some_and(name) => {
            return;
        }
        "vars" => format!("one of {} or arg_*", HASH_VARIABLES.join(", ")),
        "header" | "cookie" if !name(key) => format!("the name of a {hash_on}"),
        _ => return,
    };
    problems.push(Problem::in_property(
        at,
        &format!("failed to match pattern: expected {expected}, got {key:?}"),
    ));
}
