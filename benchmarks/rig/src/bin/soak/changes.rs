//! Changes of the configuration beside the traffic, and whether they go live.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::client::{Connection, Over};
use crate::gateway::{Addresses, Admin};
use crate::payload::Payload;
use crate::traffic::Shared;

/// Between two rounds of changes.
const BETWEEN: Duration = Duration::from_secs(2);

/// How long an acknowledged change may take until requests see it.
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
        let outcome = change(&at, &nodes, round).await;
        shared
            .ledger
            .note("change", begun, outcome.map_err(|e| e.to_string()));
        sleep(BETWEEN).await;
    }
}

async fn change(at: &Addresses, nodes: &[SocketAddr], round: usize) -> io::Result<()> {
    let admin = Admin::of(at);
    admin
        .change("PUT", "/upstreams/1", upstream(nodes, round))
        .await?;
    let path = format!("/change/{round}");
    let route = format!("{{\"uri\":\"{path}\",\"upstream_id\":\"1\"}}");
    let resource = format!("/routes/change-{}", round % 50);
    admin.change("PUT", &resource, route).await?;
    await_status(at.http, &path, 200).await?;
    admin.change("DELETE", &resource, String::new()).await?;
    await_status(at.http, &path, 404).await
}

async fn await_status(to: SocketAddr, path: &str, expected: u16) -> io::Result<()> {
    let started = Instant::now();
    let mut connection = Connection::open(to, &Over::Plain).await?;
    loop {
        let (status, _) = connection.ask("GET", path, &[], Payload::empty()).await?;
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
