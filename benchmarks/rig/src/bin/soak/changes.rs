//! Changes of the configuration beside the traffic, and whether they go live.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::admin::Admin;
use crate::client::{Connection, Over};
use crate::gateway::Addresses;
use crate::ledger::Outcome;
use crate::payload::Payload;
use crate::traffic::Shared;

/// Between two rounds of changes.
const BETWEEN: Duration = Duration::from_secs(2);

/// How long an acknowledged change may take until requests see it, and how long a change is tried again while one process takes
/// the place of another.
const LIVE_WITHIN: Duration = Duration::from_secs(10);

/// The upstream that all traffic uses; the weight of the first node differs from round to round.
pub(crate) fn upstream(nodes: &[SocketAddr], round: usize) -> String {
    let members: Vec<String> = nodes
        .iter()
        .enumerate()
        .map(|(place, addr)| {
            let weight = if place == 0 { 1 + round % 3 } else { 1 };
            format!("\"{addr}\":{weight}")
        })
        .collect();
    let members = members.join(",");
    format!("{{\"type\":\"roundrobin\",\"nodes\":{{{members}}}}}")
}

/// Changes the upstream, adds a route and removes it again, until the task is aborted.
pub(crate) async fn keep_changing(at: Addresses, nodes: Vec<SocketAddr>, mut shared: Shared) {
    for round in 0.. {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let mut changes = Changes {
            at: &at,
            shared: &shared,
            retried: false,
        };
        let outcome = match changes.make(&nodes, round).await {
            Ok(()) if changes.retried => Outcome::Retried,
            done => Outcome::of(done),
        };
        shared.ledger.note("change", begun, outcome);
        sleep(BETWEEN).await;
    }
}

/// One round of changes.
struct Changes<'a> {
    at: &'a Addresses,
    shared: &'a Shared,
    /// Whether one was refused, or not answered, because another process took over.
    retried: bool,
}

impl Changes<'_> {
    async fn make(&mut self, nodes: &[SocketAddr], round: usize) -> io::Result<()> {
        let upstream = upstream(nodes, round);
        self.change("PUT", "/upstreams/1", &upstream).await?;
        let path = format!("/change/{round}");
        let route = format!("{{\"uri\":\"{path}\",\"upstream_id\":\"1\"}}");
        let resource = format!("/routes/change-{}", round % 50);
        self.change("PUT", &resource, &route).await?;
        self.await_status(&path, 200).await?;
        self.change("DELETE", &resource, "").await?;
        self.await_status(&path, 404).await
    }

    /// A change, again and again while there is an upgrade: meanwhile 503 is an answer that was promised.
    async fn change(&mut self, method: &str, path: &str, body: &str) -> io::Result<()> {
        let admin = Admin::of(self.at);
        let (started, mut attempts) = (Instant::now(), 0);
        loop {
            let begun = Instant::now();
            attempts += 1;
            let error = match admin.send(method, path, body.to_owned()).await {
                Ok((200 | 201, _)) => return Ok(()),
                // The first attempt took effect, though its answer was lost.
                Ok((404, _)) if method == "DELETE" && attempts > 1 => return Ok(()),
                Ok((503, text)) => format!("503: {text}"),
                Ok((status, text)) => {
                    let text = format!("{method} {path} answered {status}: {text}");
                    return Err(io::Error::other(text));
                }
                Err(error) => error.to_string(),
            };
            let excused = self.shared.ledger.upgraded_since(begun);
            if !excused || started.elapsed() > LIVE_WITHIN {
                return Err(io::Error::other(format!("{method} {path}: {error}")));
            }
            self.retried = true;
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn await_status(&self, path: &str, expected: u16) -> io::Result<()> {
        let started = Instant::now();
        loop {
            let mut connection = Connection::open(self.at.http, &Over::Plain).await?;
            let asked = connection.ask("GET", path, &[], Payload::empty()).await;
            let status = asked?.status;
            if status == expected {
                return Ok(());
            }
            if started.elapsed() > LIVE_WITHIN {
                return Err(io::Error::other(format!(
                    "{path} still answers {status}, not {expected}"
                )));
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}
