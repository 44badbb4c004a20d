//! The load rig: measures the gateway beside `bare` (a minimal Pingora forwarder) and nginx on
//! one machine in one interleaved run, and prints markdown tables. It uses loopback only, ends
//! what it started (by process id, on Ctrl-C too), and touches nothing else.

#![allow(
    clippy::print_stdout,
    reason = "the tables are what this program is for"
)]

mod capacity;
mod compare;
mod failure;
mod h2load;
mod http;
mod identity;
mod idle;
mod instructions;
mod live;
mod load;
mod meter;
mod peer;
mod processes;
mod scenario;
mod settings;
mod table;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use compare::Plan;
use failure::{During, Failure};
use identity::Identity;
use instructions::Counter;
use load::Pressure;
use peer::{Bench, free_port};
use processes::Processes;
use scenario::{Over, SCENARIOS};

/// Measures Crossway beside a minimal Pingora forwarder and nginx.
#[derive(Parser)]
struct Options {
    /// Short rounds, fewer scenarios: to see whether something moved, not by how much.
    #[arg(long)]
    quick: bool,
    /// Only this: plain, five, routes-10k, routes-100k, tls, http2, capacity, live, live-100k or
    /// idle. May be given several times.
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Seconds of load for each peer in each round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How many rounds; figures are medians over them.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Connections that the load uses.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Do not count instructions (valgrind takes minutes).
    #[arg(long)]
    no_instructions: bool,
    /// The folder with the release binaries `crossway`, `bare` and `origin`; by default the one
    /// that this program is in.
    #[arg(long)]
    binaries: Option<PathBuf>,
}

/// What there is besides the comparisons.
const OTHERS: &[&str] = &["capacity", "live", "live-100k", "idle"];

