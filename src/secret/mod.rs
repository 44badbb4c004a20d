//! The values behind references to secrets: variables of the environment at once, those of secret managers fetched beforehand
//! and kept. It knows no plugin and no document but that of a manager, and says no value to a log.

mod environment;
mod fetch;
mod keeper;
mod vault;

#[cfg(test)]
mod tests;

pub use environment::variable;
pub use keeper::{Found, Options, Secrets, Wanted};
