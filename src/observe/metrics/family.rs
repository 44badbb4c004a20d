//! Metrics that are asked for when somebody scrapes, and cost nothing otherwise.

use prometheus::{
    core::{Collector, Desc},
    proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType},
};
use std::collections::{BTreeMap, HashMap};

/// What a family of samples is called.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name, without the gateway's prefix.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
}

impl Family {
    /// Whether nodes are healthy: 1 or 0, for each node that is checked.
    pub const UPSTREAM_STATUS: Self = Self {
        name: "upstream_status",
        help: "Whether a node is healthy",
        kind: Kind::Gauge,
        labels: &["name", "ip", "port"],
    };

    /// The revisions at which kinds of resources changed last; `key` is `routes`, `services`, …, `max_modify_index`.
    pub const MODIFY_INDEXES: Self = Self {
        name: "etcd_modify_indexes",
        help: "Revision of the last change of a kind of resource",
        kind: Kind::Gauge,
        labels: &["key"],
    };
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// Takes the samples of one scrape.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<Vec<String>, f64>);

impl Samples {
    /// A sample; `labels` are the values of the family's labels, in their order.
    pub fn push(&mut self, labels: &[&str], value: f64) {
        self.0.insert(
            labels.iter().map(|label| (*label).to_owned()).collect(),
            value,
        );
    }
}

impl Family {
    pub(super) fn collector(
        self,
        prefix: &str,
        collect: impl Fn(&mut Samples) + Send + Sync + 'static,
    ) -> Result<Box<dyn Collector>, prometheus::Error> {
        let labels = self
            .labels
            .iter()
            .map(|label| (*label).to_owned())
            .collect();
        let name = format!("{prefix}{}", self.name);
        let description = Desc::new(name, self.help.to_owned(), labels, HashMap::new())?;
        Ok(Box::new(AtScrape {
            family: self,
            description,
            collect,
        }))
    }
}

struct AtScrape<F> {
    family: Family,
    description: Desc,
    collect: F,
}

impl<F: Fn(&mut Samples) + Send + Sync> Collector for AtScrape<F> {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples::default();
        (self.collect)(&mut samples);
        let mut family = MetricFamily::default();
        family.set_name(self.description.fq_name.clone());
        family.set_help(self.description.help.clone());
        family.set_field_type(match self.family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
        });
        family.set_metric(
            samples
                .0
                .into_iter()
                .map(|(labels, v)| self.metric(labels, v))
                .collect(),
        );
        vec![family]
    }
}

impl<F> AtScrape<F> {
    fn metric(&self, labels: Vec<String>, value: f64) -> Metric {
        let pair = |(name, value): (&&str, String)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value);
            pair
        };
        let pairs = self.family.labels.iter().zip(labels).map(pair).collect();
        let mut metric = Metric::default();
        metric.set_label(pairs);
        match self.family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
        }
        metric
    }
}
