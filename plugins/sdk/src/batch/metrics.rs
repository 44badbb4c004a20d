//! What metrics say of queues.

use parking_lot::Mutex;
use prometheus::{
    IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
};
use std::{
    collections::HashMap,
    sync::{Arc, OnceLock, Weak},
};

/// The name that APISIX has for it.
const PENDING: &str = "batch_process_entries";
const PENDING_HELP: &str = "Entries that wait in a queue or are on their way";
const DROPPED: &str = "batch_dropped_entries_total";
const DROPPED_HELP: &str = "Entries that were dropped: too much was pending (full), or the service did not take them (failed)";

/// `name`, `route_id`, `server_addr`.
type Labels = [String; 3];

/// The metrics of all queues.
pub(super) struct BatchMetrics {
    registry: Registry,
    prefix: String,
    vectors: OnceLock<Option<Vectors>>,
    series: Mutex<HashMap<Labels, Weak<Series>>>,
}

struct Vectors {
    pending: IntGaugeVec,
    dropped: IntCounterVec,
}

impl Vectors {
    fn shown(&self, [name, route, server]: &Labels) -> Shown {
        let dropped = |reason| {
            let labels = [name.as_str(), route, server, reason];
            self.dropped.with_label_values(&labels)
        };
        Shown {
            pending: self.pending.with_label_values(&[name, route, server]),
            full: dropped("full"),
            failed: dropped("failed"),
        }
    }
}

/// The metrics of the queues with the same labels; gone with the last of them.
pub(super) struct Series {
    /// `None` when there is no place for them on the metrics page.
    shown: Option<Shown>,
    labels: Labels,
    of: Arc<BatchMetrics>,
}

struct Shown {
    pending: IntGauge,
    full: IntCounter,
    failed: IntCounter,
}

impl Series {
    /// One more is pending.
    pub(super) fn admitted(&self) {
        if let Some(shown) = &self.shown {
            shown.pending.inc();
        }
    }

    /// One was dropped because too much is pending.
    pub(super) fn refused(&self) {
        if let Some(shown) = &self.shown {
            shown.full.inc();
        }
    }

    /// So many are pending no more, some of them because they were given up.
    pub(super) fn done(&self, entries: usize, dropped: usize) {
        if let Some(shown) = &self.shown {
            shown
                .pending
                .sub(i64::try_from(entries).unwrap_or(i64::MAX));
            shown.failed.inc_by(dropped as u64);
        }
    }
}

impl BatchMetrics {
    pub(super) fn new(registry: Registry, prefix: Option<&str>) -> Self {
        Self {
            registry,
            prefix: prefix.unwrap_or("apisix_").to_owned(),
            vectors: OnceLock::new(),
            series: Mutex::default(),
        }
    }

    /// Those with these labels; on the metrics page from now on.
    pub(super) fn series(self: &Arc<Self>, labels: Labels) -> Arc<Series> {
        let mut table = self.series.lock();
        if let Some(series) = table.get(&labels).and_then(Weak::upgrade) {
            return series;
        }
        let vectors = self.vectors.get_or_init(|| self.register()).as_ref();
        let series = Arc::new(Series {
            shown: vectors.map(|vectors| vectors.shown(&labels)),
            labels: labels.clone(),
            of: self.clone(),
        });
        table.insert(labels, Arc::downgrade(&series));
        series
    }

    /// The families of an earlier configuration may still be there, empty; these take their place.
    fn register(&self) -> Option<Vectors> {
        let made = || {
            let named = |name: &str, help: &str| Opts::new(format!("{}{name}", self.prefix), help);
            let pending = named(PENDING, PENDING_HELP);
            let dropped = named(DROPPED, DROPPED_HELP);
            let vectors = Vectors {
                pending: IntGaugeVec::new(pending, &["name", "route_id", "server_addr"])?,
                dropped: IntCounterVec::new(
                    dropped,
                    &["name", "route_id", "server_addr", "reason"],
                )?,
            };
            self.replace(|| Box::new(vectors.pending.clone()))?;
            self.replace(|| Box::new(vectors.dropped.clone()))?;
            Ok::<_, prometheus::Error>(vectors)
        };
        made()
            .map_err(|error| tracing::error!(%error, "queues have no metrics"))
            .ok()
    }

    fn replace(&self, family: impl Fn() -> Box<dyn Collector>) -> Result<(), prometheus::Error> {
        if self.registry.register(family()).is_err() {
            self.registry.unregister(family())?;
            self.registry.register(family())?;
        }
        Ok(())
    }
}

impl Drop for Series {
    fn drop(&mut self) {
        let metrics = &self.of;
        let mut table = metrics.series.lock();
        // A successor with the same labels goes on counting in the same place.
        if table
            .get(&self.labels)
            .is_some_and(|s| s.strong_count() > 0)
        {
            return;
        }
        table.remove(&self.labels);
        if let Some(Some(vectors)) = metrics.vectors.get() {
            let [name, route, server] = &self.labels;
            // A label set that is not there is what was wanted.
            drop(vectors.pending.remove_label_values(&[name, route, server]));
            for reason in ["full", "failed"] {
                let labels = [name.as_str(), route, server, reason];
                drop(vectors.dropped.remove_label_values(&labels));
            }
        }
    }
}
