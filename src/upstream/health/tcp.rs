//! A probe that connects and hangs up.

use super::probe::{Probe, Verdict};
use crate::upstream::{node::Node, place::Place};
use async_trait::async_trait;
use std::io;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
};

pub(super) struct TcpProbe {
    /// What is said first.
    pub(super) header: &'static [u8],
}

#[async_trait]
impl Probe for TcpProbe {
    async fn check(&self, _node: &Node, address: &Place) -> Verdict {
        let connected = async {
            match address {
                Place::Inet(address) => {
                    let mut tcp = TcpStream::connect(address).await?;
                    tcp.write_all(self.header).await
                }
                Place::Unix(_) => {
                    let path = address.path().ok_or(io::ErrorKind::NotFound)?;
                    let mut unix = UnixStream::connect(path).await?;
                    unix.write_all(self.header).await
                }
            }
        };
        match connected.await {
            Ok(()) => Verdict::Connected,
            Err(error) => Verdict::Failed(error.to_string()),
        }
    }
}
