//! What happens to nodes and gateway while the traffic runs.

use std::io;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::samples::{self, Sample};
use crate::world::World;

/// A node is ended as often, and is back after `NODE_AWAY`.
const NODE_EVERY: Duration = Duration::from_secs(20);
const NODE_AWAY: Duration = Duration::from_secs(6);

/// Between two looks at memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The gateway is restarted when these shares of the time are over: all early, so that the last
/// process lives long enough to see what grows.
const TERMINATED_AT: f64 = 0.05;
const KILLED_AT: f64 = 0.1;

/// What was seen of the gateway.
pub(crate) struct Course {
    /// Of its last process.
    pub(crate) samples: Vec<Sample>,
    pub(crate) faults: Vec<String>,
}

/// Lets the time pass, then ends the traffic and the gateway.
pub(crate) async fn run(
    mut world: World,
    mut traffic: JoinSet<()>,
    length: Duration,
) -> io::Result<Course> {
    let started = Instant::now();
    let mut restarts = [(TERMINATED_AT, Ending::Term), (KILLED_AT, Ending::Kill)].into_iter();
    let mut next_restart = restarts.next();
    let (mut samples, mut faults) = (Vec::new(), Vec::new());
    let (mut away, mut ended_nodes) = (None, 0);
    let mut next_node = started + NODE_EVERY;
    while started.elapsed() < length {
        sleep(SAMPLE_EVERY).await;
        if let Some(status) = world.gateway.ended() {
            let log = world.gateway.log();
            return Err(io::Error::other(format!(
                "the gateway ended by itself ({status}); it printed:\n{log}"
            )));
        }
        samples.extend(world.gateway.id().and_then(samples::take));
        if let Some((share, ending)) = next_restart
            && started.elapsed() >= length.mul_f64(share)
        {
            restart(&mut world, ending, &mut faults).await?;
            samples.clear();
            next_restart = restarts.next();
        }
        let now = Instant::now();
        if now >= next_node {
            let place = ended_nodes % world.nodes.len();
            ended_nodes += 1;
            next_node = now + NODE_EVERY;
            away = Some((place, now + NODE_AWAY));
            world.shared.ledger.disturb();
            world
                .nodes
                .iter_mut()
                .skip(place)
                .take(1)
                .for_each(|node| node.kill());
            world.shared.ledger.calm();
        }
        if let Some((place, _)) = away.take_if(|(_, back)| now >= *back)
            && let Some(node) = world.nodes.get_mut(place)
        {
            node.revive().await?;
        }
    }
    world.up.send(false).ok();
    world.shared.ledger.disturb();
    traffic.shutdown().await;
    let status = world.gateway.terminate().await?;
    if !status.success() {
        faults.push(format!("the gateway ended with {status}"));
    }
    if world.gateway.log().contains("panicked at") {
        faults.push(format!("the gateway panicked:\n{}", world.gateway.log()));
    }
    Ok(Course { samples, faults })
}

#[derive(Clone, Copy)]
enum Ending {
    Term,
    Kill,
}

/// Ends the gateway and starts it again; clients wait meanwhile.
async fn restart(world: &mut World, ending: Ending, faults: &mut Vec<String>) -> io::Result<()> {
    world.shared.ledger.disturb();
    world.up.send(false).ok();
    match ending {
        Ending::Term => {
            let status = world.gateway.terminate().await?;
            if !status.success() {
                faults.push(format!("after SIGTERM the gateway ended with {status}"));
            }
        }
        Ending::Kill => world.gateway.kill().await?,
    }
    world.gateway.start_again().await?;
    world.up.send(true).ok();
    world.shared.ledger.calm();
    Ok(())
}
