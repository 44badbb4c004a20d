//! Settings of the access log and of the gateway's own log.

use super::value::LogTarget;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One line for each request.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLog {
    /// Whether requests are logged.
    #[schemars(extend("x-applies" = "live"))]
    pub enabled: bool,
    /// A file, or `stdout`, `stderr`, `off`. A file that was moved away is opened anew within a second or so, and on
    /// SIGHUP or SIGUSR1.
    #[schemars(extend("x-applies" = "live"))]
    pub path: LogTarget,
    /// Lines by `access_log.template`, or JSON objects by `access_log.fields`.
    #[schemars(extend("x-applies" = "live"))]
    pub format: LogFormat,
    /// A line of the format `text`, with `$variables`. What a client sent is escaped as nginx does (`\x22`); a variable that
    /// the request lacks is `-`.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-applies" = "live"))]
    pub template: String,
    /// The members of a line of the format `json`: name and template. A member whose variables the request lacks is left out.
    #[schemars(extend("x-applies" = "live"))]
    pub fields: BTreeMap<String, String>,
    /// Lines that may wait to be written, for each thread. When it is full, lines are dropped and counted
    /// (`access_log_dropped_total`): logging never slows requests down.
    #[schemars(range(min = 16, max = 1_048_576))]
    #[schemars(extend("x-applies" = "live"))]
    pub queue: usize,
}

/// The line that APISIX writes by default.
const TEMPLATE: &str = "$remote_addr - $remote_user [$time_local] $http_host \"$request\" $status \
    $body_bytes_sent $request_time \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status \
    $upstream_response_time \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\"";

const FIELDS: [(&str, &str); 18] = [
    ("time", "$time_iso8601"),
    ("remote_addr", "$remote_addr"),
    ("remote_user", "$remote_user"),
    ("host", "$http_host"),
    ("method", "$request_method"),
    ("uri", "$real_request_uri"),
    ("protocol", "$server_protocol"),
    ("status", "$status"),
    ("body_bytes_sent", "$body_bytes_sent"),
    ("request_time", "$request_time"),
    ("referer", "$http_referer"),
    ("user_agent", "$http_user_agent"),
    ("upstream_addr", "$upstream_addr"),
    ("upstream_status", "$upstream_status"),
    ("upstream_response_time", "$upstream_response_time"),
    ("route_id", "$route_id"),
    ("consumer", "$consumer_name"),
    ("request_id", "$request_id"),
];

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            enabled: true,
            path: LogTarget::Stdout,
            format: LogFormat::Text,
            template: TEMPLATE.to_owned(),
            fields: FIELDS
                .map(|(name, template)| (name.to_owned(), template.to_owned()))
                .into(),
            queue: 8192,
        }
    }
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the gateway says of itself, on standard error.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// What is worth a line. The environment variable `RUST_LOG` takes precedence and can tell modules apart.
    #[schemars(extend("x-applies" = "live"))]
    pub level: LogLevel,
    /// The shape of the lines.
    #[schemars(extend("x-applies" = "restart"))]
    pub format: LogFormat,
}

/// What is worth a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What needs somebody's attention.
    Error,
    /// What is probably wrong.
    Warn,
    /// What the gateway does: changes of configuration, of health, of its own state.
    #[default]
    Info,
    /// How it does it.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
