//! The metrics registry, shared with plugins, and the gateway's own metrics under the names that APISIX gives them.

mod family;
mod streams;
mod traffic;

pub use family::{Family, Kind, Samples};
pub use streams::{OpenSession, StreamListener, Streams};
pub use traffic::Traffic;

use super::host;
use bytes::Bytes;
use parking_lot::Mutex;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The content type of the page.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Pages are made at most this often, however many ask.
const FRESH: Duration = Duration::from_millis(250);

/// The registry and what the gateway counts itself.
pub struct Metrics {
    registry: Registry,
    prefix: String,
    traffic: Arc<Traffic>,
    streams: Arc<Streams>,
    /// The configuration that serves.
    pub configuration: Configuration,
    /// Access log lines that were dropped.
    pub access_log_dropped: IntCounter,
    /// Failures of plugins, by plugin.
    pub plugins: Plugins,
    page: Mutex<Option<(Instant, Bytes)>>,
}

/// The configuration that serves.
pub struct Configuration {
    /// `config_revision`: the store's revision of the configuration that serves.
    pub revision: IntGauge,
    /// `config_applied_total`: changes that came into force.
    pub applied: IntCounter,
    /// `config_refused_total`: changes that were refused, while the configuration before them kept serving.
    pub refused: IntCounter,
    /// `config_store_reachable`: 1 or 0.
    store_reachable: IntGauge,
    /// `etcd_reachable`: the same, under the name that alerts made for APISIX ask for.
    etcd_reachable: IntGauge,
}

impl Configuration {
    /// Whether the store answers.
    pub fn set_store_reachable(&self, reachable: bool) {
        self.store_reachable.set(reachable.into());
        self.etcd_reachable.set(reachable.into());
    }
}

/// Failures of plugins, by plugin.
pub struct Plugins {
    panics: IntCounterVec,
    errors: IntCounterVec,
}

impl Plugins {
    /// `plugin_panics_total{plugin}`.
    pub fn panicked(&self, plugin: &str) {
        self.panics.with_label_values(&[plugin]).inc();
    }

    /// `plugin_errors_total{plugin}`.
    pub fn failed(&self, plugin: &str) {
        self.errors.with_label_values(&[plugin]).inc();
    }
}

impl Metrics {
    /// A new registry whose own metrics begin with `prefix`. Plugins name theirs in full.
    ///
    /// # Errors
    /// The prefix does not make valid names.
    pub fn new(prefix: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let made = Making {
            registry: &registry,
            prefix,
        };
        let configuration = Configuration {
            revision: made.gauge(
                "config_revision",
                "Revision of the configuration that serves",
            )?,
            applied: made.counter("config_applied_total", "Changes of configuration in force")?,
            refused: made.counter("config_refused_total", "Changes of configuration refused")?,
            store_reachable: made.gauge(
                "config_store_reachable",
                "Whether the configuration store answers",
            )?,
            etcd_reachable: made.gauge(
                "etcd_reachable",
                "Whether the configuration store answers, of any kind",
            )?,
        };
        let plugins = Plugins {
            panics: made.by_plugin("plugin_panics_total", "Panics of plugins")?,
            errors: made.by_plugin("plugin_errors_total", "Errors of plugins")?,
        };
        let metrics = Self {
            access_log_dropped: made.counter(
                "access_log_dropped_total",
                "Access log lines that were dropped",
            )?,
            traffic: Arc::default(),
            streams: Arc::default(),
            prefix: prefix.to_owned(),
            page: Mutex::new(None),
            configuration,
            plugins,
            registry,
        };
        metrics.export_traffic()?;
        metrics.export_streams()?;
        metrics.export_node()?;
        Ok(metrics)
    }

    fn export_traffic(&self) -> Result<(), prometheus::Error> {
        let requests = Family {
            name: "http_requests_total",
            help: "Requests since the start",
            // A gauge in APISIX, too.
            kind: Kind::Gauge,
            labels: &[],
        };
        let traffic = self.traffic.clone();
        self.export(requests, move |samples| {
            samples.push(&[], traffic.totals().requests as f64)
        })?;
        let connections = Family {
            name: "nginx_http_current_connections",
            help: "Client connections for traffic: accepted and handled since the start; open now: active, of which \
                   writing await or get an answer and waiting are idle or still send the head of a request",
            kind: Kind::Gauge,
            labels: &["state"],
        };
        let traffic = self.traffic.clone();
        self.export(connections, move |samples| {
            let now = traffic.totals();
            samples.push(&["accepted"], now.accepted as f64);
            samples.push(&["handled"], now.accepted as f64);
            samples.push(&["active"], now.active as f64);
            samples.push(&["writing"], now.in_flight as f64);
            samples.push(
                &["waiting"],
                now.active.saturating_sub(now.in_flight) as f64,
            );
        })
    }

    fn export_node(&self) -> Result<(), prometheus::Error> {
        let node = Family {
            name: "node_info",
            help: "This gateway",
            kind: Kind::Gauge,
            labels: &["hostname", "version"],
        };
        self.export(node, |samples| {
            samples.push(&[host::hostname(), env!("CARGO_PKG_VERSION")], 1.0);
        })?;
        let started = Family {
            name: "start_time_seconds",
            help: "When this process started, in seconds since 1970",
            kind: Kind::Gauge,
            labels: &[],
        };
        host::started_at();
        self.export(started, |samples| samples.push(&[], host::started_at()))
    }

    /// The registry, for plugins.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The counters of requests and connections.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }

    /// The listeners for TCP, TLS and UDP.
    pub fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// Exports a family whose samples are asked for at each scrape, e.g. [`Family::UPSTREAM_STATUS`] or
    /// [`Family::MODIFY_INDEXES`]. Of samples with equal labels, the last one counts.
    ///
    /// # Errors
    /// There is a family of that name.
    pub fn export(
        &self,
        family: Family,
        collect: impl Fn(&mut Samples) + Send + Sync + 'static,
    ) -> Result<(), prometheus::Error> {
        self.registry
            .register(family.collector(&self.prefix, collect)?)
    }

    /// The page that Prometheus reads. Whoever asks again within a quarter of a second gets the same page.
    ///
    /// # Errors
    /// A plugin's collector gave something that cannot be written.
    pub fn page(&self, now: Instant) -> Result<Bytes, prometheus::Error> {
        // Held while the page is made: others wait for it in place of making their own.
        let mut page = self.page.lock();
        if let Some((at, text)) = &*page
            && now.saturating_duration_since(*at) < FRESH
        {
            return Ok(text.clone());
        }
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        let text = Bytes::from(text);
        *page = Some((now, text.clone()));
        Ok(text)
    }
}

/// Makes and registers metrics whose names begin with the prefix.
struct Making<'a> {
    registry: &'a Registry,
    prefix: &'a str,
}

impl Making<'_> {
    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        let gauge = IntGauge::new(format!("{}{name}", self.prefix), help)?;
        self.registry.register(Box::new(gauge.clone()))?;
        Ok(gauge)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        let counter = IntCounter::new(format!("{}{name}", self.prefix), help)?;
        self.registry.register(Box::new(counter.clone()))?;
        Ok(counter)
    }

    fn by_plugin(&self, name: &str, help: &str) -> Result<IntCounterVec, prometheus::Error> {
        let options = Opts::new(format!("{}{name}", self.prefix), help);
        let counters = IntCounterVec::new(options, &["plugin"])?;
        self.registry.register(Box::new(counters.clone()))?;
        Ok(counters)
    }
}

#[cfg(test)]
mod tests;