fn main() -> ExitCode {
    let options = Options::parse();
    match tokio::runtime::Runtime::new()
        .during("start a runtime")
        .and_then(|runtime| {
            let outcome = runtime.block_on(measure_until_stopped(options));
            // When stopped, the measuring thread may be amid a wait; nothing of it is of use any more.
            runtime.shutdown_background();
            outcome
        }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Stopped) => {
            eprintln!("rig: stopped");
            ExitCode::from(130)
        }
        Err(failure) => {
            eprintln!("rig: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn measure_until_stopped(options: Options) -> Result<(), Failure> {
    let folder = tempfile::tempdir().during("make a folder")?;
    let processes = Processes::default();
    let measuring = {
        let processes = processes.clone();
        let folder = folder.path().to_owned();
        tokio::task::spawn_blocking(move || measure(&options, processes, &folder))
    };
    let outcome = tokio::select! {
        outcome = measuring => outcome.unwrap_or_else(|panic| Err(Failure::said(panic.to_string()))),
        () = asked_to_stop() => Err(Failure::Stopped),
    };
    processes.close();
    outcome
}

/// Ctrl-C or SIGTERM.
async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn measure(options: &Options, processes: Processes, folder: &Path) -> Result<(), Failure> {
    let known = |name: &String| {
        OTHERS.contains(&name.as_str()) || SCENARIOS.iter().any(|scenario| scenario.name == name)
    };
    if let Some(unknown) = options.only.iter().find(|name| !known(name)) {
        return Err(Failure::said(format!(
            "there is no scenario {unknown}; see --help"
        )));
    }
    let wanted = |name: &str, quick: bool| {
        if options.only.is_empty() {
            quick || !options.quick
        } else {
            options.only.iter().any(|only| only == name)
        }
    };

    let bench = prepare(options, processes, folder)?;
    let _origin = bench.start_origin()?;
    let plan = plan(options, &bench);
    describe(options, &bench, &plan);
    for scenario in SCENARIOS {
        if !wanted(scenario.name, scenario.routes == 1) {
            continue;
        }
        if scenario.over == Over::Http2 && find("h2load").is_none() {
            println!(
                "### {}: left out, as h2load is not installed (Debian: apt-get install nghttp2-client)\n",
                scenario.name
            );
        } else {
            println!("{}", compare::run(&bench, scenario, &plan)?);
        }
    }
    let routes = if options.quick { 10_000 } else { 100_000 };
    if wanted("capacity", true) {
        println!("{}", capacity::run(&bench, routes)?);
    }
    if wanted("live", true) {
        println!(
            "{}",
            live::run(&bench, 0, if options.quick { 50 } else { 200 })?
        );
    }
    if wanted("live-100k", false) {
        println!("{}", live::run(&bench, routes, 100)?);
    }
    if wanted("idle", true) {
        let plain = SCENARIOS
            .first()
            .ok_or_else(|| Failure::said("no scenario"))?;
        println!("{}", idle::run(&bench, plain, 1000)?);
    }
    Ok(())
}

fn prepare(options: &Options, processes: Processes, folder: &Path) -> Result<Bench, Failure> {
    let own = std::env::current_exe().during("find this program")?;
    let binaries = match &options.binaries {
        Some(given) => given.clone(),
        None => own.parent().unwrap_or(Path::new(".")).to_owned(),
    };
    for name in ["crossway", "bare", "origin"] {
        if !binaries.join(name).is_file() {
            let folder = binaries.display();
            return Err(Failure::said(format!(
                "{name} is not in {folder}: run scripts/bench"
            )));
        }
    }
    if find("wrk").is_none() {
        return Err(Failure::said(
            "wrk is not installed (Debian: apt-get install wrk)",
        ));
    }
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Bench {
        processes,
        binaries,
        nginx: find("nginx"),
        folder: folder.to_owned(),
        pinned: processors > 1 && find("taskset").is_some(),
        origin: free_port()?,
        identity: Identity::make(folder)?,
    })
}

fn plan(options: &Options, bench: &Bench) -> Plan {
    let counter = if options.no_instructions {
        Counter::Nothing
    } else {
        Counter::find(&bench.processes)
    };
    let pressure = Pressure {
        connections: options.connections,
        seconds: if options.quick {
            options.seconds.min(2)
        } else {
            options.seconds
        },
    };
    Plan {
        pressure,
        rounds: if options.quick {
            options.rounds.min(3)
        } else {
            options.rounds
        }
        .max(1),
        counter,
        callgrind: if options.quick {
            [300, 900]
        } else {
            [1000, 4000]
        },
    }
}

fn describe(options: &Options, bench: &Bench, plan: &Plan) {
    let peers = if bench.nginx.is_some() {
        "bare and nginx"
    } else {
        "bare (nginx is not installed)"
    };
    let pinned = if bench.pinned {
        "forwarders on processor 0, origin and load on processor 1"
    } else {
        "nothing pinned to a processor"
    };
    let quick = if options.quick {
        "; a quick run, rough figures"
    } else {
        ""
    };
    println!(
        "Crossway beside {peers}; {pinned}; {}{quick}.\n",
        plan.counter.title()
    );
}

/// Where a program is, if it is on the path or where system programs are.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::{Identity, Over, SCENARIOS};
    use crate::peer::Peer;
    use crate::scenario::Scenario;

    #[test]
    fn the_resources_name_each_route_once_and_end_as_they_should() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::make(folder.path()).unwrap();
        for scenario in SCENARIOS
            .iter()
            .filter(|scenario| scenario.routes < 100_000)
        {
            let origin = std::net::SocketAddr::from(([127, 0, 0, 1], 9082));
            let text = scenario.resources(origin, &identity);
            assert_eq!(
                text.matches("\"uri\"").count(),
                scenario.routes,
                "{}",
                scenario.name
            );
            assert_eq!(text.contains("key-auth"), scenario.plugins);
            assert_eq!(text.contains("ssls:"), scenario.over != Over::Plain);
            assert!(!text.contains('\r'));
            assert!(text.ends_with("#END\n"));
        }
        assert_eq!(Scenario::target(7), "/r/7/x");
    }

    #[test]
    fn what_speaks_no_tls_is_not_measured_over_it() {
        for scenario in SCENARIOS {
            for nginx in [true, false] {
                let peers = scenario.peers(nginx);
                assert_eq!(
                    peers.contains(&Peer::Bare),
                    scenario.over == Over::Plain,
                    "{}",
                    scenario.name
                );
                assert_eq!(peers.contains(&Peer::Nginx), nginx);
                assert!(peers.contains(&Peer::Gateway));
            }
        }
    }
}
