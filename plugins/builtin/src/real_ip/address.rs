//! An address as proxies write it: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Reads an address; without a port, the port is 0. `None` for anything else, a port of 0 among it.
pub(super) fn parse(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let (ip, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, after) = rest.split_once(']')?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (IpAddr::V6(inside.parse::<Ipv6Addr>().ok()?), port)
        }
        None => match text.parse::<IpAddr>() {
            Ok(ip) => (ip, None),
            Err(_) => {
                let (ip, port) = text.split_once(':')?;
                (IpAddr::V4(ip.parse().ok()?), Some(port))
            }
        },
    };
    let port = match port {
        None => 0,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|port| *port > 0)?
        }
        Some(_) => return None,
    };
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_every_form() {
        for (text, read) in [
            ("192.0.2.1", Some("192.0.2.1:0")),
            (" 192.0.2.1\t", Some("192.0.2.1:0")),
            ("192.0.2.1:80", Some("192.0.2.1:80")),
            ("2001:db8::1", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]", Some("[2001:db8::1]:0")),
            ("[2001:db8::1]:65535", Some("[2001:db8::1]:65535")),
            ("::ffff:10.0.0.1", Some("10.0.0.1:0")),
            ("", None),
            ("unknown", None),
            ("192.0.2.1:0", None),
            ("192.0.2.1:65536", None),
            ("192.0.2.1:+1", None),
            ("192.0.2.1:", None),
            ("192.0.2", None),
            ("[192.0.2.1]", None),
            ("[::1", None),
            ("[::1]80", None),
            ("192.0.2.1, 192.0.2.2", None),
        ] {
            let got = parse(text.as_bytes()).map(|a| a.to_string());
            assert_eq!(got.as_deref(), read, "{text}");
        }
        assert_eq!(parse(b"\xff"), None);
    }
}
