//! The metrics that all places of use share, and their export.

use super::{
    config::{Attributes, MetricAttributes},
    labels::LabelValues,
    series::{Bounds, Counter, Histogram, Measure, Series, Table},
};
use prometheus::{
    Registry,
    core::{Collector, Desc},
    proto::{self, MetricFamily, MetricType},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

const STATUS: &str = "http_status";
const LATENCY: &str = "http_latency";
const BANDWIDTH: &str = "bandwidth";
const STREAM_CONNECTIONS: &str = "stream_connection_total";
const STREAM_STATUS: &str = "stream_status";
const ERRORS: &str = "nginx_metric_errors_total";

const STATUS_HELP: &str = "Responses by status, route, service, consumer and node";
const LATENCY_HELP: &str =
    "Latency of requests in milliseconds: of the whole request, of the upstream, of the gateway";
const BANDWIDTH_HELP: &str = "Bytes of requests and responses";
const STREAM_CONNECTIONS_HELP: &str = "Sessions that ended, by stream route";
const STREAM_STATUS_HELP: &str = "Sessions that ended, by how, listener and node";
const ERRORS_HELP: &str =
    "Times that a label set was not counted on its own because there were too many";

const STATUS_LABELS: [&str; 11] = [
    "code",
    "route",
    "matched_uri",
    "matched_host",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
    "response_source",
];
const TRAFFIC_LABELS: [&str; 8] = [
    "type",
    "route",
    "service",
    "consumer",
    "node",
    "request_type",
    "request_llm_model",
    "llm_model",
];
const STREAM_STATUS_LABELS: [&str; 3] = ["code", "listen_addr", "node"];

/// The metrics.
pub(super) struct Families {
    prefix: String,
    pub(super) status: Table<Counter>,
    pub(super) latency: Table<Histogram>,
    pub(super) bandwidth: Table<Counter>,
    pub(super) stream_connections: Table<Counter>,
    pub(super) stream_status: Table<Counter>,
    errors: Counter,
    /// Grows when series were dropped, so that nobody goes on to count in them.
    generation: AtomicU64,
    epoch: Instant,
    registered: OnceLock<Result<(), String>>,
}

impl Families {
    pub(super) fn new(attributes: &Attributes) -> Self {
        let max = attributes.max_series;
        let bounds = Arc::new(Bounds::new(&attributes.buckets));
        let histogram = move || Histogram::new(bounds.clone());
        Self {
            prefix: attributes.prefix.clone(),
            status: Table::new(&STATUS_LABELS, &attributes.status, max, Counter::default),
            latency: Table::new(&TRAFFIC_LABELS, &attributes.latency, max, histogram),
            bandwidth: Table::new(
                &TRAFFIC_LABELS,
                &attributes.bandwidth,
                max,
                Counter::default,
            ),
            stream_connections: Table::new(
                &["route"],
                &MetricAttributes::default(),
                max,
                Counter::default,
            ),
            stream_status: Table::new(
                &STREAM_STATUS_LABELS,
                &MetricAttributes::default(),
                max,
                Counter::default,
            ),
            errors: Counter::default(),
            generation: AtomicU64::new(0),
            epoch: Instant::now(),
            registered: OnceLock::new(),
        }
    }

    /// Makes them part of the registry, once.
    ///
    /// # Errors
    /// Somebody else has a metric of one of these names.
    pub(super) fn register(self: &Arc<Self>, registry: &Registry) -> Result<(), String> {
        let register = || {
            let exporter = || Exporter::new(self).map(|e| Box::new(e) as Box<dyn Collector>);
            // The exporter of families that nobody holds any more is still there; this one takes its place.
            if registry.register(exporter()?).is_err() {
                registry.unregister(exporter()?)?;
                registry.register(exporter()?)?;
            }
            Ok(())
        };
        let registered = self.registered.get_or_init(|| {
            register().map_err(|e: prometheus::Error| format!("cannot register metrics: {e}"))
        });
        registered.clone()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Seconds of the metrics' own clock.
    pub(super) fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.epoch).as_secs()
    }

    /// The series with these values, or the one that takes what is too much.
    pub(super) fn series<M: Measure + Send + Sync + 'static>(
        &self,
        table: &Table<M>,
        values: LabelValues,
        now: u64,
    ) -> Arc<Series<M>> {
        match table.find(values.clone(), now) {
            Some(series) => series,
            None => {
                self.errors.add(1);
                table.overflow(values, now)
            }
        }
    }

    fn expire(&self) {
        let now = self.seconds(Instant::now());
        let dropped = [
            self.status.expire(now),
            self.latency.expire(now),
            self.bandwidth.expire(now),
        ];
        if dropped.contains(&true) {
            self.generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn family(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        metrics: Vec<proto::Metric>,
    ) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(format!("{}{name}", self.prefix));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        family
    }
}

/// The registry's side. It does not keep the families alive: they go when the last place of use goes.
struct Exporter {
    families: Weak<Families>,
    descriptions: Vec<Desc>,
}

impl Exporter {
    fn new(families: &Arc<Families>) -> prometheus::Result<Self> {
        let describe = |name: &str, help: &str, labels: &[String]| {
            let name = format!("{}{name}", families.prefix);
            Desc::new(name, help.to_owned(), labels.to_vec(), HashMap::new())
        };
        Ok(Self {
            families: Arc::downgrade(families),
            descriptions: vec![
                describe(STATUS, STATUS_HELP, &families.status.labels)?,
                describe(LATENCY, LATENCY_HELP, &families.latency.labels)?,
                describe(BANDWIDTH, BANDWIDTH_HELP, &families.bandwidth.labels)?,
                describe(
                    STREAM_CONNECTIONS,
                    STREAM_CONNECTIONS_HELP,
                    &families.stream_connections.labels,
                )?,
                describe(
                    STREAM_STATUS,
                    STREAM_STATUS_HELP,
                    &families.stream_status.labels,
                )?,
                describe(ERRORS, ERRORS_HELP, &[])?,
            ],
        })
    }
}

impl Collector for Exporter {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Some(families) = self.families.upgrade() else {
            return Vec::new();
        };
        families.expire();
        let mut errors = proto::Metric::default();
        families.errors.expose(&mut errors);
        let all = [
            (
                STATUS,
                STATUS_HELP,
                MetricType::COUNTER,
                families.status.metrics(),
            ),
            (
                LATENCY,
                LATENCY_HELP,
                MetricType::HISTOGRAM,
                families.latency.metrics(),
            ),
            (
                BANDWIDTH,
                BANDWIDTH_HELP,
                MetricType::COUNTER,
                families.bandwidth.metrics(),
            ),
            (
                STREAM_CONNECTIONS,
                STREAM_CONNECTIONS_HELP,
                MetricType::COUNTER,
                families.stream_connections.metrics(),
            ),
            (
                STREAM_STATUS,
                STREAM_STATUS_HELP,
                MetricType::COUNTER,
                families.stream_status.metrics(),
            ),
            (ERRORS, ERRORS_HELP, MetricType::COUNTER, vec![errors]),
        ];
        all.into_iter()
            .filter(|(.., metrics)| !metrics.is_empty())
            .map(|(name, help, kind, metrics)| families.family(name, help, kind, metrics))
            .collect()
    }
}
