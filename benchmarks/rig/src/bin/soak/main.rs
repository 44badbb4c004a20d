//! The soak: mixed traffic for a while, beside changes, ended nodes, restarts and hostile clients.
//! It uses loopback only and ends only what it started.

#![allow(
    clippy::print_stdout,
    reason = "the report is what this program is for"
)]

mod changes;
mod client;
mod course;
mod gateway;
mod hostile;
mod ledger;
mod origin;
mod payload;
mod report;
mod samples;
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
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Between two requests of each of the fourteen clients, in milliseconds.
    #[arg(long, default_value_t = 20)]
    pause: u64,
    /// More growth of resident memory than this, in kB a minute, is a fault.
    #[arg(long, default_value_t = 256.0)]
    memory: f64,
    /// More growth of open descriptors than this, a minute, is a fault.
    #[arg(long, default_value_t = 2.0)]
    descriptors: f64,
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
    let folder = tempfile::tempdir()?;
    let pause = Duration::from_millis(options.pause);
    let (world, traffic) = world::World::build(&program, folder.path(), pause).await?;
    let ledger = world.shared.ledger.clone();
    let course = tokio::select! {
        course = course::run(world, traffic, length) => course?,
        _ = tokio::signal::ctrl_c() => return Err(io::Error::other("stopped")),
    };
    let bounds = Bounds {
        memory: options.memory,
        descriptors: options.descriptors,
    };
    let (text, mut faults) = report::write(&ledger, &course.samples, &bounds);
    faults.extend(course.faults);
    println!("{text}");
    for loss in ledger.losses() {
        println!("lost: {loss}");
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
