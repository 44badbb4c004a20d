//! The state machine: pure, without clock or socket.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// Health of a node. Requests go to nodes that are healthy or mostly healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// No failure counts.
    Healthy,
    /// Some failures, not yet too many.
    MostlyHealthy,
    /// Some successes, not yet enough.
    MostlyUnhealthy,
    /// Too many failures.
    Unhealthy,
}

impl Health {
    /// Whether requests go there.
    pub fn is_usable(self) -> bool {
        matches!(self, Self::Healthy | Self::MostlyHealthy)
    }

    /// `healthy`, `mostly_healthy`, `mostly_unhealthy`, `unhealthy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::MostlyHealthy => "mostly_healthy",
            Self::MostlyUnhealthy => "mostly_unhealthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was seen of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observation {
    /// It answered well, or took the connection where that is all that is asked.
    Success,
    /// It answered with a status that means failure.
    HttpFailure,
    /// No connection, or a broken one.
    TcpFailure,
    /// No answer in time.
    Timeout,
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::HttpFailure => "http failure",
            Self::TcpFailure => "tcp failure",
            Self::Timeout => "timeout",
        })
    }
}

/// Observations that count now: a success clears the failures, a failure clears the successes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Successes.
    pub success: u8,
    /// Connections that failed.
    pub tcp_failure: u8,
    /// Statuses that mean failure.
    pub http_failure: u8,
    /// Answers that did not come in time.
    pub timeout_failure: u8,
}

impl Counters {
    fn failures(self) -> bool {
        self.tcp_failure > 0 || self.http_failure > 0 || self.timeout_failure > 0
    }

    fn count(&mut self, what: Observation) -> u8 {
        let success = self.success;
        match what {
            Observation::Success => {
                *self = Self {
                    success,
                    ..Self::default()
                }
            }
            _ => self.success = 0,
        }
        let counter = match what {
            Observation::Success => &mut self.success,
            Observation::HttpFailure => &mut self.http_failure,
            Observation::TcpFailure => &mut self.tcp_failure,
            Observation::Timeout => &mut self.timeout_failure,
        };
        *counter = counter.saturating_add(1);
        *counter
    }
}

/// A node's health went from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: Health,
    /// Since.
    pub to: Health,
}

/// Health and counters of a node. Nodes start healthy.
pub struct HealthState(AtomicU64);

impl Default for HealthState {
    fn default() -> Self {
        Self(AtomicU64::new(pack(Health::Healthy, Counters::default())))
    }
}

impl fmt::Debug for HealthState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (health, counters) = self.get();
        f.debug_tuple("HealthState")
            .field(&health)
            .field(&counters)
            .finish()
    }
}

impl HealthState {
    /// Health and counters now.
    pub fn get(&self) -> (Health, Counters) {
        unpack(self.0.load(Ordering::Relaxed))
    }

    /// Health now.
    pub fn health(&self) -> Health {
        self.get().0
    }

    /// Counts an observation; at `limit` of its kind in a row the node becomes healthy or unhealthy. Limit 0: this kind
    /// of observation does not count. A healthy node's successes and an unhealthy node's failures do not count either.
    pub fn observe(&self, what: Observation, limit: u8) -> Option<Change> {
        let goal = match what {
            Observation::Success => Health::Healthy,
            _ => Health::Unhealthy,
        };
        if limit == 0 {
            return None;
        }
        let step = |held| {
            let (health, mut counters) = unpack(held);
            if health == goal {
                return None;
            }
            let reached = counters.count(what) >= limit;
            let next = match health {
                _ if reached => goal,
                Health::Healthy if counters.failures() => Health::MostlyHealthy,
                Health::Unhealthy if counters.success > 0 => Health::MostlyUnhealthy,
                other => other,
            };
            Some(pack(next, counters))
        };
        // The closure is a function of what is held, so what it returned last is what is stored.
        let held = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .ok()?;
        let (from, to) = (unpack(held).0, unpack(step(held)?).0);
        (from != to).then_some(Change { from, to })
    }
}

fn pack(health: Health, counters: Counters) -> u64 {
    let health = match health {
        Health::Healthy => 0,
        Health::MostlyHealthy => 1,
        Health::MostlyUnhealthy => 2,
        Health::Unhealthy => 3,
    };
    let Counters {
        success,
        tcp_failure,
        http_failure,
        timeout_failure,
    } = counters;
    u64::from_le_bytes([
        health,
        success,
        tcp_failure,
        http_failure,
        timeout_failure,
        0,
        0,
        0,
    ])
}

fn unpack(word: u64) -> (Health, Counters) {
    let [
        health,
        success,
        tcp_failure,
        http_failure,
        timeout_failure,
        ..,
    ] = word.to_le_bytes();
    let health = match health {
        0 => Health::Healthy,
        1 => Health::MostlyHealthy,
        2 => Health::MostlyUnhealthy,
        _ => Health::Unhealthy,
    };
    (
        health,
        Counters {
            success,
            tcp_failure,
            http_failure,
            timeout_failure,
        },
    )
}
