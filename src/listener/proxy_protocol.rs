//! The PROXY protocol, versions 1 and 2: a load balancer in front tells who its client is.

use super::Socket;
use bytes::BytesMut;
use ppp::{HeaderResult, v1, v2};
use std::net::SocketAddr;
use tokio::io::AsyncReadExt;

/// A header of version 2 with extensions (TLVs) larger than this is refused.
const LARGEST: usize = 4096;
/// What version 1 has at most, with the end of its line.
const LONGEST_LINE: usize = 107;

/// The client and the server that a header names; `None` for a health check of the load balancer itself, and for kinds of
/// addresses that are no IP addresses.
pub type Ends = Option<(SocketAddr, SocketAddr)>;

/// Why there was no header.
#[derive(Debug, thiserror::Error)]
pub enum BadHeader {
    /// The connection ended before it.
    #[error("the connection ended early: {0}")]
    Ended(std::io::Error),
    /// Something else came.
    #[error("what came is no PROXY header")]
    Invalid,
}

/// Reads a header off the socket. What follows it is left there.
pub(super) async fn read(socket: &mut Socket) -> Result<Ends, BadHeader> {
    let mut bytes = BytesMut::with_capacity(256);
    loop {
        let read = socket
            .read_buf(&mut bytes)
            .await
            .map_err(BadHeader::Ended)?;
        if read == 0 {
            return Err(BadHeader::Ended(std::io::ErrorKind::UnexpectedEof.into()));
        }
        if let Some((ends, length)) = parse(&bytes)? {
            socket.put_back(bytes.split_off(length).freeze());
            return Ok(ends);
        }
    }
}

/// The header at the beginning of `bytes` and its length; `None` while there is not all of it.
///
/// # Errors
/// [`BadHeader::Invalid`], as soon as no further bytes can make a header of it.
pub fn parse(bytes: &[u8]) -> Result<Option<(Ends, usize)>, BadHeader> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    // The parsers take whole headers: of a part, they do not tell what may still become one.
    let length = if begins(v2::PROTOCOL_PREFIX) {
        length_v2(bytes)?
    } else if begins(b"PROXY ") {
        length_v1(bytes)?
    } else {
        return Err(BadHeader::Invalid);
    };
    let Some((length, header)) = length.and_then(|l| Some((l, bytes.get(..l)?))) else {
        return Ok(None);
    };
    let ends = match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => ends_v1(&header.addresses),
        HeaderResult::V2(Ok(header)) => ends_v2(&header),
        _ => return Err(BadHeader::Invalid),
    };
    Ok(Some((ends, length)))
}

/// Up to the end of the line.
fn length_v1(bytes: &[u8]) -> Result<Option<usize>, BadHeader> {
    let line = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    match memchr::memchr(b'\n', line) {
        Some(end) => Ok(Some(end + 1)),
        None if line.len() < LONGEST_LINE => Ok(None),
        None => Err(BadHeader::Invalid),
    }
}

/// As the header itself says.
fn length_v2(bytes: &[u8]) -> Result<Option<usize>, BadHeader> {
    let Some(&[high, low]) = bytes.get(14..16) else {
        return Ok(None);
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    (length <= LARGEST)
        .then_some(Some(length))
        .ok_or(BadHeader::Invalid)
}

fn ends_v1(addresses: &v1::Addresses) -> Ends {
    match addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v1::Addresses::Tcp6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
    }
}

fn ends_v2(header: &v2::Header<'_>) -> Ends {
    if header.command == v2::Command::Local {
        return None;
    }
    match header.addresses {
        v2::Addresses::IPv4(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::IPv6(ip) => Some((
            (ip.source_address, ip.source_port).into(),
            (ip.destination_address, ip.destination_port).into(),
        )),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n";

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut header = v2::PROTOCOL_PREFIX.to_vec();
        header.extend([0x20 | command, family]);
        header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        header.extend(payload);
        header
    }

    fn named(bytes: &[u8]) -> (Ends, usize) {
        parse(bytes).unwrap().unwrap()
    }

    #[test]
    fn both_versions_name_client_and_server_and_end_where_they_end() {
        let ends = Some((
            "192.0.2.7:50000".parse().unwrap(),
            "198.51.100.1:443".parse().unwrap(),
        ));
        assert_eq!(named(&[V1, b"GET /"].concat()), (ends, V1.len()));
        let payload = [
            192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 1, 0xbb, 4, 0, 1, 0,
        ];
        let header = v2(1, 0x11, &payload);
        assert_eq!(
            named(&[&header, &b"GET /"[..]].concat()),
            (ends, header.len())
        );
    }

    #[test]
    fn a_health_check_of_the_load_balancer_names_nobody() {
        assert_eq!(named(b"PROXY UNKNOWN\r\n").0, None);
        assert_eq!(named(&v2(0, 0, &[])).0, None);
    }

    #[test]
    fn a_part_of_a_header_waits_and_what_is_none_does_not() {
        let whole = v2(1, 0x11, &[0; 12]);
        for (header, ends) in [(V1, V1.len()), (&whole, whole.len())] {
            for end in 1..ends {
                assert!(parse(&header[..end]).unwrap().is_none(), "{end}");
            }
        }
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 192.0.2.7\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 99999\r\n",
            b"PROXX",
            &[b'x'; 300],
            &[b"PROXY TCP4 ", &[b'1'; 120][..]].concat(),
            &v2(1, 0x11, &[0; 4]),
            &v2(3, 0x11, &[0; 12]),
            &v2(1, 0x11, &vec![0; 60_000]),
        ] {
            assert!(parse(bytes).is_err(), "{:?}", bytes.escape_ascii());
        }
    }
}
