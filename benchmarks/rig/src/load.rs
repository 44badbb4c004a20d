//! The load: wrk with a script that reports in one line.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::processes::Processes;

/// What one run of wrk saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) requests: f64,
    /// Requests per second.
    pub(crate) rate: f64,
    pub(crate) failed: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// How hard to press.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    pub(crate) connections: usize,
    pub(crate) seconds: u64,
}

/// The command that presses `to` with `script`.
pub(crate) fn command(
    launch: impl FnOnce(&str) -> Command,
    to: SocketAddr,
    script: &Path,
    pressure: Pressure,
) -> Command {
    let mut command = launch("wrk");
    command
        .arg("-t1")
        .arg(format!("-c{}", pressure.connections))
        .arg(format!("-d{}s", pressure.seconds))
        .arg("--timeout=10s")
        .arg("-s")
        .arg(script)
        .arg(format!("http://{to}/"));
    command
}

/// Runs wrk and reads its line.
pub(crate) fn press(processes: &Processes, mut command: Command) -> Result<Load, Failure> {
    let output = processes.run(&mut command)?;
    read(&output)
}

/// The figures in what wrk has printed.
pub(crate) fn read(output: &str) -> Result<Load, Failure> {
    let line = output.lines().find_map(|line| line.strip_prefix("RIG "));
    let figures: Vec<f64> = line
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|figure| figure.parse().ok())
        .collect();
    let [requests, micros, failed, p50, p99, p999] = figures.as_slice() else {
        return Err(Failure::said(format!(
            "wrk reported nothing; it printed:\n{output}"
        )));
    };
    if *requests < 1.0 {
        return Err(Failure::said(format!(
            "no request was answered; wrk printed:\n{output}"
        )));
    }
    Ok(Load {
        requests: *requests,
        rate: requests / (micros / 1e6),
        failed: *failed,
        p50: *p50,
        p99: *p99,
        p999: *p999,
    })
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn the_line_is_found_among_wrks_own() {
        let load = read("Running 1s test\nRIG 1000 2000000 3 150 900 1500\n  thread stats\n");
        let load = load.unwrap();
        assert_eq!(
            (load.requests, load.rate, load.failed),
            (1000.0, 500.0, 3.0)
        );
        assert_eq!((load.p50, load.p99, load.p999), (150.0, 900.0, 1500.0));
        assert!(read("unable to connect").is_err());
        assert!(read("RIG 0 1000 5 0 0 0").is_err());
    }
}
