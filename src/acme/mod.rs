//! Automatic certificates (ACME, RFC 8555): they are ordered and renewed ahead of their end, and become `ssls` documents like
//! those that an operator writes. What is needed besides (the account, who orders at the moment, how often it failed, proofs
//! that are awaited) lies in a group of the store of its own, which neither the Admin API nor the authority over the
//! configuration sees, so that gateways which share a store share it. No request waits for any of this.

mod account;
mod client;
mod keeper;
mod lease;
mod ledger;
mod order;
mod pending;
mod report;
mod schedule;
mod shelf;
#[cfg(test)]
mod tests;
mod trouble;

pub use account::{Binding, Directory};
pub use keeper::Keeper;
pub use ledger::Ledger;
pub use order::Orders;
pub use pending::Pending;
pub use report::{Page, Report, Standing, State};
pub use trouble::{Outcome, Trouble};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The group of the store that the room keeps its own documents in.
pub const GROUP: &str = "/crossway/acme";

/// How a name is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Challenge {
    /// By an answer over plain HTTP (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By a certificate in a handshake (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

impl Challenge {
    /// Its name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// A certificate that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The id of its `ssls` document, the same for the same names and directory.
    pub id: String,
    /// The names, in lower case.
    pub names: Vec<String>,
    /// How they are proven.
    pub challenge: Challenge,
}

impl Wanted {
    /// For these names, from the authority with this directory.
    pub fn new(directory: &str, names: Vec<String>, challenge: Challenge) -> Self {
        let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let first = names.first().map(String::as_str).unwrap_or_default();
        let readable: String = first.chars().take(40).collect();
        let digest = digest(&format!("{directory}\n{}", sorted.join(",")));
        Self {
            id: format!("acme-{readable}-{digest}"),
            names,
            challenge,
        }
    }
}

/// A short name for a text, which tells it from others.
fn digest(text: &str) -> String {
    let whole = Sha256::digest(text.as_bytes());
    let short = whole.first_chunk().copied().map_or(0, u64::from_be_bytes);
    format!("{short:016x}")
}

/// Seconds since 1970.
type Time = i64;

fn now() -> Time {
    jiff::Timestamp::now().as_second()
}
