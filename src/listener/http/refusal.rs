//! Requests that the edge refuses. They are answered, logged and counted by the proxy like any other answer of the gateway's
//! own: it gets a request that stands in for the one that could not be read, and with it the status.

use bytes::{BufMut, BytesMut};
use pingora_http::RequestHeader;

/// So much of the first line is looked at.
const LINE: usize = 8192;
/// So many lines are searched for fields that the access log has.
const LINES: usize = 64;
const LOGGED: [&str; 3] = ["Host", "User-Agent", "Referer"];

/// Comes with a request that is to be answered with this status and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: u16,
}

/// A request that can be read, with as much of the refused one as can be. Its connection is to be closed.
pub(super) fn stand_in(bytes: &[u8]) -> BytesMut {
    let mut lines = bytes
        .split(|b| *b == b'\n')
        .map(|line| line.trim_ascii())
        .skip_while(|line| line.is_empty());
    let line = lines.next().unwrap_or_default();
    let mut head = BytesMut::with_capacity(256);
    request_line(line.get(..LINE).unwrap_or(line), &mut head);
    let mut seen = [false; LOGGED.len()];
    for line in lines.take(LINES).take_while(|line| !line.is_empty()) {
        let mut parts = line.splitn(2, |b| *b == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        let value = value.trim_ascii();
        for (known, seen) in LOGGED.iter().zip(&mut seen) {
            let fits = name.eq_ignore_ascii_case(known.as_bytes()) && is_harmless(value);
            if fits && !std::mem::replace(seen, true) {
                head.put_slice(known.as_bytes());
                head.put_slice(b": ");
                head.put_slice(value);
                head.put_slice(b"\r\n");
            }
        }
    }
    head.put_slice(b"Connection: close\r\n\r\n");
    head
}

fn request_line(line: &[u8], head: &mut BytesMut) {
    let mut parts = line.split(|b| *b == b' ').filter(|part| !part.is_empty());
    let is_method =
        |m: &&[u8]| m.len() <= 32 && m.iter().all(|b| b.is_ascii_alphabetic() || *b == b'-');
    let method = parts.next().filter(is_method).unwrap_or(b"-");
    let is_target = |t: &&[u8]| t.iter().all(u8::is_ascii_graphic) && is_path(t);
    let target = parts.next().filter(is_target).unwrap_or(b"/");
    let version = parts.next().filter(|v| *v == b"HTTP/1.0");
    // A tunnel has a target of another kind, which the access log is to show all the same.
    for part in [
        method,
        b" ",
        target,
        b" ",
        version.unwrap_or(b"HTTP/1.1"),
        b"\r\n",
    ] {
        head.put_slice(part);
    }
}

fn is_path(target: &[u8]) -> bool {
    target.first() == Some(&b'/')
        && memchr::memchr(b'#', target).is_none()
        && RequestHeader::build("GET", target, None).is_ok()
}

fn is_harmless(value: &[u8]) -> bool {
    value.len() <= 1024
        && value
            .iter()
            .all(|b| *b == b' ' || (b.is_ascii_graphic() && *b != b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::http::head::{Limits, Verdict, judge};

    const LIMITS: Limits = Limits {
        target: 65_000,
        fields: 65_000,
        count: 256,
    };

    #[test]
    fn whatever_was_refused_its_stand_in_is_not() {
        for (refused, begins) in [
            (
                "GET /a?b HTTP/1.1\r\nHost: a.test\r\nContent-Length: x\r\n\r\n",
                "GET /a?b HTTP/1.1\r\nHost: a.test\r\nConnection",
            ),
            (
                "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "POST /a HTTP/1.0\r\nConnection",
            ),
            ("\x16\x03\x01", "- / HTTP/1.1\r\n"),
            ("", "- / HTTP/1.1\r\n"),
            (
                "GET /<a> HTTP/9\r\nHost: a\r\nHost: b\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nConnection",
            ),
            (
                "GET / HTTP/1.1\r\nHost: u@a\r\nReferer: \0\r\n",
                "GET / HTTP/1.1\r\nConnection",
            ),
            (
                "CONNECT a:1 HTTP/1.1\r\nUser-Agent: x y\r\n",
                "CONNECT / HTTP/1.1\r\nUser-Agent: x y\r\n",
            ),
        ] {
            let head = stand_in(refused.as_bytes());
            let text = String::from_utf8_lossy(&head);
            assert!(text.starts_with(begins), "{refused:?}: {text}");
            // CONNECT is well formed, and refused for what it is.
            if !text.starts_with("CONNECT") {
                assert!(
                    matches!(judge(&head, &LIMITS), Verdict::Head(h) if h.length == head.len())
                );
            }
        }
    }
}
