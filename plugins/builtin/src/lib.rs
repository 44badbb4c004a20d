//! The plugins that Crossway has built in, and the one list of them. They stand on the SDK alone, as a third party's
//! plugins do.

mod auth;
pub mod basic_auth;
pub mod consumer_restriction;
pub mod cors;
pub mod ip_restriction;
pub mod jwt_auth;
pub mod key_auth;
pub mod mocking;
pub mod prometheus;
pub mod request_id;

use crossway_sdk::definition::{Definition, Doubled, Registry};

/// All built-in plugins.
///
/// # Errors
/// Two of them have one name, which is a mistake in the list below.
pub fn registry() -> Result<Registry, Doubled> {
    Registry::default()
        .plugin(Definition::auth::<basic_auth::BasicAuth>())?
        .plugin(Definition::of::<consumer_restriction::ConsumerRestriction>())?
        .plugin(Definition::of::<cors::Cors>())?
        .plugin(Definition::of::<ip_restriction::IpRestriction>())?
        .plugin(Definition::auth::<jwt_auth::JwtAuth>())?
        .plugin(Definition::auth::<key_auth::KeyAuth>())?
        .plugin(Definition::of::<mocking::Mocking>())?
        .plugin(Definition::of::<prometheus::Prometheus>())?
        .plugin(Definition::of::<request_id::RequestId>())
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
