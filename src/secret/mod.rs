//! The values behind references to secrets: variables of the environment at once, those of secret managers fetched beforehand
//! and kept; and the encryption of secret fields at rest. It says no value to a log.

mod aws;
mod environment;
mod fetch;
mod gcp;
mod keeper;
mod keyring;
mod sealer;
mod vault;

#[cfg(test)]
mod tests;

pub use environment::variable;
pub use fetch::judge;
pub use keeper::{Found, Options, Secrets, Wanted};
pub use keyring::{Keyring, KeyringError};
pub use sealer::{Sealer, sealed_place};
