//! The series of a metric, and what is counted in one. Adding to a series takes no lock, and finding one neither.
//!
//! The vectors of the `prometheus` crate tell series apart by a hash over the concatenated labels, in which the route
//! `1` of the service `23` and the route `12` of the service `3` are one.

use super::labels::LabelValues;
use prometheus::proto;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a series holds.
pub(super) trait Measure {
    /// Writes it into a metric of the exposition.
    fn expose(&self, metric: &mut proto::Metric);
}

/// A sum that only grows.
#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Measure for Counter {
    fn expose(&self, metric: &mut proto::Metric) {
        let mut counter = proto::Counter::default();
        counter.set_value(float(self.get()));
        metric.set_counter(counter);
    }
}

/// Durations, counted by buckets.
pub(super) struct Histogram {
    bounds: Arc<Bounds>,
    /// One more than there are bounds; the last one is `+Inf`. Not cumulative.
    counts: Box<[AtomicU64]>,
    nanoseconds: AtomicU64,
}

/// Upper bounds of buckets, ascending.
pub(super) struct Bounds {
    milliseconds: Vec<f64>,
    nanoseconds: Vec<u64>,
}

impl Bounds {
    pub(super) fn new(milliseconds: &[f64]) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive by Attributes::read; `as` saturates above 584 years"
        )]
        let nanoseconds = milliseconds.iter().map(|ms| (ms * 1e6) as u64).collect();
        Self {
            milliseconds: milliseconds.to_vec(),
            nanoseconds,
        }
    }
}

impl Histogram {
    pub(super) fn new(bounds: Arc<Bounds>) -> Self {
        let buckets = bounds.nanoseconds.len() + 1;
        Self {
            bounds,
            counts: std::iter::repeat_with(AtomicU64::default)
                .take(buckets)
                .collect(),
            nanoseconds: AtomicU64::default(),
        }
    }

    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let bucket = self
            .bounds
            .nanoseconds
            .partition_point(|b| *b < nanoseconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }
}

impl Measure for Histogram {
    fn expose(&self, metric: &mut proto::Metric) {
        let mut so_far = 0;
        let mut counts = self.counts.iter().map(|c| c.load(Relaxed));
        let bounds = self.bounds.milliseconds.iter();
        let buckets = bounds.zip(counts.by_ref()).map(|(bound, count)| {
            so_far += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(so_far);
            bucket
        });
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets.collect());
        // The bounds ended first, so the last count is left.
        histogram.set_sample_count(so_far + counts.sum::<u64>());
        histogram.set_sample_sum(float(self.nanoseconds.load(Relaxed)) / 1e6);
        metric.set_histogram(histogram);
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has doubles only")]
fn float(n: u64) -> f64 {
    n as f64
}

/// One series.
pub(super) struct Series<M> {
    pub(super) measure: M,
    /// When it was last added to, in seconds of the metrics' own clock.
    touched: AtomicU64,
}

impl<M> Series<M> {
    pub(super) fn touch(&self, now: u64) {
        self.touched.store(now, Relaxed);
    }
}

/// All series of one metric.
pub(super) struct Table<M> {
    /// Labels, in the order of the values.
    pub(super) labels: Vec<String>,
    by_values: papaya::HashMap<LabelValues, Arc<Series<M>>>,
    expire: u64,
    max_series: usize,
    make: Box<dyn Fn() -> M + Send + Sync>,
}

impl<M: Measure + Send + Sync + 'static> Table<M> {
    pub(super) fn new(
        labels: &[&str],
        attributes: &super::config::MetricAttributes,
        max_series: usize,
        make: impl Fn() -> M + Send + Sync + 'static,
    ) -> Self {
        let extra = attributes.extra.iter().map(|(name, _)| name.clone());
        Self {
            labels: labels
                .iter()
                .map(|l| (*l).to_owned())
                .chain(extra)
                .collect(),
            by_values: papaya::HashMap::new(),
            expire: attributes.expire,
            max_series,
            make: Box::new(make),
        }
    }

    /// The series with these values; `None` when it is not there and there are too many.
    pub(super) fn find(&self, values: LabelValues, now: u64) -> Option<Arc<Series<M>>> {
        let series = self.by_values.pin();
        if let Some(found) = series.get(&values) {
            return Some(found.clone());
        }
        (series.len() < self.max_series).then(|| {
            let new = || {
                Arc::new(Series {
                    measure: (self.make)(),
                    touched: AtomicU64::new(now),
                })
            };
            series.get_or_insert_with(values, new).clone()
        })
    }

    /// The series that takes what is too much, in which only the first label tells anything.
    pub(super) fn overflow(&self, mut values: LabelValues, now: u64) -> Arc<Series<M>> {
        for (at, value) in values.iter_mut().enumerate().skip(1) {
            *value = if at == 1 { OVERFLOW } else { "" }.into();
        }
        let new = || {
            Arc::new(Series {
                measure: (self.make)(),
                touched: AtomicU64::new(now),
            })
        };
        self.by_values.pin().get_or_insert_with(values, new).clone()
    }

    /// Drops what has expired; true when something had.
    pub(super) fn expire(&self, now: u64) -> bool {
        if self.expire == 0 {
            return false;
        }
        let mut dropped = false;
        self.by_values.pin().retain(|_, series| {
            let kept = series.touched.load(Relaxed) + self.expire >= now;
            dropped |= !kept;
            kept
        });
        dropped
    }

    /// All series, for the exposition.
    pub(super) fn metrics(&self) -> Vec<proto::Metric> {
        let expose = |(values, series): (&LabelValues, &Arc<Series<M>>)| {
            let pairs = self.labels.iter().zip(values).map(|(name, value)| {
                let mut pair = proto::LabelPair::default();
                pair.set_name(name.clone());
                pair.set_value(value.to_string());
                pair
            });
            let mut metric = proto::Metric::from_label(pairs.collect());
            series.measure.expose(&mut metric);
            metric
        };
        self.by_values.pin().iter().map(expose).collect()
    }
}

/// Value of the label `route` in the series that takes what is too much.
pub(super) const OVERFLOW: &str = "__overflow__";
