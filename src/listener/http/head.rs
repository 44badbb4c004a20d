//! Judges the bytes of a request's head. Pure; never panics.
//!
//! What passes has one meaning: it is parsed by the grammar that Pingora uses, and what two readers could frame in two ways is
//! refused. Rules that need the parsed request (host, path, sizes to the byte) are `proxy::admit`'s.

use super::framing::Framing;
use httparse::{Error, Header, Request, Status};
use pingora_core::protocols::http::authority::validate_request_authority;
use pingora_http::RequestHeader;
use std::mem::MaybeUninit;

/// Pingora takes no more fields than this.
const MOST_FIELDS: usize = 256;
/// Empty lines before a request, which a robust server ignores (RFC 9112 §2.2), in bytes.
const EMPTY_LINES: usize = 8;
/// No method is longer.
const LONGEST_METHOD: usize = 32;
/// What a request line has beside its target: empty lines before it, the method, `HTTP/1.1`, spaces and the end of the line.
const AROUND_TARGET: usize = EMPTY_LINES + LONGEST_METHOD + 16;

/// How large a head may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the request target.
    pub target: usize,
    /// Bytes of all fields together.
    pub fields: usize,
    /// Number of fields.
    pub count: usize,
}

/// What became of the bytes that have come.
#[derive(Debug)]
pub enum Verdict {
    /// The head is not complete.
    Incomplete,
    /// A request.
    Head(Head),
    /// No request that is served.
    Refused(Refused),
}

/// A head that may be served.
#[derive(Debug)]
pub struct Head {
    /// Its length in bytes, the empty line included.
    pub length: usize,
    /// What follows it.
    pub body: Framing,
    /// Whether it asks for another protocol.
    pub upgrade: bool,
}

/// Why a head is refused. [`status`](Self::status) is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not HTTP/1.1, or not unambiguously.
    Malformed,
    /// CONNECT asks for a tunnel.
    Connect,
    /// The target is too long.
    Target,
    /// There are too many fields, or too many bytes of them.
    Fields,
    /// Something else than 100-continue is expected.
    Expectation,
}

impl Refused {
    /// The answer's status.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Connect => 405,
            Self::Target => 414,
            Self::Expectation => 417,
            Self::Fields => 431,
        }
    }
}

/// Judges what has come of a head.
pub fn judge(bytes: &[u8], limits: &Limits) -> Verdict {
    match parse(bytes, limits) {
        Ok(Some(head)) => Verdict::Head(head),
        Ok(None) => Verdict::Incomplete,
        Err(refused) => Verdict::Refused(refused),
    }
}

fn parse(bytes: &[u8], limits: &Limits) -> Result<Option<Head>, Refused> {
    let mut space = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
    let most = limits.count.min(MOST_FIELDS);
    let mut request = Request::new(&mut []);
    let fields = space.get_mut(..most).unwrap_or_default();
    match request.parse_with_uninit_headers(bytes, fields) {
        Ok(Status::Complete(length)) => {
            let empty = bytes
                .iter()
                .take_while(|b| matches!(b, b'\r' | b'\n'))
                .count();
            if empty > EMPTY_LINES {
                return Err(Refused::Malformed);
            }
            complete(&request, length, limits).map(Some)
        }
        Ok(Status::Partial) => incomplete(bytes, limits).map(|()| None),
        Err(Error::TooManyHeaders) => Err(Refused::Fields),
        Err(_) => Err(Refused::Malformed),
    }
}

/// Refuses early what can only become too large.
fn incomplete(bytes: &[u8], limits: &Limits) -> Result<(), Refused> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
    // HTTP/2's preface looks like a head; here it comes where nobody speaks HTTP/2.
    if bytes.len() >= 16 && begins(b"PRI * HTTP/2.0\r\n") {
        return Err(Refused::Malformed);
    }
    let line = limits.target + AROUND_TARGET;
    if bytes.len() > line
        && memchr::memchr(b'\n', bytes.get(EMPTY_LINES..line).unwrap_or_default()).is_none()
    {
        return Err(Refused::Target);
    }
    match bytes.len() > most_bytes(limits) {
        true => Err(Refused::Fields),
        false => Ok(()),
    }
}

