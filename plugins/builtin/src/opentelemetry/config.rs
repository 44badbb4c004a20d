//! Configuration of `opentelemetry` and its metadata.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reports traces by OTLP over HTTP. Does nothing without metadata.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which requests are traced.
    #[serde(default)]
    pub(super) sampler: Sampler,
    /// Variables that are attributes of the span, under their own names.
    #[schemars(inner(length(min = 1)))]
    pub(super) additional_attributes: Option<Vec<String>>,
    /// Headers of the request that are attributes of the span; with `*` at the end, all that begin so.
    #[schemars(inner(length(min = 1)))]
    pub(super) additional_header_prefix_attributes: Option<Vec<String>>,
}

/// Which requests are traced.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sampler {
    /// All, none, a part, or those of which the client says so.
    #[serde(default)]
    pub(super) name: SamplerName,
    /// What the sampler needs to know.
    #[serde(default)]
    pub(super) options: SamplerOptions,
}

/// A way to choose requests.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SamplerName {
    /// None.
    #[default]
    AlwaysOff,
    /// All.
    AlwaysOn,
    /// A part of the traces, the same in all services that choose so.
    TraceIdRatio,
    /// Those of which the client says so; of which it says nothing, `options.root` chooses.
    ParentBase,
}

/// What a sampler needs to know.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SamplerOptions {
    /// For `trace_id_ratio`: the part, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) fraction: f64,
    /// For `parent_base`: who chooses when the client does not.
    #[serde(default)]
    pub(super) root: RootSampler,
}

/// Who chooses when the client does not.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RootSampler {
    /// All, none, or a part.
    #[serde(default)]
    #[schemars(extend("enum" = ["always_on", "always_off", "trace_id_ratio"]))]
    pub(super) name: SamplerName,
    /// What the sampler needs to know.
    #[serde(default)]
    pub(super) options: RootOptions,
}

/// What a root sampler needs to know.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RootOptions {
    /// For `trace_id_ratio`: the part, from 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub(super) fraction: f64,
}

/// Metadata of `opentelemetry`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    /// Where a new trace gets its id from: `random`, or `x-request-id` for the id of the request where that is 32
    /// hexadecimal digits or a UUID.
    #[serde(default)]
    pub(super) trace_id_source: TraceIdSource,
    /// Attributes of this service; `service.name` is `APISIX` unless it says otherwise.
    #[serde(default)]
    pub(super) resource: BTreeMap<String, Value>,
    /// The collector.
    #[serde(default)]
    pub(super) collector: Collector,
    /// How spans are collected and sent.
    #[serde(default)]
    pub(super) batch_span_processor: Processor,
    /// Whether variables of nginx tell the ids. Only `false` is possible.
    #[serde(default)]
    #[schemars(extend("enum" = [false]))]
    #[expect(dead_code, reason = "there is one value")]
    set_ngx_var: bool,
}

/// Where a new trace gets its id from.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TraceIdSource {
    /// Chance.
    #[default]
    Random,
    /// The id of the request.
    XRequestId,
}

/// The collector.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Collector {
    /// Its address: `host:port`, or with `http://` or `https://` before it.
    #[serde(default = "address")]
    pub(super) address: String,
    /// Seconds within which it has to answer.
    #[serde(default = "request_timeout")]
    #[schemars(range(min = 1))]
    pub(super) request_timeout: u64,
    /// Further headers.
    #[serde(default)]
    pub(super) request_headers: BTreeMap<String, Value>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            address: address(),
            request_timeout: request_timeout(),
            request_headers: BTreeMap::new(),
        }
    }
}

/// How spans are collected and sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Processor {
    /// Whether spans are dropped when too many wait. Only `true` is possible: requests do not wait for a collector.
    #[serde(default = "yes")]
    #[schemars(extend("enum" = [true]))]
    #[expect(dead_code, reason = "there is one value")]
    drop_on_queue_full: bool,
    /// Spans that may be pending.
    #[serde(default = "max_queue_size")]
    #[schemars(range(min = 1))]
    pub(super) max_queue_size: usize,
    /// Seconds that a span waits at most before it is sent; rounded up.
    #[serde(default = "batch_timeout")]
    #[schemars(range(min = 0.0))]
    pub(super) batch_timeout: f64,
    /// Seconds after which what was collected is sent when no further span came; rounded up.
    #[serde(default = "inactive_timeout")]
    #[schemars(range(min = 0.0))]
    pub(super) inactive_timeout: f64,
    /// Spans in a batch at most.
    #[serde(default = "max_export_batch_size")]
    #[schemars(range(min = 1))]
    pub(super) max_export_batch_size: usize,
}

impl Default for Processor {
    fn default() -> Self {
        Self {
            drop_on_queue_full: true,
            max_queue_size: max_queue_size(),
            batch_timeout: batch_timeout(),
            inactive_timeout: inactive_timeout(),
            max_export_batch_size: max_export_batch_size(),
        }
    }
}

fn address() -> String {
    "127.0.0.1:4318".to_owned()
}

fn request_timeout() -> u64 {
    3
}

fn yes() -> bool {
    true
}

fn max_queue_size() -> usize {
    2048
}

fn batch_timeout() -> f64 {
    5.0
}

fn inactive_timeout() -> f64 {
    2.0
}

fn max_export_batch_size() -> usize {
    256
}
