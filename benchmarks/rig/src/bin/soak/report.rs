//! What a soak says at its end, and whether it was good.

use std::fmt::Write as _;
use std::time::Duration;

use crate::course::Course;
use crate::generations::Growth;
use crate::ledger::{Ledger, Tally};
use crate::samples::quantile;
use crate::table::Table;

/// What is not accepted.
pub(crate) struct Bounds {
    /// Growth of resident memory, kB a minute, and from process to process.
    pub(crate) memory: f64,
    /// Growth of open descriptors a minute, and from process to process.
    pub(crate) descriptors: f64,
    /// At which age processes are compared.
    pub(crate) age: Duration,
}

/// Slopes over less than so many minutes say nothing.
const SLOPES_FROM: f64 = 5.0;
/// Nor do those over fewer processes.
const PROCESSES_FROM: usize = 6;

/// The tables, and what was bad.
pub(crate) fn write(ledger: &Ledger, course: &Course, bounds: &Bounds) -> (String, Vec<String>) {
    let mut faults = course.faults.clone();
    let requests = requests(ledger, &mut faults);
    let growth = growth(course, bounds, &mut faults);
    let stopped: Vec<String> = course
        .stopped
        .iter()
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let mut text = format!("{requests}\n{growth}\n");
    let outcome = writeln!(
        text,
        "{} upgrades, {} restarts, {} node kills, {} rounds of changes.\n{}\nStopped by the edge: {}.",
        course.upgrades,
        course.restarts,
        course.node_kills,
        ledger
            .tallies()
            .get("change")
            .map_or(0, |changes| changes.answered + changes.retried),
        minutes(ledger),
        stopped.join(", "),
    );
    faults.extend(outcome.err().map(|error| error.to_string()));
    (text, faults)
}

fn requests(ledger: &Ledger, faults: &mut Vec<String>) -> Table {
    let mut table = Table::new(&[
        "",
        "answered",
        "retried",
        "interrupted",
        "drained",
        "lost",
        "wrong",
        "p50 ms",
        "p99 ms",
    ]);
    let mut all = Tally::default();
    for (kind, tally) in ledger.tallies() {
        if tally.lost + tally.wrong > 0 {
            faults.push(format!(
                "{kind}: {} lost, {} wrong",
                tally.lost, tally.wrong
            ));
        }
        all.answered += tally.answered;
        all.retried += tally.retried;
        all.interrupted += tally.interrupted;
        all.drained += tally.drained;
        all.lost += tally.lost;
        all.wrong += tally.wrong;
        table.row(&cells(kind, &tally));
    }
    table.row(&cells("all", &all));
    table
}

fn cells(name: &str, tally: &Tally) -> Vec<String> {
    let counts = [
        tally.answered,
        tally.retried,
        tally.interrupted,
        tally.drained,
        tally.lost,
        tally.wrong,
    ];
    let mut cells = vec![name.to_owned()];
    cells.extend(counts.map(|count| count.to_string()));
    cells.extend([0.5, 0.99].map(|share| match tally.latencies.is_empty() {
        true => "-".to_owned(),
        false => format!("{:.1}", quantile(&tally.latencies, share) / 1e3),
    }));
    cells
}

/// The best and the worst minute.
fn minutes(ledger: &Ledger) -> String {
    let minutes = ledger.minutes();
    let between = |share: f64| {
        let of_each = minutes.values().map(|all| quantile(all, share) / 1e3);
        let (least, most) = of_each.fold((f64::INFINITY, 0.0), |(least, most), figure| {
            (f64::min(least, figure), f64::max(most, figure))
        });
        format!("{least:.1} to {most:.1} ms")
    };
    format!(
        "By minute, p50 was {}, p99 {}.",
        between(0.5),
        between(0.99)
    )
}

fn growth(course: &Course, bounds: &Bounds, faults: &mut Vec<String>) -> String {
    let generations = &course.generations;
    let settled = generations.settled();
    let minutes = match (settled.first(), settled.last()) {
        (Some(first), Some(last)) => (last.at - first.at).as_secs_f64() / 60.0,
        _ => 0.0,
    };
    let memory = generations.within(|sample| sample.resident);
    let descriptors = generations.within(|sample| sample.descriptors);
    let (memory_over, processes) = generations.over(bounds.age, |sample| sample.resident);
    let (descriptors_over, _) = generations.over(bounds.age, |sample| sample.descriptors);
    let mut table = Table::new(&["", "first", "last", "most", "growth"]);
    let mut add = |name: &str, growth: Growth, bound: f64, judged: bool| {
        table.row(&row(name, growth));
        // Twice its standard error is what a slope may be off by.
        if judged && growth.line.slope - 2.0 * growth.line.error > bound {
            faults.push(format!("{name} grow by {:.1}", growth.line.slope));
        }
    };
    let long = minutes >= SLOPES_FROM;
    let many = processes >= PROCESSES_FROM;
    add("memory in kB, by the minute", memory, bounds.memory, long);
    add(
        "descriptors, by the minute",
        descriptors,
        bounds.descriptors,
        long,
    );
    add(
        "memory in kB, by the process",
        memory_over,
        bounds.memory,
        many,
    );
    add(
        "descriptors, by the process",
        descriptors_over,
        bounds.descriptors,
        many,
    );
    let said = |judged: bool| if judged { "judged" } else { "too few to judge" };
    format!(
        "{table}\nBy the minute: the last {minutes:.1} minutes of the last process ({}). By the process: {processes} \
         processes at an age of {} s ({}). Bounds: {} kB, {} descriptors.\n",
        said(long),
        bounds.age.as_secs(),
        said(many),
        bounds.memory,
        bounds.descriptors
    )
}

fn row(name: &str, growth: Growth) -> [String; 5] {
    let whole = |figure: f64| figure.round().to_string();
    [
        name.to_owned(),
        whole(growth.first),
        whole(growth.last),
        whole(growth.most),
        format!("{:.1} ± {:.1}", growth.line.slope, growth.line.error),
    ]
}
