//! The PROXY protocol towards nodes, versions 1 and 2: the first bytes of a connection tell who the client is.

use async_trait::async_trait;
use pingora_core::{
    Error, ErrorType, OrErr, Result,
    connectors::L4Connect,
    protocols::l4::{ext, socket::SocketAddr as PeerAddr, stream::Stream},
    upstreams::peer::HttpPeer,
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::io::AsyncWriteExt;

/// What each header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A connection that is a client's own is of no use once the client is gone; what nobody tells the pool, this time does.
const IDLE: Duration = Duration::from_secs(10);

/// The version that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

impl ProxyProtocol {
    /// The header of a connection on behalf of `client`, which connected to `server`. Of a client without an IP address it says
    /// that it is unknown.
    pub fn header(self, client: SocketAddr, server: SocketAddr) -> Vec<u8> {
        if client.ip().is_unspecified() {
            return self.own().to_vec();
        }
        let (from, to) = one_family(client.ip(), server.ip());
        let (from_port, to_port) = (client.port(), server.port());
        match self {
            Self::V1 => {
                let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
                format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
            }
            Self::V2 => {
                let mut header = SIGNATURE.to_vec();
                let mut addresses = Vec::with_capacity(36);
                for ip in [from, to] {
                    match ip {
                        IpAddr::V4(ip) => addresses.extend_from_slice(&ip.octets()),
                        IpAddr::V6(ip) => addresses.extend_from_slice(&ip.octets()),
                    }
                }
                addresses.extend_from_slice(&from_port.to_be_bytes());
                addresses.extend_from_slice(&to_port.to_be_bytes());
                // Version 2, PROXY; the family, over a stream; the length of the addresses.
                let (family, length) = if from.is_ipv4() {
                    (0x11, 12)
                } else {
                    (0x21, 36)
                };
                header.extend_from_slice(&[0x21, family, 0, length]);
                header.extend_from_slice(&addresses);
                header
            }
        }
    }

    /// The header of a connection of the gateway's own, such as a health check.
    pub(super) fn own(self) -> &'static [u8] {
        match self {
            Self::V1 => b"PROXY UNKNOWN\r\n",
            Self::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        }
    }

    /// Has connections to the peer begin with the gateway's own header.
    pub(super) fn speak_for_gateway(self, peer: &mut HttpPeer) {
        speak(peer, self.own().to_vec());
    }

    /// Has connections to the peer begin with the header of `client`. They are shared with nobody: what `connected` and the
    /// addresses tell apart has connections of its own.
    pub fn speak_for(
        self,
        peer: &mut HttpPeer,
        (client, server): (SocketAddr, SocketAddr),
        connected: Option<SystemTime>,
    ) {
        let header = self.header(client, server);
        let mut hasher = DefaultHasher::new();
        (peer.group_key, &header, client, connected).hash(&mut hasher);
        peer.group_key = hasher.finish();
        let idle = peer.options.idle_timeout;
        peer.options.idle_timeout = Some(idle.map_or(IDLE, |idle| idle.min(IDLE)));
        speak(peer, header);
    }
}

fn speak(peer: &mut HttpPeer, header: Vec<u8>) {
    peer.options.custom_l4 = Some(Arc::new(Introduced {
        header: header.into(),
        limit: peer.options.connection_timeout,
    }));
}

/// Both addresses in one family: one of IPv4 can be written as one of IPv6, not the other way round.
fn one_family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    let six = |ip: IpAddr| match ip {
        IpAddr::V4(four) => four.to_ipv6_mapped().into(),
        six => six,
    };
    match (from.to_canonical(), to.to_canonical()) {
        (from @ IpAddr::V4(_), to @ IpAddr::V4(_)) => (from, to),
        (from, to) => (six(from), six(to)),
    }
}

/// Connects, and says first on whose behalf.
#[derive(Debug)]
struct Introduced {
    header: Box<[u8]>,
    limit: Option<Duration>,
}

