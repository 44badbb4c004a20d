//! The load over HTTP/2: h2load, and what it prints at its end.

use std::net::SocketAddr;
use std::process::Command;

use crate::failure::Failure;
use crate::identity::NAME;
use crate::load::{Load, Pressure};
use crate::scenario::Scenario;

/// Streams at once on each connection.
const STREAMS: usize = 8;

/// The command that presses `to`: as many requests at once as wrk would have in flight.
pub(crate) fn command(
    launch: impl FnOnce(&str) -> Command,
    to: SocketAddr,
    pressure: Pressure,
) -> Command {
    let streams = STREAMS.min(pressure.connections).max(1);
    let mut command = launch("h2load");
    command
        .arg("-t1")
        .arg(format!("-c{}", (pressure.connections / streams).max(1)))
        .arg(format!("-m{streams}"))
        .arg(format!("-D{}", pressure.seconds));
    to_first_route(&mut command, to);
    command
}

/// The command that sends a number of requests, one at a time.
pub(crate) fn one_by_one(
    launch: impl FnOnce(&str) -> Command,
    to: SocketAddr,
    requests: u32,
) -> Command {
    let mut command = launch("h2load");
    command
        .args(["-t1", "-c1", "-m1"])
        .arg(format!("-n{requests}"));
    to_first_route(&mut command, to);
    command
}

/// The name goes into SNI and `:authority`; the connection goes to the address.
fn to_first_route(command: &mut Command, to: SocketAddr) {
    command
        .arg(format!("--connect-to={to}"))
        .arg(format!("https://{NAME}{}", Scenario::target(1)));
}

/// The figures in what h2load has printed. It knows no percentiles.
pub(crate) fn read(output: &str) -> Result<Load, Failure> {
    let load = figures(output)
        .ok_or_else(|| Failure::said(format!("h2load reported nothing; it printed:\n{output}")))?;
    if load.requests < 1.0 {
        return Err(Failure::said(format!(
            "no request was answered; h2load printed:\n{output}"
        )));
    }
    Ok(load)
}

fn figures(output: &str) -> Option<Load> {
    let after = |start: &str| output.lines().find_map(|line| line.strip_prefix(start));
    // finished in 1.00s, 45615.00 req/s, 2.96MB/s
    let rate = after("finished in ")?
        .split(", ")
        .find_map(|part| part.strip_suffix(" req/s")?.parse().ok())?;
    // requests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout
    let counts = after("requests: ")?;
    let count = |of: &str| -> Option<f64> {
        let mut counts = counts.split(", ");
        counts.find_map(|part| part.strip_suffix(of)?.strip_suffix(' ')?.parse().ok())
    };
    // time for request:       43us     56.37ms       610us      1.74ms    96.69%
    let mut times = after("time for request:")?.split_ascii_whitespace().skip(1);
    let (max, mean) = (micros(times.next()?)?, micros(times.next()?)?);
    Some(Load {
        requests: count("done")?,
        rate,
        // What is answered with 4xx or 5xx counts as failed too.
        failed: count("failed")? + count("timeout")?,
        p50: None,
        p99: None,
        p999: None,
        mean: Some(mean),
        max: Some(max),
    })
}

/// A time with its unit, in microseconds.
fn micros(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| c.is_ascii_alphabetic())?)?;
    let factor = match unit {
        "us" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{command, micros, read};
    use crate::load::Pressure;

    const PRINTED: &str = "\
starting benchmark...
TLS Protocol: TLSv1.3
finished in 1.12s, 45615.50 req/s, 2.96MB/s
requests: 45615 total, 45647 started, 45615 done, 45614 succeeded, 1 failed, 1 errored, 2 timeout
status codes: 45614 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 2.96MB (3102016) total, 2.09MB (2189520) headers (space savings 51.02%), 89.09KB (91230) data
                     min         max         mean         sd        +/- sd
time for request:       43us     56.37ms       610us      1.74ms    96.69%
time for connect:     5.19ms      6.45ms      5.86ms       539us    50.00%
time to 1st byte:    62.64ms     62.86ms     62.76ms        92us    50.00%
req/s           :   11168.58    11573.40    11399.22      169.19    50.00%
";

    #[test]
    fn the_figures_are_found_in_the_report() {
        let load = read(PRINTED).unwrap();
        assert_eq!(
            (load.requests, load.rate, load.failed),
            (45615.0, 45615.5, 3.0)
        );
        assert_eq!((load.mean, load.max), (Some(610.0), Some(56370.0)));
        assert_eq!((load.p50, load.p99, load.p999), (None, None, None));
    }

    #[test]
    fn a_report_without_answers_is_a_failure() {
        let nothing = PRINTED.replace("45615 done", "0 done");
        assert!(read(&nothing).is_err());
        assert!(read("h2load: option requires an argument").is_err());
        assert!(read(&PRINTED.replace("610us", "fast")).is_err());
        assert!(read("").is_err());
    }

    #[test]
    fn times_have_units() {
        assert_eq!(micros("43us"), Some(43.0));
        assert_eq!(micros("1.50ms"), Some(1500.0));
        assert_eq!(micros("2.25s"), Some(2_250_000.0));
        assert_eq!(micros("2m"), None);
        assert_eq!(micros("2"), None);
    }

    #[test]
    fn connections_become_streams() {
        let arguments = |connections| {
            let to = std::net::SocketAddr::from(([127, 0, 0, 1], 9443));
            let pressure = Pressure {
                connections,
                seconds: 1,
            };
            let command = command(|program| Command::new(program), to, pressure);
            let words = command.get_args().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        };
        assert!(arguments(32).starts_with("-t1 -c4 -m8 -D1 --connect-to=127.0.0.1:9443 "));
        assert!(arguments(1).starts_with("-t1 -c1 -m1 "));
    }
}
