//! The load: what runs it, how hard, and what it saw.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::scenario::Over;
use crate::{h2load, wrk};

/// What one run saw. Times are in microseconds, and absent where the program does not tell them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) failed: f64,
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
    pub(crate) p999: Option<f64>,
    pub(crate) mean: Option<f64>,
    pub(crate) max: Option<f64>,
}

/// How hard to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    /// Requests at once; each has a connection of its own unless it is a stream of HTTP/2.
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
}

/// The command that presses `to`; `script` is for wrk.
pub(crate) fn command(
    launch: impl FnOnce(&str) -> Command,
    over: Over,
    to: SocketAddr,
    script: &Path,
    pressure: Pressure,
) -> Command {
    match over {
        Over::Plain => wrk::command(launch, &format!("http://{to}/"), script, pressure),
        Over::Tls => wrk::command(launch, &format!("https://{to}/"), script, pressure),
        Over::Http2 => h2load::command(launch, to, pressure),
    }
}

/// The figures in what that command has printed.
pub(crate) fn read(over: Over, output: &str) -> Result<Load, Failure> {
    match over {
        Over::Plain | Over::Tls => wrk::read(output),
        Over::Http2 => h2load::read(output),
    }
}
