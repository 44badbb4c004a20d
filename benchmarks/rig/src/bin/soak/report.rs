//! What a soak says at its end, and whether it was good.

use crate::ledger::Ledger;
use crate::samples::{Sample, quantile, slope};
use crate::table::Table;

/// What is not accepted.
pub(crate) struct Bounds {
    /// Growth of resident memory, kB a minute.
    pub(crate) memory: f64,
    /// Growth of open descriptors a minute.
    pub(crate) descriptors: f64,
}

/// Slopes over less than so many minutes say nothing.
const SLOPES_FROM: f64 = 5.0;

/// The tables, and what was bad.
pub(crate) fn write(ledger: &Ledger, samples: &[Sample], bounds: &Bounds) -> (String, Vec<String>) {
    let mut faults = Vec::new();
    let mut requests = Table::new(&["", "answered", "interrupted", "lost"]);
    for (kind, tally) in ledger.tallies() {
        if tally.lost > 0 {
            faults.push(format!("{}: {} lost", kind, tally.lost));
        }
        let figures = [tally.answered, tally.interrupted, tally.lost];
        let mut cells = vec![kind.to_owned()];
        cells.extend(figures.map(|figure| figure.to_string()));
        requests.row(&cells);
    }
    let mut latencies = Table::new(&["minute", "answers", "p50 ms", "p99 ms"]);
    for (minute, all) in ledger.latencies() {
        let at = |share| format!("{:.1}", quantile(&all, share) / 1e3);
        latencies.row(&[
            (minute + 1).to_string(),
            all.len().to_string(),
            at(0.5),
            at(0.99),
        ]);
    }
    let settled = settled(samples);
    let mut memory = Table::new(&["", "first", "last", "most", "growth a minute"]);
    let resident = slope(settled, |sample| sample.resident);
    let descriptors = slope(settled, |sample| sample.descriptors);
    memory.row(&row("resident memory, kB", samples, resident, |s| {
        s.resident
    }));
    memory.row(&row("open descriptors", samples, descriptors, |s| {
        s.descriptors
    }));
    let minutes = match (settled.first(), settled.last()) {
        (Some(first), Some(last)) => (last.at - first.at).as_secs_f64() / 60.0,
        _ => 0.0,
    };
    let judged = minutes >= SLOPES_FROM;
    if judged && resident > bounds.memory {
        faults.push(format!("memory grows by {resident:.0} kB a minute"));
    }
    if judged && descriptors > bounds.descriptors {
        faults.push(format!("descriptors grow by {descriptors:.1} a minute"));
    }
    let how = if judged {
        format!(
            "bounds: {} kB and {} descriptors a minute",
            bounds.memory, bounds.descriptors
        )
    } else {
        format!("less than {SLOPES_FROM} minutes: not judged")
    };
    let text = format!(
        "{requests}\n{latencies}\n{memory}\nGrowth is that of the last {minutes:.1} minutes ({how}).\n"
    );
    (text, faults)
}

/// Without the first third, in which caches and pools fill.
fn settled(samples: &[Sample]) -> &[Sample] {
    samples.get(samples.len() / 3..).unwrap_or_default()
}

fn row(name: &str, samples: &[Sample], slope: f64, figure: impl Fn(&Sample) -> f64) -> [String; 5] {
    let whole = |sample: Option<&Sample>| sample.map_or(0.0, &figure).round().to_string();
    let most = samples.iter().map(&figure).fold(0.0, f64::max);
    [
        name.to_owned(),
        whole(samples.first()),
        whole(samples.last()),
        most.to_string(),
        format!("{slope:.1}"),
    ]
}