impl Introduced {
    async fn stream(&self, address: &PeerAddr) -> Result<Stream> {
        match address {
            PeerAddr::Inet(address) => {
                let mut tcp = ext::connect(address, None).await?;
                let said = tcp.write_all(&self.header).await;
                said.or_err(ErrorType::ConnectError, "while sending a PROXY header")?;
                Ok(tcp.into())
            }
            PeerAddr::Unix(address) => {
                let path = address
                    .as_pathname()
                    .ok_or_else(|| Error::new(ErrorType::SocketError))?;
                let mut unix = ext::connect_uds(path).await?;
                let said = unix.write_all(&self.header).await;
                said.or_err(ErrorType::ConnectError, "while sending a PROXY header")?;
                Ok(unix.into())
            }
        }
    }
}

#[async_trait]
impl L4Connect for Introduced {
    async fn connect(&self, address: &PeerAddr) -> Result<Stream> {
        let Some(limit) = self.limit else {
            return self.stream(address).await;
        };
        let late = |_| {
            let why = format!("timeout {limit:?} connecting to server {address}");
            Err(Error::explain(ErrorType::ConnectTimedout, why))
        };
        tokio::time::timeout(limit, self.stream(address))
            .await
            .unwrap_or_else(late)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use pingora_core::upstreams::peer::Peer;
    use ppp::v2;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_ends_are_of_one_family() {
        for (client, server, line) in [
            (
                "192.0.2.1:1",
                "192.0.2.2:9100",
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 9100",
            ),
            ("[::1]:1", "[::1]:9100", "PROXY TCP6 ::1 ::1 1 9100"),
            (
                "[::ffff:192.0.2.1]:1",
                "192.0.2.2:2",
                "PROXY TCP4 192.0.2.1 192.0.2.2 1 2",
            ),
            (
                "192.0.2.1:1",
                "[::1]:2",
                "PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2",
            ),
            ("0.0.0.0:0", "0.0.0.0:0", "PROXY UNKNOWN"),
        ] {
            let written = ProxyProtocol::V1.header(address(client), address(server));
            assert_eq!(written, format!("{line}\r\n").into_bytes());
        }
    }

    #[test]
    fn version_2_is_what_its_readers_read() {
        let read = |header: &[u8]| {
            let parsed = ppp::v2::Header::try_from(header).unwrap();
            let ends = match parsed.addresses {
                v2::Addresses::IPv4(ip) => Some([
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                ]),
                v2::Addresses::IPv6(ip) => Some([
                    (ip.source_address, ip.source_port).into(),
                    (ip.destination_address, ip.destination_port).into(),
                ]),
                _ => None,
            };
            (parsed.command, parsed.len(), ends)
        };
        for (client, server) in [
            ("192.0.2.1:1", "192.0.2.2:9100"),
            ("[2001:db8::1]:65535", "[::1]:443"),
        ] {
            let ends: [SocketAddr; 2] = [address(client), address(server)];
            let header = ProxyProtocol::V2.header(ends[0], ends[1]);
            assert_eq!(
                read(&header),
                (v2::Command::Proxy, header.len(), Some(ends))
            );
        }
        let own = ProxyProtocol::V2.own();
        assert_eq!(read(own), (v2::Command::Local, own.len(), None));
    }

    #[test]
    fn a_connection_is_of_one_client_alone() {
        let server = address("192.0.2.2:80");
        let now = SystemTime::now();
        let of = |client: &str, connected: SystemTime| {
            let mut peer = HttpPeer::new(address("10.0.0.1:80"), false, String::new());
            let ends = (address(client), server);
            ProxyProtocol::V2.speak_for(&mut peer, ends, Some(connected));
            assert_eq!(peer.options.idle_timeout, Some(IDLE));
            peer.reuse_hash()
        };
        let own = of("192.0.2.1:1", now);
        assert_eq!(own, of("192.0.2.1:1", now));
        assert_ne!(own, of("192.0.2.1:2", now));
        assert_ne!(own, of("192.0.2.3:1", now));
        assert_ne!(own, of("192.0.2.1:1", now + Duration::from_nanos(1)));
    }
}
