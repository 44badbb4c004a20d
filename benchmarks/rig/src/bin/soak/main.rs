//! The soak: mixed traffic for a while, beside changes, ended nodes, upgrades, restarts and hostile clients.
//! It uses loopback only and ends only what it started.

#![allow(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]

mod admin;
mod changes;
mod client;
mod course;
mod flow;
mod gateway;
mod generations;
mod hostile;
mod ledger;
mod mix;
mod origin;
mod payload;
mod process;
mod report;
mod samples;
mod sessions;
mod stopped;
#[path = "../../table.rs"]
mod table;
mod traffic;
mod world;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use report::Bounds;

/// Runs the gateway under mixed traffic and reports what was lost and what grew.
#[derive(Parser)]
struct Options {
    /// How long, in minutes.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// The gateway; by default `crossway` beside this program.
    #[arg(long, env = "SOAK_GATEWAY")]
    gateway: Option<PathBuf>,
    /// Between two requests of most clients, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pause: u64,
    /// Between two upgrades, in seconds.
    #[arg(long, default_value_t = 60)]
    upgrade_every: u64,
    /// More growth of resident memory than this, in kB a minute or from process to process, is a fault.
    #[arg(long, default_value_t = 256.0)]
    memory: f64,
    /// More growth of open descriptors than this, a minute or from process to process, is a fault.
    #[arg(long, default_value_t = 2.0)]
    descriptors: f64,
    /// Tell the first interruptions in full, too.
    #[arg(long)]
    tell: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match soak(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn soak(options: Options) -> io::Result<bool> {
    let program = match options.gateway {
        Some(given) => given,
        None => std::env::current_exe()?.with_file_name("crossway"),
    };
    let length = Duration::try_from_secs_f64(options.minutes * 60.0).map_err(io::Error::other)?;
    let upgrade_every = Duration::from_secs(options.upgrade_every);
    let folder = tempfile::tempdir()?;
    let pause = Duration::from_millis(options.pause);
    process::adopt_orphans()?;
    let (world, traffic) = world::World::build(&program, folder.path(), pause).await?;
    let ledger = world.shared.ledger.clone();
    let course = tokio::select! {
        course = course::run(world, traffic, length, upgrade_every) => course?,
        () = asked_to_stop() => return Err(io::Error::other("stopped")),
    };
    let bounds = Bounds {
        memory: options.memory,
        descriptors: options.descriptors,
        age: upgrade_every.mul_f64(0.75),
    };
    let (text, faults) = report::write(&ledger, &course, &bounds);
    println!("{text}");
    for excused in ledger.excused().iter().filter(|_| options.tell) {
        println!("{excused}");
    }
    for loss in ledger.losses() {
        println!("{loss}");
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    if faults.is_empty() {
        println!("Nothing was lost.");
    } else {
        println!("the gateway's logs are in {}", folder.keep().display());
    }
    Ok(faults.is_empty())
}

/// Ctrl-C or SIGTERM. What runs ends with the future that owns it.
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
