//! What happens to nodes and gateway while the traffic runs.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::gateway::DRAIN;
use crate::generations::Generations;
use crate::process::{End, Process};
use crate::samples;
use crate::stopped::Stopped;
use crate::world::World;

/// A node is ended as often, and is back after `NODE_AWAY`.
const NODE_EVERY: Duration = Duration::from_secs(30);
const NODE_AWAY: Duration = Duration::from_secs(6);

/// Between two looks at memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The gateway is restarted when these shares of the time are over.
const TERMINATED_AT: f64 = 0.05;
const KILLED_AT: f64 = 0.1;

/// Upgrades begin when this share of the time is over, and after the first minute.
const UPGRADES_FROM: f64 = 0.12;
/// They end when this share of the time is over, and before the last minute: the last process lives long enough to see what
/// grows.
const UPGRADES_UNTIL: f64 = 0.65;
/// Of short runs, a quarter.
const MINUTE: Duration = Duration::from_secs(60);

/// Between the end of a node and an upgrade, and the other way round: what fails then can have one cause only.
const APART: Duration = Duration::from_secs(3);

/// A process that was replaced has to be gone when its drain timeout is over, and so long after.
const GONE_WITHIN: Duration = Duration::from_secs(8);

/// What was seen of the gateway.
#[derive(Default)]
pub(crate) struct Course {
    pub(crate) generations: Generations,
    pub(crate) upgrades: usize,
    pub(crate) restarts: usize,
    pub(crate) node_kills: usize,
    /// What the edge has stopped, by reason.
    pub(crate) stopped: BTreeMap<String, f64>,
    pub(crate) faults: Vec<String>,
}

/// Lets the time pass, with an upgrade as often as this says, then ends the traffic and the gateway.
pub(crate) async fn run(
    world: World,
    mut traffic: JoinSet<()>,
    length: Duration,
    upgrade_every: Duration,
) -> io::Result<Course> {
    let started = Instant::now();
    let mut run = Run {
        world,
        course: Course::default(),
        stopped: Stopped::default(),
        leaving: Vec::new(),
    };
    run.course.generations.begin();
    let restarts = [(TERMINATED_AT, Ending::Term), (KILLED_AT, Ending::Kill)];
    let mut restarts = restarts.into_iter().peekable();
    let margin = MINUTE.min(length / 4);
    let upgrades = length.mul_f64(UPGRADES_FROM).max(margin)
        ..length.mul_f64(UPGRADES_UNTIL).min(length - margin);
    let mut next_upgrade = started + upgrades.start;
    let mut next_node = started + NODE_EVERY;
    let mut away = None;
    while started.elapsed() < length {
        sleep(SAMPLE_EVERY).await;
        run.look().await?;
        if let Some((_, ending)) =
            restarts.next_if(|(share, _)| started.elapsed() >= length.mul_f64(*share))
        {
            run.restart(ending).await?;
        }
        let now = Instant::now();
        if now >= next_upgrade && upgrades.contains(&started.elapsed()) {
            run.upgrade().await?;
            next_upgrade = now + upgrade_every;
            next_node = next_node.max(Instant::now() + APART);
        }
        let now = Instant::now();
        if now >= next_node {
            let place = run.kill_node();
            away = Some((place, now + NODE_AWAY));
            next_node = now + NODE_EVERY;
            next_upgrade = next_upgrade.max(now + APART);
        }
        if let Some((place, _)) = away.take_if(|(_, back)| now >= *back)
            && let Some(node) = run.world.nodes.get_mut(place)
        {
            node.revive().await?;
        }
    }
    run.world.up.send(false).ok();
    run.world.shared.ledger.disturb();
    traffic.shutdown().await;
    run.end().await
}

#[derive(Clone, Copy)]
enum Ending {
    Term,
    Kill,
}

struct Run {
    world: World,
    course: Course,
    stopped: Stopped,
    /// Processes that were replaced and drain, and when they have to be gone.
    leaving: Vec<(Process, Instant)>,
}

impl Run {
    /// Looks at the processes of the gateway.
    async fn look(&mut self) -> io::Result<()> {
        let gateway = &mut self.world.gateway;
        if let Some(end) = gateway.ended() {
            let log = gateway.log();
            return Err(io::Error::other(format!(
                "the gateway ended by itself ({end:?}); it printed:\n{log}"
            )));
        }
        self.course.generations.add(samples::take(gateway.id()));
        self.stopped.look(gateway.at.metrics).await;
        let faults = &mut self.course.faults;
        self.leaving.retain_mut(|(process, until)| {
            match process.ended() {
                Some(End::Well) => return false,
                Some(End::Otherwise(how)) => {
                    faults.push(format!("a process that was replaced ended with {how}"));
                    return false;
                }
                None => {}
            }
            if Instant::now() > *until {
                let id = process.id();
                faults.push(format!("process {id} was replaced and did not end"));
                // It is killed when it is dropped.
                return false;
            }
            true
        });
        Ok(())
    }

    /// Has another process take over.
    async fn upgrade(&mut self) -> io::Result<()> {
        let (gateway, ledger) = (&mut self.world.gateway, &self.world.shared.ledger);
        self.stopped.look(gateway.at.metrics).await;
        ledger.upgrading();
        let old = gateway.upgrade().await;
        ledger.upgraded();
        let old = old.map_err(|e| io::Error::other(format!("{e}:\n{}", gateway.log())))?;
        self.leaving
            .push((old, Instant::now() + DRAIN + GONE_WITHIN));
        self.course.upgrades += 1;
        self.turn_over();
        Ok(())
    }

    /// Ends the gateway and starts it again; clients wait meanwhile.
    async fn restart(&mut self, ending: Ending) -> io::Result<()> {
        let world = &mut self.world;
        self.stopped.look(world.gateway.at.metrics).await;
        world.shared.ledger.disturb();
        world.up.send(false).ok();
        match ending {
            Ending::Term => {
                let end = world.gateway.terminate().await?;
                if end != End::Well {
                    let fault = format!("after SIGTERM the gateway ended otherwise: {end:?}");
                    self.course.faults.push(fault);
                }
            }
            Ending::Kill => world.gateway.kill().await?,
        }
        world.gateway.start_again().await?;
        world.up.send(true).ok();
        world.shared.ledger.calm();
        self.course.restarts += 1;
        self.turn_over();
        Ok(())
    }

    fn turn_over(&mut self) {
        self.stopped.turn_over();
        self.course.generations.begin();
    }

    /// Breaks a node off; which one it was.
    fn kill_node(&mut self) -> usize {
        let place = self.course.node_kills % self.world.nodes.len().max(1);
        self.course.node_kills += 1;
        self.world.shared.ledger.disturb();
        if let Some(node) = self.world.nodes.get_mut(place) {
            node.kill();
        }
        self.world.shared.ledger.calm();
        place
    }

    /// Ends the gateway, and says what was seen.
    async fn end(mut self) -> io::Result<Course> {
        self.stopped.look(self.world.gateway.at.metrics).await;
        let end = self.world.gateway.terminate().await?;
        let faults = &mut self.course.faults;
        if end != End::Well {
            faults.push(format!("the gateway ended otherwise: {end:?}"));
        }
        let log = self.world.gateway.log();
        if log.contains("panicked at") {
            faults.push(format!("the gateway panicked:\n{log}"));
        }
        self.course.stopped = self.stopped.sums();
        Ok(self.course)
    }
}
