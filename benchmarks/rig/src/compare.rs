//! The comparison: all peers of a scenario up at once, loaded in turn, round after round, so that
//! whatever else this machine does hits all of them alike.

use crate::failure::{During, Failure};
use crate::instructions::{self, Counter};
use crate::load::{self, Load, Pressure};
use crate::meter::{cpu_micros, median, resident_kib};
use crate::peer::{Bench, Peer, Under, Up};
use crate::scenario::Scenario;
use crate::table::Table;

/// How long and how often.
pub(crate) struct Plan {
    pub(crate) pressure: Pressure,
    pub(crate) rounds: usize,
    pub(crate) counter: Counter,
    /// Numbers of requests of the two runs under callgrind.
    pub(crate) callgrind: [u32; 2],
}

#[derive(Default)]
struct Figures {
    cpu: Vec<f64>,
    instructions: Vec<f64>,
    loads: Vec<Load>,
    resident_kib: u64,
}

/// Measures one scenario and returns its table.
pub(crate) fn run(bench: &Bench, scenario: &Scenario, plan: &Plan) -> Result<String, Failure> {
    let mut peers = vec![Peer::Bare, Peer::Gateway];
    if bench.nginx.is_some() {
        peers.push(Peer::Nginx);
    }
    let mut figures: Vec<(Peer, Figures)> = peers
        .iter()
        .map(|peer| (*peer, Figures::default()))
        .collect();
    pressed(bench, scenario, plan, &mut figures)?;
    if plan.counter == Counter::Callgrind && scenario.under_valgrind {
        for (peer, figures) in &mut figures {
            eprintln!(
                "{}: counting {} under callgrind",
                scenario.name,
                peer.name()
            );
            let count = instructions::by_callgrind(bench, *peer, scenario, plan.callgrind)?;
            figures.instructions.push(count);
        }
    }
    Ok(table(scenario, plan, &figures))
}

fn pressed(
    bench: &Bench,
    scenario: &Scenario,
    plan: &Plan,
    figures: &mut [(Peer, Figures)],
) -> Result<(), Failure> {
    let script = bench.folder.join(format!("{}.lua", scenario.name));
    std::fs::write(&script, scenario.lua()).during("write the script for wrk")?;
    let mut up = Vec::new();
    for (peer, _) in figures.iter() {
        up.push(bench.start(*peer, scenario, Under::Nothing)?);
    }
    let warm = Pressure {
        seconds: 1,
        ..plan.pressure
    };
    for up in &up {
        press(bench, up, &script, warm, Counter::Nothing)?;
    }
    for round in 0..plan.rounds {
        for ((peer, figures), up) in figures.iter_mut().zip(&up) {
            eprintln!(
                "{}: round {} of {}, {}",
                scenario.name,
                round + 1,
                plan.rounds,
                peer.name()
            );
            let before = cpu_micros(up.running.id())?;
            let (load, counted) = press(bench, up, &script, plan.pressure, plan.counter)?;
            let spent = cpu_micros(up.running.id())?.saturating_sub(before);
            if load.failed > 0.0 {
                let (name, failed) = (peer.name(), load.failed);
                return Err(Failure::said(format!("{name} failed {failed} requests")));
            }
            figures.cpu.push(spent as f64 / load.requests);
            figures
                .instructions
                .extend(counted.map(|count| count / load.requests));
            figures.loads.push(load);
            figures.resident_kib = resident_kib(up.running.id())?;
        }
    }
    Ok(())
}

/// Presses once; with perf, the instructions of the forwarder during this time as well.
fn press(
    bench: &Bench,
    up: &Up,
    script: &std::path::Path,
    pressure: Pressure,
    counter: Counter,
) -> Result<(Load, Option<f64>), Failure> {
    let command = load::command(|program| bench.beside(program), up.addr, script, pressure);
    if counter != Counter::Perf {
        return Ok((load::press(&bench.processes, command)?, None));
    }
    let mut command = instructions::counted(up.running.id(), &command);
    let output = bench.processes.run(&mut command)?;
    Ok((load::read(&output)?, instructions::read_perf(&output)))
}

fn table(scenario: &Scenario, plan: &Plan, figures: &[(Peer, Figures)]) -> String {
    let bare = figures
        .iter()
        .find(|(peer, _)| *peer == Peer::Bare)
        .map(|(_, figures)| figures);
    // Ratios are taken inside a round, then the median: what moves a round moves both sides.
    let ratio = |of: fn(&Figures) -> &Vec<f64>, mine: &Figures| {
        let theirs = bare.map(of).map(Vec::as_slice).unwrap_or_default();
        let ratios: Vec<f64> = of(mine).iter().zip(theirs).map(|(a, b)| a / b).collect();
        if ratios.is_empty() {
            "-".to_owned()
        } else {
            format!("{:.2}", median(&ratios))
        }
    };
    let mut table = Table::new(&[
        "",
        "CPU us/request",
        "x bare",
        "instructions/request",
        "x bare",
        "requests/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "RSS MB",
    ]);
    for (peer, mine) in figures {
        let of =
            |field: fn(&Load) -> f64| median(&mine.loads.iter().map(field).collect::<Vec<f64>>());
        let instructions = if mine.instructions.is_empty() {
            "-".to_owned()
        } else {
            format!("{:.0}", median(&mine.instructions))
        };
        table.row(&[
            peer.name().to_owned(),
            format!("{:.1}", median(&mine.cpu)),
            ratio(|figures| &figures.cpu, mine),
            instructions,
            ratio(|figures| &figures.instructions, mine),
            format!("{:.0}", of(|load| load.rate)),
            format!("{:.0}", of(|load| load.p50)),
            format!("{:.0}", of(|load| load.p99)),
            format!("{:.0}", of(|load| load.p999)),
            format!("{:.1}", mine.resident_kib as f64 / 1024.0),
        ]);
    }
    format!(
        "### {}: {}\n\n{} rounds of {} s, {} connections; {}.\n\n{table}",
        scenario.name,
        scenario.title,
        plan.rounds,
        plan.pressure.seconds,
        plan.pressure.connections,
        plan.counter.title(),
    )
}
