//! What a client connection costs that has asked once and is now silent.

use crate::failure::{During, Failure};
use crate::meter::resident_kib;
use crate::peer::{Bench, Under};
use crate::scenario::Scenario;
use crate::table::Table;

/// Opens this many connections to each peer; returns the table.
pub(crate) fn run(
    bench: &Bench,
    scenario: &Scenario,
    connections: usize,
) -> Result<String, Failure> {
    let mut table = Table::new(&["", "RSS before, MB", "after, MB", "KB each"]);
    for peer in scenario.peers(bench.nginx.is_some()) {
        eprintln!("idle: {connections} connections to {}", peer.name());
        let up = bench.start(peer, scenario, Under::Nothing)?;
        let doing = || format!("open idle connections to {}", peer.name());
        let mut warm = bench.connect(scenario, up.addr).during(doing())?;
        warm.ask("GET", "/r/1/x", "", "").during(doing())?;
        let before = resident_kib(up.running.id())?;
        let mut idle = Vec::new();
        for _ in 0..connections {
            let mut connection = bench.connect(scenario, up.addr).during(doing())?;
            connection.ask("GET", "/r/1/x", "", "").during(doing())?;
            idle.push(connection);
        }
        let after = resident_kib(up.running.id())?;
        let each = after.saturating_sub(before) as f64 / connections.max(1) as f64;
        table.row(&[
            peer.name().to_owned(),
            format!("{:.1}", before as f64 / 1024.0),
            format!("{:.1}", after as f64 / 1024.0),
            format!("{each:.1}"),
        ]);
    }
    Ok(format!("### {connections} idle connections\n\n{table}"))
}
