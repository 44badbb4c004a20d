//! The load over HTTP/1.1: wrk with a script that reports in one line.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::load::{Load, Pressure};

/// The command that presses `url` with `script`.
pub(crate) fn command(
    launch: impl FnOnce(&str) -> Command,
    url: &str,
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
        .arg(url);
    command
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
        p50: Some(*p50),
        p99: Some(*p99),
        p999: Some(*p999),
        mean: None,
        max: None,
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
        assert_eq!(
            (load.p50, load.p99, load.p999),
            (Some(150.0), Some(900.0), Some(1500.0))
        );
        assert!(read("unable to connect").is_err());
        assert!(read("RIG 0 1000 5 0 0 0").is_err());
    }
}
