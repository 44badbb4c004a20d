//! Instructions per request: from the processor's counters where `perf stat` has them, else user
//! instructions from callgrind, where two runs of different length cancel the start out.

use std::path::Path;
use std::process::Command;

use crate::failure::{During, Failure};
use crate::h2load;
use crate::peer::{Bench, Peer, Under, Up};
use crate::processes::Processes;
use crate::scenario::{Over, Scenario};

/// What this machine can count with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// User and kernel instructions, under the real load.
    Perf,
    /// User instructions only, one request at a time.
    Callgrind,
    Nothing,
}

impl Counter {
    /// Tries them.
    pub(crate) fn find(processes: &Processes) -> Self {
        let probe = |program: &str, arguments: &[&str]| {
            processes
                .run(Command::new(program).args(arguments))
                .unwrap_or_default()
        };
        let counted = probe(
            "perf",
            &["stat", "-x,", "-e", "instructions:u,instructions:k", "true"],
        );
        if read_perf(&counted).is_some() {
            Self::Perf
        } else if probe("valgrind", &["--version"]).starts_with("valgrind-") {
            Self::Callgrind
        } else {
            Self::Nothing
        }
    }

    /// What the column means.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Perf => "user + kernel instructions/request (perf)",
            Self::Callgrind => "user instructions/request (callgrind)",
            Self::Nothing => {
                "instructions not counted (not wanted, or neither perf nor valgrind here)"
            }
        }
    }
}

/// Wraps a command so that perf counts the instructions of `id` while it runs.
pub(crate) fn counted(id: u32, inner: &Command) -> Command {
    let mut command = Command::new("perf");
    command.args([
        "stat",
        "-x,",
        "-e",
        "instructions:u,instructions:k",
        "-p",
        &id.to_string(),
    ]);
    command
        .arg("--")
        .arg(inner.get_program())
        .args(inner.get_args());
    command
}

/// The sum of the counters that `perf stat -x,` has printed, if it could count.
pub(crate) fn read_perf(output: &str) -> Option<f64> {
    let mut sum = 0.0;
    let mut lines = 0;
    for line in output.lines() {
        let mut fields = line.split(',');
        let (count, event) = (fields.next()?, fields.nth(1));
        if event.is_some_and(|event| event.starts_with("instructions")) {
            sum += count.trim().parse::<f64>().ok()?;
            lines += 1;
        }
    }
    (lines == 2).then_some(sum)
}

/// User instructions per request of a peer, by callgrind.
pub(crate) fn by_callgrind(
    bench: &Bench,
    peer: Peer,
    scenario: &Scenario,
    requests: [u32; 2],
) -> Result<f64, Failure> {
    let [few, many] = requests;
    let counts = bench.folder.join("callgrind.out");
    let mut totals = Vec::new();
    for requests in [few, many] {
        std::fs::remove_file(&counts).ok();
        let up = bench.start(peer, scenario, Under::Callgrind(&counts))?;
        match scenario.over {
            Over::Plain | Over::Tls => ask(bench, peer, scenario, &up, requests)?,
            Over::Http2 => ask_http2(bench, peer, &up, requests)?,
        }
        drop(up);
        totals.push(read_callgrind(&counts)?);
    }
    let [first, second] = totals.as_slice() else {
        return Ok(0.0);
    };
    Ok((second - first) / f64::from(many - few))
}

/// Requests on one connection, spread over the routes in a fixed order, the same in both runs.
fn ask(
    bench: &Bench,
    peer: Peer,
    scenario: &Scenario,
    up: &Up,
    requests: u32,
) -> Result<(), Failure> {
    let doing = || format!("ask {} under valgrind", peer.name());
    let mut connection = bench.connect(scenario, up.addr).during(doing())?;
    let lines = scenario.lines();
    for request in 0..requests {
        let route = 1 + (request as usize * 7919) % scenario.routes;
        let status = connection
            .ask("GET", &Scenario::target(route), &lines, "")
            .during(doing())?;
        if status != 200 {
            return Err(Failure::said(format!("{} answered {status}", peer.name())));
        }
    }
    Ok(())
}

/// The same over HTTP/2, with one route.
fn ask_http2(bench: &Bench, peer: Peer, up: &Up, requests: u32) -> Result<(), Failure> {
    let mut command = h2load::one_by_one(|program| bench.beside(program), up.addr, requests);
    let output = bench.processes.run(&mut command)?;
    let load = h2load::read(&output)?;
    if load.failed > 0.0 || load.requests < f64::from(requests) {
        let name = peer.name();
        return Err(Failure::said(format!(
            "{name} failed requests; h2load printed:\n{output}"
        )));
    }
    Ok(())
}

fn read_callgrind(counts: &Path) -> Result<f64, Failure> {
    let what = format!("read {}", counts.display());
    let text = std::fs::read_to_string(counts).during(what)?;
    let total = text
        .lines()
        .filter_map(|line| {
            line.strip_prefix("totals:")
                .or(line.strip_prefix("summary:"))
        })
        .filter_map(|total| total.split_ascii_whitespace().next()?.parse::<f64>().ok())
        .fold(0.0, f64::max);
    if total > 0.0 {
        Ok(total)
    } else {
        Err(Failure::said("callgrind counted nothing"))
    }
}

#[cfg(test)]
mod tests {
    use super::read_perf;

    #[test]
    fn perf_counts_or_says_that_it_cannot() {
        let counted = "1200,,instructions:u,100,100.00,,\n300,,instructions:k,100,100.00,,\n";
        assert_eq!(read_perf(counted), Some(1500.0));
        let cannot = "<not supported>,,instructions:u,0,100.00,,\n";
        assert_eq!(read_perf(cannot), None);
        assert_eq!(read_perf(""), None);
    }
}
