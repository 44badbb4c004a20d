//! Health of nodes: one state machine, fed by probes and by traffic alike.

mod checks;
mod http;
mod probe;
mod state;
mod tcp;
#[cfg(test)]
mod tests;

pub use checks::{Active, ActiveHealthy, ActiveUnhealthy, Checks, Passive, ProbeKind, Statuses};
pub use probe::{Probe, Verdict};
pub use state::{Change, Counters, Health, HealthState, Observation};

pub(super) use probe::{ProbeConnector, run};
