//! Configuration of `prometheus`, its metadata, and what `plugin_attr.prometheus` says of metrics.

use crossway_sdk::{build::BuildError, expr::Template};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Counts requests, latencies and bytes; on a stream route, sessions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether the labels `route` and `service` carry names where there are any, in place of ids.
    #[serde(default)]
    pub prefer_name: bool,
}

/// Metadata of `prometheus`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Labels that stay empty, by metric.
    #[serde(default)]
    pub disabled_labels: DisabledLabels,
}

/// Labels that stay empty. A disabled label keeps its name, so that dashboards go on to work.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DisabledLabels {
    /// Labels of `http_status`.
    #[serde(default)]
    pub http_status: Vec<StatusLabel>,
    /// Labels of `http_latency`.
    #[serde(default)]
    pub http_latency: Vec<TrafficLabel>,
    /// Labels of `bandwidth`.
    #[serde(default)]
    pub bandwidth: Vec<TrafficLabel>,
}

/// A label of `http_status` that can be disabled.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the labels of that name")]
pub enum StatusLabel {
    Route,
    MatchedUri,
    MatchedHost,
    Service,
    Consumer,
    Node,
    RequestType,
    RequestLlmModel,
    LlmModel,
    ResponseSource,
}

/// A label of `http_latency` and `bandwidth` that can be disabled.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "they are the labels of that name")]
pub enum TrafficLabel {
    Route,
    Service,
    Consumer,
    Node,
    RequestType,
    RequestLlmModel,
    LlmModel,
}

/// The part of `plugin_attr.prometheus` that is about metrics. Where they are exported is up to the gateway.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default = "prefix")]
    metric_prefix: String,
    default_buckets: Option<Vec<f64>>,
    #[serde(default)]
    metrics: BTreeMap<String, WrittenMetric>,
    #[serde(default = "max_series")]
    max_series: usize,
}

#[derive(Debug, Default, Deserialize)]
struct WrittenMetric {
    #[serde(default)]
    extra_labels: Vec<BTreeMap<String, String>>,
    #[serde(default)]
    expire: u64,
}

/// What `plugin_attr.prometheus` says of metrics, checked.
#[derive(Debug, PartialEq)]
pub(super) struct Attributes {
    /// Before each metric's name.
    pub(super) prefix: String,
    /// Upper bounds of the latency histogram in milliseconds, ascending.
    pub(super) buckets: Vec<f64>,
    pub(super) status: MetricAttributes,
    pub(super) latency: MetricAttributes,
    pub(super) bandwidth: MetricAttributes,
    /// Series of one metric beyond which further ones are counted together.
    pub(super) max_series: usize,
}

/// What is said of one metric.
#[derive(Debug, Default, PartialEq)]
pub(super) struct MetricAttributes {
    /// Labels beside the usual ones, and what they carry.
    pub(super) extra: Vec<(String, Template)>,
    /// Seconds without a request after which a series is dropped; 0 for never.
    pub(super) expire: u64,
}

impl Attributes {
    /// Reads the settings; without any, the defaults.
    ///
    /// # Errors
    /// A name or a value that Prometheus cannot take.
    pub(super) fn read(settings: Option<&Value>) -> Result<Self, BuildError> {
        let refuse =
            |message: String| BuildError::new("", format!("plugin_attr.prometheus: {message}"));
        let empty = Value::Object(serde_json::Map::new());
        let mut written =
            Written::deserialize(settings.unwrap_or(&empty)).map_err(|e| refuse(e.to_string()))?;
        if !is_name(&written.metric_prefix, true) {
            let prefix = written.metric_prefix;
            return Err(refuse(format!(
                "metric_prefix: {prefix} cannot begin a metric's name"
            )));
        }
        let mut metric = |name: &str| {
            let written = written.metrics.remove(name).unwrap_or_default();
            written
                .read()
                .map_err(|e| refuse(format!("metrics.{name}.extra_labels: {e}")))
        };
        Ok(Self {
            status: metric("http_status")?,
            latency: metric("http_latency")?,
            bandwidth: metric("bandwidth")?,
            buckets: buckets(written.default_buckets).map_err(|e| refuse(e.to_owned()))?,
            prefix: written.metric_prefix,
            max_series: written.max_series,
        })
    }
}

impl WrittenMetric {
    fn read(self) -> Result<MetricAttributes, String> {
        let mut extra = Vec::new();
        for (name, value) in self.extra_labels.into_iter().flatten() {
            if !is_name(&name, false) || name.starts_with("__") || name == "le" {
                return Err(format!("{name} cannot be the name of a label"));
            }
            let template = Template::parse(&value).map_err(|e| e.to_string())?;
            extra.push((name, template));
        }
        Ok(MetricAttributes {
            extra,
            expire: self.expire,
        })
    }
}

/// The example that ships with APISIX is not in order, so order is not asked for.
fn buckets(written: Option<Vec<f64>>) -> Result<Vec<f64>, &'static str> {
    let mut buckets = written.unwrap_or_else(|| DEFAULT_BUCKETS.to_vec());
    if buckets.is_empty() || !buckets.iter().all(|b| b.is_finite() && *b > 0.0) {
        return Err("default_buckets: expected at least one number, all of them above 0");
    }
    buckets.sort_by(f64::total_cmp);
    buckets.dedup();
    Ok(buckets)
}

const DEFAULT_BUCKETS: [f64; 15] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    30_000.0, 60_000.0,
];

/// Letters, digits and `_`, in metrics also `:`, and no digit first.
fn is_name(name: &str, metric: bool) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':');
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(fits)
}

fn prefix() -> String {
    "apisix_".to_owned()
}

fn max_series() -> usize {
    50_000
}
