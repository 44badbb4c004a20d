//! Figures of the gateway as a whole: what of its settings and its configuration serves, and how its nodes are.

use crate::{
    observe::{
        Metrics,
        metrics::{Family, Kind},
    },
    status::{self, Readings},
    sync::Authority,
};
use std::sync::Arc;

/// Readings of the settings by a gateway that serves.
const RELOADS: Family = Family {
    name: "settings_reloads_total",
    help: "Settings read again on SIGHUP, by what came of it",
    kind: Kind::Counter,
    labels: &["result"],
};
/// What of them waits.
const AWAITING_RESTART: Family = Family {
    name: "settings_awaiting_restart",
    help: "Settings that are written in another way than they are in force and need a restart",
    kind: Kind::Gauge,
    labels: &[],
};

/// Figures that are asked for when somebody scrapes.
pub(super) fn export(
    metrics: &Metrics,
    authority: &Arc<Authority>,
    readings: &Arc<Readings>,
) -> Result<(), prometheus::Error> {
    let of_settings = readings.clone();
    metrics.export(RELOADS, move |samples| {
        let (all, refused) = of_settings.counts();
        samples.push(&["taken"], all.saturating_sub(refused) as f64);
        samples.push(&["refused"], refused as f64);
    })?;
    let of_settings = readings.clone();
    metrics.export(AWAITING_RESTART, move |samples| {
        samples.push(&[], of_settings.awaiting() as f64);
    })?;
    let of_nodes = authority.clone();
    metrics.export(Family::UPSTREAM_STATUS, move |samples| {
        for report in status::health_reports(&of_nodes.state()) {
            for node in &report.nodes {
                let healthy = if matches!(node.status, "healthy" | "mostly_healthy") {
                    1.0
                } else {
                    0.0
                };
                samples.push(&[&report.name, &node.ip, &node.port.to_string()], healthy);
            }
        }
    })?;
    let of_store = authority.status();
    metrics.export(Family::MODIFY_INDEXES, move |samples| {
        let status = of_store.borrow();
        samples.push(&["x_etcd_index"], status.seen as f64);
        samples.push(&["max_modify_index"], status.serving as f64);
    })
}

/// Keeps the gauges of the configuration in step with it.
pub(super) async fn count_changes(authority: Arc<Authority>, metrics: Arc<Metrics>) {
    let mut status = authority.status();
    let (mut serving, mut refused) = (None, 0);
    loop {
        {
            let now = status.borrow_and_update();
            let gauges = &metrics.configuration;
            gauges.set_store_reachable(now.store_error.is_none());
            gauges
                .revision
                .set(i64::try_from(now.serving).unwrap_or(i64::MAX));
            if now.ready && serving.replace(now.serving) != Some(now.serving) {
                gauges.applied.inc();
            }
            gauges
                .refused
                .inc_by(now.refused_total.saturating_sub(refused));
            refused = now.refused_total;
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
