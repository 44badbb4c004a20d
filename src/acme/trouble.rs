//! Why an order came to nothing, and what an operator can do about it.

use super::{Challenge, Time};

/// Why an order came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The authority gives no answer, or one that says that it is its own fault.
    #[error("the authority gives no answer: {what}")]
    Unreachable {
        /// What happened.
        what: String,
        /// When the authority wants to be asked again.
        again: Option<Time>,
    },
    /// The authority says no: to the account, to the order, or to a proof.
    #[error("the authority refused: {what}")]
    Refused {
        /// Its words.
        what: String,
        /// When the authority wants to be asked again.
        again: Option<Time>,
    },
    /// Something on this side: the store, a key.
    #[error("{0}")]
    Own(String),
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate was issued and stored.
    Issued,
    /// [`Trouble::Refused`].
    Refused,
    /// [`Trouble::Unreachable`].
    Unreachable,
    /// [`Trouble::Own`].
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Issued, Self::Refused, Self::Unreachable, Self::Failed];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Failed => "failed",
        }
    }
}

impl Trouble {
    pub(super) fn own(error: impl std::fmt::Display) -> Self {
        Self::Own(error.to_string())
    }

    /// How it is counted.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unreachable { .. } => Outcome::Unreachable,
            Self::Refused { .. } => Outcome::Refused,
            Self::Own(_) => Outcome::Failed,
        }
    }

    /// When the authority wants to be asked again, if it said so.
    pub(super) fn again(&self) -> Option<Time> {
        match self {
            Self::Unreachable { again, .. } | Self::Refused { again, .. } => *again,
            Self::Own(_) => None,
        }
    }

    /// What an operator can do, for the log.
    pub(super) fn advice(&self, challenge: Challenge) -> &'static str {
        match (self, challenge) {
            (Self::Unreachable { .. }, _) => {
                "see whether acme.directory is right, whether the authority can be reached from here, and whether acme.ca_file \
                 is needed"
            }
            (Self::Refused { again: Some(_), .. }, _) => {
                "nothing but to wait: the authority said when it may be asked again"
            }
            (Self::Refused { .. }, Challenge::Http01) => {
                "see whether port 80 of each name leads to a listener of listen.http, and what the authority says of the account"
            }
            (Self::Refused { .. }, Challenge::TlsAlpn01) => {
                "see whether port 443 of each name leads to a listener of listen.https with nothing between that ends TLS, and \
                 what the authority says of the account"
            }
            (Self::Own(_), _) => "see what is wrong with the store, and with data_encryption",
        }
    }
}
