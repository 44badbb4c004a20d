//! Configuration of `grpc-transcode`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Turns requests with JSON, forms or arguments into calls of a gRPC service, and its answers into JSON.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Id of the proto resource that describes the service.
    pub(crate) proto_id: Id,
    /// Full name of the service: `package.Service`.
    #[schemars(length(min = 1))]
    pub(crate) service: String,
    /// Name of the method.
    #[schemars(length(min = 1))]
    pub(crate) method: String,
    /// How long the service may take, in milliseconds; 0 for any time. It is told in `grpc-timeout`.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 99_999_999.0))]
    pub(crate) deadline: f64,
    /// How messages are written as JSON. Of two that say the opposite, the last counts.
    #[serde(default = "pb_option")]
    #[schemars(length(min = 1))]
    pub(crate) pb_option: Vec<PbOption>,
    /// Whether the answer to a failed call has a body, made of `grpc-status-details-bin`.
    #[serde(default)]
    pub(crate) show_status_in_body: bool,
    /// Full name of the message that the details of a failed call are. Without it they are shown as they are.
    pub(crate) status_detail_type: Option<String>,
    /// The largest request body, in bytes. A larger one gets 413.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_size: usize,
    /// The largest answer, in bytes. A larger one ends as incomplete.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_size: usize,
}

/// An id: text, or a number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Id {
    /// Letters, digits, `-`, `_` and `.`.
    Text(#[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-zA-Z0-9\-_.]+$"))] String),
    /// A positive integer.
    Number(#[schemars(range(min = 1))] u64),
}

/// How messages are written as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum PbOption {
    /// 64-bit integers as numbers.
    Int64AsNumber,
    /// 64-bit integers as text, where a number would lose digits: `"#123"`.
    Int64AsString,
    /// 64-bit integers as hexadecimal text, where a number would lose digits: `"#0x7b"`.
    Int64AsHexstring,
    /// Enumeration values by name.
    EnumAsName,
    /// Enumeration values by number.
    EnumAsValue,
    /// Fields that are not there get their default in messages of proto3.
    AutoDefaultValues,
    /// Fields that are not there are left out.
    NoDefaultValues,
    /// Fields that are not there get their default.
    UseDefaultValues,
    /// As `use_default_values`.
    UseDefaultMetatable,
    /// It is taken and changes nothing.
    EnableHooks,
    /// It is taken and changes nothing.
    DisableHooks,
}

fn pb_option() -> Vec<PbOption> {
    vec![
        PbOption::EnumAsName,
        PbOption::Int64AsNumber,
        PbOption::AutoDefaultValues,
        PbOption::DisableHooks,
    ]
}

fn largest() -> usize {
    64 * 1024 * 1024
}
