//! Time limits towards an upstream.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::schema;

/// Time limits of one exchange with an upstream, in seconds; fractions are allowed. All three are
/// required, each above 0 and at most 10^9. A route's timeout wins over its upstream's.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeout {
    /// Seconds to establish a connection.
    pub connect: f64,
    /// Seconds between two successful writes.
    pub send: f64,
    /// Seconds between two successful reads.
    pub read: f64,
}

impl Timeout {
    /// [`Timeout::connect`] as a duration.
    pub fn connect_duration(&self) -> Duration {
        seconds(self.connect)
    }

    /// [`Timeout::send`] as a duration.
    pub fn send_duration(&self) -> Duration {
        seconds(self.send)
    }

    /// [`Timeout::read`] as a duration.
    pub fn read_duration(&self) -> Duration {
        seconds(self.read)
    }
}

/// Seconds as a duration. A value that no duration can hold (which the schemas refuse) is the longest.
pub fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

pub(super) fn schema() -> Value {
    let limit = |what: &str| schema::described(schema::positive_seconds(), what);
    schema::with(
        schema::object([
            ("connect", limit("Seconds to establish a connection.")),
            ("send", limit("Seconds between two successful writes.")),
            ("read", limit("Seconds between two successful reads.")),
        ]),
        json!({
            "required": ["connect", "send", "read"],
            "description": "Time limits towards the upstream, in seconds."
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_second_are_kept() {
        let timeout = Timeout {
            connect: 0.25,
            send: 6.0,
            read: 1e300,
        };
        assert_eq!(timeout.connect_duration(), Duration::from_millis(250));
        assert_eq!(timeout.send_duration(), Duration::from_secs(6));
        assert_eq!(timeout.read_duration(), Duration::MAX);
    }
}
