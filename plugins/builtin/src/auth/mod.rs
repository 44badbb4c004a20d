//! What the authenticators share: reading what the client presented, hiding it from the upstream, and refusing.
//! Nothing here knows how a credential is checked.

mod admission;
pub(crate) mod basic;
mod presented;
mod query;

pub(crate) use admission::Admission;
pub(crate) use presented::{Place, Presented, argument, cookie, header};
