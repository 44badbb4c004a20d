//! What 100,000 routes cost: the start, the memory of each, and a change of the whole file.

use std::time::{Duration, Instant};

use crate::failure::{During, Failure};
use crate::http;
use crate::meter::resident_kib;
use crate::peer::{Bench, Peer, Under};
use crate::processes::pause;
use crate::scenario::{Over, Scenario};
use crate::table::Table;

/// After so long the gateway has given back what reading the file took.
const SETTLED: Duration = Duration::from_secs(5);

/// Measures and returns the table.
pub(crate) fn run(bench: &Bench, routes: usize) -> Result<String, Failure> {
    let scenario = |name, routes| Scenario {
        name,
        title: "",
        over: Over::Plain,
        routes,
        plugins: false,
        under_valgrind: false,
    };
    let one = {
        let up = bench.start(Peer::Gateway, &scenario("capacity-1", 1), Under::Nothing)?;
        pause(SETTLED);
        resident_kib(up.running.id())?
    };
    eprintln!("capacity: starting with {routes} routes");
    let up = bench.start(Peer::Gateway, &scenario("capacity", routes), Under::Nothing)?;
    pause(SETTLED);
    let many = resident_kib(up.running.id())?;

    let file = bench.folder.join("crossway-capacity.yaml");
    let beside = file.with_extension("new");
    let more = scenario("capacity", routes + 1).resources(bench.origin, &bench.identity);
    std::fs::write(&beside, more).during("write the larger resources file")?;
    std::fs::rename(&beside, &file).during("move the larger resources file into place")?;
    let moved = Instant::now();
    let target = Scenario::target(routes + 1);
    while !matches!(http::get(up.addr, &target, ""), Ok(200)) {
        if moved.elapsed() > Duration::from_secs(120) {
            return Err(Failure::said(
                "the larger file was not live after two minutes",
            ));
        }
        pause(Duration::from_millis(1));
    }
    let live = moved.elapsed();

    let mut table = Table::new(&["with a file of routes", "figure"]);
    table.row(&["routes".to_owned(), routes.to_string()]);
    table.row(&[
        "start to first answer, s".to_owned(),
        format!("{:.2}", up.took.as_secs_f64()),
    ]);
    let bytes = many.saturating_sub(one) as f64 * 1024.0 / routes.max(1) as f64;
    table.row(&[
        "memory per route 5 s after the start, bytes".to_owned(),
        format!("{bytes:.0}"),
    ]);
    table.row(&[
        "RSS with one route, MB".to_owned(),
        format!("{:.1}", one as f64 / 1024.0),
    ]);
    table.row(&[
        "RSS with all routes, MB".to_owned(),
        format!("{:.1}", many as f64 / 1024.0),
    ]);
    let live = format!("{:.2}", live.as_secs_f64());
    table.row(&["file changed to change live, s".to_owned(), live]);
    Ok(format!("### capacity\n\n{table}"))
}