/// The largest head: a field has two bytes for `: ` and two for the end of its line.
fn most_bytes(limits: &Limits) -> usize {
    limits.target + AROUND_TARGET + limits.fields + 4 * limits.count
}

fn complete(request: &Request<'_, '_>, length: usize, limits: &Limits) -> Result<Head, Refused> {
    let http10 = request.version == Some(0);
    let method = request.method.unwrap_or_default();
    let target = request.path.unwrap_or_default().as_bytes();
    if method == "CONNECT" {
        return Err(Refused::Connect);
    }
    if method.len() > LONGEST_METHOD {
        return Err(Refused::Malformed);
    }
    if target.len() > limits.target {
        return Err(Refused::Target);
    }
    if length > most_bytes(limits) {
        return Err(Refused::Fields);
    }
    let mut found = Fields::default();
    for field in request.headers.iter() {
        found.note(field)?;
    }
    if !is_plain(target)
        || found
            .host
            .is_some_and(|host| memchr::memchr(b'@', host).is_some())
    {
        examine(method, target, found.host)?;
    }
    let body = match (found.length, found.chunked) {
        (None, false) => Framing::Done,
        (Some(length), false) => Framing::length(length),
        // In HTTP/1.0 there are no chunks (RFC 9112 §6.1).
        (None, true) if !http10 => Framing::chunked(),
        (_, true) => return Err(Refused::Malformed),
    };
    if found.expectation && !http10 {
        return Err(Refused::Expectation);
    }
    Ok(Head {
        length,
        body,
        upgrade: found.upgrade,
    })
}

/// The fields that matter here.
#[derive(Default)]
struct Fields<'h> {
    host: Option<&'h [u8]>,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
    expectation: bool,
}

impl<'h> Fields<'h> {
    fn note(&mut self, field: &Header<'h>) -> Result<(), Refused> {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            4 if is("host") => once(&mut self.host, field.value)?,
            6 if is("expect") => {
                self.expectation |= !field.value.eq_ignore_ascii_case(b"100-continue");
            }
            7 if is("upgrade") => self.upgrade = true,
            14 if is("content-length") => {
                let length = decimal(field.value).ok_or(Refused::Malformed)?;
                once(&mut self.length, length)?;
            }
            17 if is("transfer-encoding") => {
                let known = field.value.eq_ignore_ascii_case(b"chunked");
                if !known || self.chunked {
                    return Err(Refused::Malformed);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Two fields of one kind could be read in two ways.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Refused> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refused::Malformed),
    }
}

/// Digits and nothing else (RFC 9110 §8.6); no number that a signed reader would take for a negative one.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value.iter().try_fold(0_u64, |sum, byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}

/// Whether the target is in origin form and has only bytes that every reader takes as they are.
fn is_plain(target: &[u8]) -> bool {
    target.first() == Some(&b'/') && target.iter().all(|b| PLAIN[usize::from(*b)])
}

/// Letters, digits and what RFC 3986 allows in paths and queries.
static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let it = byte as u8;
        plain[byte] = it.is_ascii_alphanumeric()
            || matches!(
                it,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b':'
                    | b'@'
                    | b'/'
                    | b'?'
                    | b'%'
            );
        byte += 1;
    }
    plain
};

/// Asks Pingora beforehand whether it would take a target that is out of the ordinary.
fn examine(method: &str, target: &[u8], host: Option<&[u8]>) -> Result<(), Refused> {
    if memchr::memchr(b'#', target).is_some() {
        return Err(Refused::Malformed);
    }
    let mut head = RequestHeader::build(method, target, None).map_err(|_| Refused::Malformed)?;
    if let Some(host) = host {
        head.insert_header(http::header::HOST, host)
            .map_err(|_| Refused::Malformed)?;
    }
    validate_request_authority(&head).map_err(|_| Refused::Malformed)
}

#[cfg(test)]
mod tests;
