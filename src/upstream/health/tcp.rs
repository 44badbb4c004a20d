//! A probe that connects and hangs up.

use super::probe::{Probe, Verdict};
use crate::upstream::node::Node;
use async_trait::async_trait;
use std::net::SocketAddr;
use tokio::net::TcpStream;

pub(super) struct TcpProbe;

#[async_trait]
impl Probe for TcpProbe {
    async fn check(&self, _node: &Node, address: SocketAddr) -> Verdict {
        match TcpStream::connect(address).await {
            Ok(_) => Verdict::Connected,
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }
}
