//! Stream routes: which TCP, TLS or UDP sessions, and where they go.

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Id, Labels, Plugins, Problem, Upstream, number, schema, source, upstream};

/// A stream route.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRoute {
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
    /// The client's network; `None` means any.
    #[serde(default, deserialize_with = "source::optional")]
    pub remote_addr: Option<IpNet>,
    /// The address that the client reached; `None` means any.
    #[serde(default, deserialize_with = "source::optional")]
    pub server_addr: Option<IpNet>,
    /// The port that the client reached; `None` means any.
    #[serde(default, deserialize_with = "number::optional")]
    pub server_port: Option<u16>,
    /// The server name in the client's TLS hello; `None` means any.
    pub sni: Option<String>,
    /// The inline upstream; `upstream_id` wins over it.
    pub upstream: Option<Upstream>,
    /// The upstream to use.
    pub upstream_id: Option<Id>,
    /// The service to inherit from.
    pub service_id: Option<Id>,
    /// Plugin configurations by plugin name.
    #[serde(default)]
    pub plugins: Plugins,
    /// The protocol within the stream (xRPC).
    pub protocol: Option<StreamProtocol>,
}

/// The protocol within a stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamProtocol {
    /// Its name, such as `redis`.
    pub name: String,
    /// The stream route that this one refines.
    pub superior_id: Option<Id>,
    /// Configuration of the protocol.
    pub conf: Option<Value>,
    /// Loggers of single calls.
    #[serde(default)]
    pub logger: Vec<StreamLogger>,
}

/// A logger of the calls within a stream.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamLogger {
    /// Name of the logger plugin.
    pub name: Option<String>,
    /// Expression that a call must meet, not yet compiled.
    pub filter: Option<Value>,
    /// Configuration of the plugin.
    pub conf: Option<Value>,
}

pub(super) fn schema() -> Value {
    let own = [
        ("name", schema::name()),
        (
            "remote_addr",
            schema::address("Client address, or network in CIDR form."),
        ),
        (
            "server_addr",
            schema::address("Address that the client reached."),
        ),
        (
            "server_port",
            schema::described(schema::integer_from(1, 65535), "Port that it reached."),
        ),
        (
            "sni",
            schema::described(schema::host(), "Server name in the TLS hello."),
        ),
        ("upstream", upstream::schema()),
        ("upstream_id", schema::id_of("upstream")),
        ("service_id", schema::id_of("service")),
        ("plugins", schema::plugins()),
        ("protocol", protocol()),
    ];
    schema::object(
        own.into_iter()
            .chain(schema::stored())
            .chain(schema::annotations()),
    )
}

fn protocol() -> Value {
    let logger = schema::object([
        (
            "name",
            schema::described(schema::string(), "Name of the logger plugin."),
        ),
        (
            "filter",
            json!({"type": "array", "description": "Expression that a call must meet."}),
        ),
        (
            "conf",
            json!({"type": "object", "description": "Configuration of the plugin."}),
        ),
    ]);
    schema::with(
        schema::object([
            (
                "name",
                schema::described(schema::string(), "Name of the protocol, such as redis."),
            ),
            (
                "superior_id",
                schema::id_of("stream route that this one refines"),
            ),
            (
                "conf",
                json!({"type": "object", "description": "Configuration of the protocol."}),
            ),
            ("logger", json!({"type": "array", "items": logger})),
        ]),
        json!({"required": ["name"], "description": "Protocol within the stream (xRPC)."}),
    )
}

pub(super) fn rules(document: &Value, problems: &mut Vec<Problem>) {
    source::rules(document.get("remote_addr"), "/remote_addr", problems);
    source::rules(document.get("server_addr"), "/server_addr", problems);
    upstream::inline_rules(document, problems);
}
