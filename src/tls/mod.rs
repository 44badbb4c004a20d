//! TLS towards clients: which configuration a handshake gets, by the name that the client asks for. Certificates come in as
//! specs and are prepared once; a handshake looks one up and waits for nothing. What a request must be judged by after the
//! handshake, [`ClientVerification`] says.

mod certificates;
mod environment;
mod names;
mod ocsp;
mod pair;
mod site;
mod staples;
mod verify;

#[cfg(test)]
mod tests;

pub use certificates::Certificates;
pub use environment::{Environment, Options};
pub use names::{Names, normal};
pub use pair::{Pair, PairError};
pub use site::{ClientSpec, Site, SiteError, Spec, Version};
pub use staples::Staples;
pub use verify::{ClientVerification, Unfit};
