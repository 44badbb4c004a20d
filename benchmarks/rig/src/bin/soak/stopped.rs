//! What the edge says that it stopped, by reason, over all processes of the gateway.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::client::{Connection, Over};
use crate::payload::Payload;

const FAMILY: &str = "apisix_edge_stopped_total{reason=\"";

/// Counts of the process that serves, and of those before it as they were when they were last asked.
#[derive(Default)]
pub(crate) struct Stopped {
    before: BTreeMap<String, f64>,
    now: BTreeMap<String, f64>,
}

impl Stopped {
    /// Asks the process that serves. What it does not answer, it may answer next time.
    pub(crate) async fn look(&mut self, at: SocketAddr) {
        let path = "/apisix/prometheus/metrics";
        let Ok(mut connection) = Connection::open(at, &Over::Plain).await else {
            return;
        };
        if let Ok(answer) = connection.ask("GET", path, &[], Payload::empty()).await {
            self.now = read(&String::from_utf8_lossy(&answer.body));
        }
    }

    /// Another process serves from now on, and counts from nothing.
    pub(crate) fn turn_over(&mut self) {
        for (reason, count) in std::mem::take(&mut self.now) {
            *self.before.entry(reason).or_default() += count;
        }
    }

    /// The sums that are not 0.
    pub(crate) fn sums(mut self) -> BTreeMap<String, f64> {
        self.turn_over();
        self.before.retain(|_, count| *count > 0.0);
        self.before
    }
}

fn read(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(FAMILY));
    lines
        .filter_map(|line| {
            let (reason, rest) = line.split_once('"')?;
            let (_, count) = rest.split_once(' ')?;
            Some((reason.to_owned(), count.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FAMILY, Stopped, read};

    #[test]
    fn counts_add_up_over_processes() {
        let page =
            |count| format!("# HELP x\n{FAMILY}tls_failed\"}} {count}\n{FAMILY}requests\"}} 0\n");
        let mut stopped = Stopped {
            now: read(&page(3)),
            ..Stopped::default()
        };
        stopped.turn_over();
        stopped.now = read(&page(4));
        let sums = stopped.sums();
        assert_eq!(
            sums.into_iter().collect::<Vec<_>>(),
            [("tls_failed".to_owned(), 7.0)]
        );
    }
}
