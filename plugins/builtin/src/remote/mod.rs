//! What plugins share that ask a remote service about a request.

mod fields;
mod options;
#[cfg(test)]
pub(crate) mod service;

pub(crate) use fields::{name, names, put};
pub(crate) use options::{Connections, MOST};
