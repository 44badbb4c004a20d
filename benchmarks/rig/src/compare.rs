//! The comparison: all peers of a scenario up at once, loaded in turn, round after round, so that
//! whatever else this machine does hits all of them alike.

use crate::failure::{During, Failure};
use crate::instructions::{self, Counter};
use crate::load::{self, Load, Pressure};
use crate::meter::{cpu_micros, median, resident_kib};
use crate::peer::{Bench, Peer, Under, Up};
use crate::scenario::{Over, Scenario};
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
    let peers = scenario.peers(bench.nginx.is_some());
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
        press(bench, scenario, up, &script, warm, Counter::Nothing)?;
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
            let (load, counted) = press(bench, scenario, up, &script, plan.pressure, plan.counter)?;
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
    scenario: &Scenario,
    up: &Up,
    script: &std::path::Path,
    pressure: Pressure,
    counter: Counter,
) -> Result<(Load, Option<f64>), Failure> {
    let over = scenario.over;
    let launch = |program: &str| bench.beside(program);
    let mut command = load::command(launch, over, up.addr, script, pressure);
    if counter != Counter::Perf {
        let output = bench.processes.run(&mut command)?;
        return Ok((load::read(over, &output)?, None));
    }
    let mut command = instructions::counted(up.running.id(), &command);
    let output = bench.processes.run(&mut command)?;
    Ok((load::read(over, &output)?, instructions::read_perf(&output)))
}

fn table(scenario: &Scenario, plan: &Plan, figures: &[(Peer, Figures)]) -> String {
    let yardstick = scenario.peers(true).first().copied();
    let theirs = figures
        .iter()
        .find(|(peer, _)| Some(*peer) == yardstick)
        .map(|(_, figures)| figures);
    // Ratios are taken inside a round, then the median: what moves a round moves both sides.
    let ratio = |of: fn(&Figures) -> &Vec<f64>, mine: &Figures| {
        let theirs = theirs.map(of).map(Vec::as_slice).unwrap_or_default();
        let ratios: Vec<f64> = of(mine).iter().zip(theirs).map(|(a, b)| a / b).collect();
        cell(&ratios, 2)
    };
    let times = format!("x {}", yardstick.map_or("", Peer::name));
    let mut headings = vec![
        "",
        "CPU us/request",
        &times,
        "instructions/request",
        &times,
        "requests/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
    ];
    // What h2load gives in place of percentiles.
    let coarse = scenario.over == Over::Http2;
    if coarse {
        headings.extend(["mean us", "max us"]);
    }
    headings.push("RSS MB");
    let mut table = Table::new(&headings);
    for (peer, mine) in figures {
        let of = |field: fn(&Load) -> Option<f64>| {
            cell(&mine.loads.iter().filter_map(field).collect::<Vec<_>>(), 0)
        };
        let mut row = vec![
            peer.name().to_owned(),
            cell(&mine.cpu, 1),
            ratio(|figures| &figures.cpu, mine),
            cell(&mine.instructions, 0),
            ratio(|figures| &figures.instructions, mine),
            of(|load| Some(load.rate)),
            of(|load| load.p50),
            of(|load| load.p99),
            of(|load| load.p999),
        ];
        if coarse {
            row.extend([of(|load| load.mean), of(|load| load.max)]);
        }
        row.push(cell(&[mine.resident_kib as f64 / 1024.0], 1));
        table.row(&row);
    }
    let load = match scenario.over {
        Over::Plain | Over::Tls => "connections",
        Over::Http2 => "requests at once",
    };
    format!(
        "### {}: {}\n\n{} rounds of {} s, {} {load}; {}.\n\n{table}",
        scenario.name,
        scenario.title,
        plan.rounds,
        plan.pressure.seconds,
        plan.pressure.connections,
        plan.counter.title(),
    )
}

/// The median with so many decimals, or "-" when there is nothing to take it of.
fn cell(figures: &[f64], decimals: usize) -> String {
    if figures.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.decimals$}", median(figures))
    }
}
