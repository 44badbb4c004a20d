//! The PROXY protocol header, version 1, that tells a node who the client is.

use std::net::{IpAddr, SocketAddr};

/// The header; at most 107 bytes.
pub(super) fn header(client: SocketAddr, server: SocketAddr) -> String {
    let (from, to) = (client.ip().to_canonical(), server.ip().to_canonical());
    let (family, from, to) = match (from, to) {
        (IpAddr::V4(_), IpAddr::V4(_)) => ("TCP4", from, to),
        // One family for both: an IPv4 address can be written as one of IPv6, not the other way round.
        _ => ("TCP6", six(from), six(to)),
    };
    let (from_port, to_port) = (client.port(), server.port());
    format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n")
}

fn six(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(four) => four.to_ipv6_mapped().into(),
        six => six,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::header;

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
        ] {
            let written = header(client.parse().unwrap(), server.parse().unwrap());
            assert_eq!(written, format!("{line}\r\n"));
        }
    }
}
