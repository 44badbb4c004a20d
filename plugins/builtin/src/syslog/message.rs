//! A message of RFC 5424, as APISIX writes it.

use jiff::Timestamp;
use std::time::SystemTime;

/// Facility syslog (5), severity informational (6): RFC 5424 §6.2.1.
const PRIORITY: u8 = 5 * 8 + 6;

/// A host name has 255 characters at most: RFC 5424 §6.2.4.
const LONGEST_HOST: usize = 255;

/// `<46>1 time host apisix pid - - text` and a line feed. `host` is the one that the client asked for.
pub(super) fn of(host: &str, at: SystemTime, text: &[u8]) -> Vec<u8> {
    let at = Timestamp::try_from(at).unwrap_or_default();
    let at = at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ");
    // Printable ASCII without spaces; a client can ask for anything.
    let fits = host.len() <= LONGEST_HOST && host.bytes().all(|b| b.is_ascii_graphic());
    let host = if fits && !host.is_empty() { host } else { "-" };
    let pid = std::process::id();
    let mut message = format!("<{PRIORITY}>1 {at} {host} apisix {pid} - - ").into_bytes();
    message.extend_from_slice(text);
    message.push(b'\n');
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn a_message_is_one_line_with_a_header() {
        let at = UNIX_EPOCH + Duration::from_millis(1_795_230_245_012);
        let pid = std::process::id();
        let of = |host| String::from_utf8(of(host, at, b"{}")).unwrap();
        assert_eq!(
            of("a.example"),
            format!("<46>1 2026-11-21T03:04:05.012Z a.example apisix {pid} - - {{}}\n")
        );
        for host in ["", "a b", "a\n<1>1 forged", &"a".repeat(300)] {
            assert!(of(host).contains("Z - apisix"), "{host}");
        }
    }
}
