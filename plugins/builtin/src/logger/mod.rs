//! What all loggers share: the entry of a request, bodies in it, and the ways on which entries leave.

mod bodies;
mod config;
mod entry;
mod format;
mod json;
mod post;
mod recorder;
mod socket;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub(crate) use config::{BodyConfig, FormatConfig, Metadata, metadata_schema};
pub(crate) use entry::{Headers, Latency, Query, hostname, this_machine, url};
pub(crate) use json::{Line, array, joined, line};
pub(crate) use post::{Post, endpoints, header, plain};
pub(crate) use recorder::{Part, Recorder};
pub(crate) use socket::{MAX_DATAGRAM, Tcp, TcpOptions, Udp};
