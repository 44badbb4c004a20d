//! `prometheus`: counts requests, latencies and bytes of the places where it stands, under the names and labels of APISIX.
//! Metrics of the gateway as a whole are not its business.
//!
//! A request finds its series by one look into a map without locks; labels become text only when a combination of them is
//! seen for the first time.

mod config;
mod families;
mod labels;
mod series;
#[cfg(test)]
mod tests;

pub use config::{Config, DisabledLabels, Metadata, StatusLabel, TrafficLabel};

use config::Attributes;
use crossway_sdk::prelude::*;
use families::Families;
use labels::{DisabledOf, Labels};
use series::{Counter, Histogram, Series};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Combinations of labels that one place of use remembers the series of.
const MOST_HANDLES: usize = 16 * 1024;

/// The plugin.
pub struct Prometheus {
    prefer_name: bool,
    disabled: DisabledOf,
    attributes: Attributes,
    families: Arc<Families>,
    handles: papaya::HashMap<Box<[u8]>, Handles>,
}

/// The series of one combination of labels.
struct Handles {
    /// Of the families, when they were looked up.
    generation: u64,
    status: Arc<Series<Counter>>,
    request: Arc<Series<Histogram>>,
    upstream: Option<Arc<Series<Histogram>>>,
    gateway: Arc<Series<Histogram>>,
    ingress: Arc<Series<Counter>>,
    egress: Arc<Series<Counter>>,
}

#[phases]
impl Plugin for Prometheus {
    const NAME: &'static str = "prometheus";
    const PRIORITY: i32 = 500;
    const PREFER_ROUTE: bool = true;
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let metadata = match cx.metadata() {
            None => Metadata::default(),
            Some(document) => {
                Metadata::deserialize(document).map_err(|e| cx.error("", e.to_string()))?
            }
        };
        let attributes = Attributes::read(cx.attribute())?;
        let families = cx.shared("families", || Families::new(&attributes));
        families
            .register(cx.metrics())
            .map_err(|message| cx.error("", message))?;
        Ok(Self {
            prefer_name: config.prefer_name,
            disabled: DisabledOf::from(&metadata.disabled_labels),
            attributes,
            families,
            handles: papaya::HashMap::new(),
        })
    }

    fn metadata_schema() -> Option<Value> {
        let settings = schemars::generate::SchemaSettings::draft07();
        let schema = settings.into_generator().into_root_schema_for::<Metadata>();
        Some(schema.to_value())
    }

    fn stream_log(&self, ex: &mut StreamExchange<'_>) {
        let families = &*self.families;
        let now = families.seconds(Instant::now());
        let (connections, status) = labels::of_session(ex.session, self.prefer_name);
        for (table, values) in [
            (&families.stream_connections, connections),
            (&families.stream_status, status),
        ] {
            let series = families.series(table, values, now);
            series.measure.add(1);
            series.touch(now);
        }
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let labels = Labels::of(ex.request, self.prefer_name);
        let mut key = labels.key(self.disabled);
        let extra = [
            key.extra(&self.attributes.status.extra, ex),
            key.extra(&self.attributes.latency.extra, ex),
            key.extra(&self.attributes.bandwidth.extra, ex),
        ];
        let measured = Measured::of(ex.request, &self.families);
        let generation = self.families.generation();
        let handles = self.handles.pin();
        match handles.get(&key.0[..]) {
            Some(found) if found.generation == generation => found.add(&measured),
            _ => {
                let new = self.look_up(&labels, extra, generation, measured.second);
                new.add(&measured);
                if handles.len() >= MOST_HANDLES {
                    handles.clear();
                }
                handles.insert(key.0.into_boxed_slice(), new);
            }
        }
    }
}

impl Prometheus {
    fn look_up(
        &self,
        labels: &Labels<'_>,
        extra: [labels::LabelValues; 3],
        generation: u64,
        now: u64,
    ) -> Handles {
        let [of_status, of_latency, of_bandwidth] = extra;
        let families = &*self.families;
        let latency = |kind: &str| {
            let mut values = labels.traffic(kind, self.disabled.latency);
            values.extend_from_slice(&of_latency);
            families.series(&families.latency, values, now)
        };
        let bandwidth = |kind: &str| {
            let mut values = labels.traffic(kind, self.disabled.bandwidth);
            values.extend_from_slice(&of_bandwidth);
            families.series(&families.bandwidth, values, now)
        };
        let mut status = labels.status(self.disabled);
        status.extend(of_status);
        Handles {
            generation,
            status: families.series(&families.status, status, now),
            request: latency("request"),
            upstream: labels.has_node().then(|| latency("upstream")),
            gateway: latency("apisix"),
            ingress: bandwidth("ingress"),
            egress: bandwidth("egress"),
        }
    }
}

/// What one request adds.
struct Measured {
    /// From the request's head to now.
    request: Duration,
    /// From the first attempt at a node to now; zero when there was none.
    upstream: Duration,
    bytes_in: u64,
    bytes_out: u64,
    /// Now, by the metrics' clock.
    second: u64,
}

impl Measured {
    fn of(request: &Request, families: &Families) -> Self {
        let now = Instant::now();
        let since = |then: Instant| now.saturating_duration_since(then);
        Self {
            request: since(request.started),
            upstream: request
                .tries
                .first()
                .map_or(Duration::ZERO, |t| since(t.began)),
            bytes_in: request.response.bytes_in,
            bytes_out: request.response.bytes_out,
            second: families.seconds(now),
        }
    }
}

impl Handles {
    fn add(&self, measured: &Measured) {
        count(&self.status, 1, measured);
        observe(&self.request, measured.request, measured);
        if let Some(upstream) = &self.upstream {
            observe(upstream, measured.upstream, measured);
        }
        let own = measured.request.saturating_sub(measured.upstream);
        observe(&self.gateway, own, measured);
        count(&self.ingress, measured.bytes_in, measured);
        count(&self.egress, measured.bytes_out, measured);
    }
}

fn count(series: &Series<Counter>, n: u64, measured: &Measured) {
    series.measure.add(n);
    series.touch(measured.second);
}

fn observe(series: &Series<Histogram>, duration: Duration, measured: &Measured) {
    series.measure.observe(duration);
    series.touch(measured.second);
}
