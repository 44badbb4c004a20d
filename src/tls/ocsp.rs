//! OCSP responses (RFC 6960), as far as a server that staples has to understand them: for which certificate one is, and
//! until when. Whether its signature is good, is for clients to judge.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use ring::digest;

/// A response that speaks of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// As it goes over the wire.
    pub(super) der: Vec<u8>,
    /// The serial number of the certificate, as DER has it.
    pub(super) serial: Vec<u8>,
    algorithm: Algorithm,
    /// The hash of the issuer's name.
    issuer: Vec<u8>,
    /// Until when it holds, if it says so.
    until: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

/// Why bytes are no response that could be stapled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResponseError {
    #[error("it is not an OCSP response in DER")]
    Malformed,
    #[error("the responder could not answer")]
    Unsuccessful,
    #[error("it names the issuer by a hash other than SHA-1 and SHA-256")]
    Algorithm,
}

impl Response {
    /// Reads a response. Of several certificates that it speaks of, the first counts.
    pub(super) fn parse(der: Vec<u8>) -> Result<Self, ResponseError> {
        let single = single(&der)?;
        let (algorithm, issuer, serial, until) = certificate(single)?;
        Ok(Self {
            serial: serial.to_vec(),
            issuer: issuer.to_vec(),
            algorithm,
            until,
            der,
        })
    }

    /// Whether it is for the certificate of this issuer (its name in DER) and serial number.
    pub(super) fn is_for(&self, issuer: &[u8], serial: &[u8]) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &digest::SHA256,
        };
        self.serial == serial && digest::digest(algorithm, issuer).as_ref() == self.issuer
    }

    /// Whether it still holds.
    pub(super) fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

const SEQUENCE: u8 = 0x30;
const ENUMERATED: u8 = 0x0a;
const OBJECT: u8 = 0x06;
const OCTETS: u8 = 0x04;
const INTEGER: u8 = 0x02;
const TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;

const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1];
const SHA1: &[u8] = &[0x2b, 14, 3, 2, 26];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];

/// The first `SingleResponse` inside.
fn single(der: &[u8]) -> Result<Reader<'_>, ResponseError> {
    let mut response = Reader(der).inside(SEQUENCE)?;
    if response.take(ENUMERATED)? != [0] {
        return Err(ResponseError::Unsuccessful);
    }
    let mut bytes = response.inside(CONTEXT_0)?.inside(SEQUENCE)?;
    if bytes.take(OBJECT)? != BASIC {
        return Err(ResponseError::Malformed);
    }
    let mut data = Reader(bytes.take(OCTETS)?)
        .inside(SEQUENCE)?
        .inside(SEQUENCE)?;
    data.optional(CONTEXT_0);
    // The responder, by name or by key.
    data.any()?;
    data.take(TIME)?;
    data.inside(SEQUENCE)?.inside(SEQUENCE)
}

type Certificate<'a> = (Algorithm, &'a [u8], &'a [u8], Option<Timestamp>);

fn certificate(mut single: Reader<'_>) -> Result<Certificate<'_>, ResponseError> {
    let mut id = single.inside(SEQUENCE)?;
    let algorithm = match id.inside(SEQUENCE)?.take(OBJECT)? {
        SHA1 => Algorithm::Sha1,
        SHA256 => Algorithm::Sha256,
        _ => return Err(ResponseError::Algorithm),
    };
    let issuer = id.take(OCTETS)?;
    // The hash of the issuer's key; its name is enough.
    id.take(OCTETS)?;
    let serial = id.take(INTEGER)?;
    // Good, revoked or unknown: the client is to hear whichever it is.
    single.any()?;
    single.take(TIME)?;
    let until = match single.optional(CONTEXT_0) {
        Some(next) => Some(time(Reader(next).take(TIME)?)?),
        None => None,
    };
    Ok((algorithm, issuer, serial, until))
}

/// `20261121103000Z`.
fn time(text: &[u8]) -> Result<Timestamp, ResponseError> {
    let parse = || {
        let text = std::str::from_utf8(text).ok()?;
        let civil = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    parse().ok_or(ResponseError::Malformed)
}

/// Elements of DER, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn element(&self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk::<2>()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // More than four bytes of length are more than a response ever has.
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = length.iter().fold(0, |sum, b| (sum << 8) | usize::from(*b));
                (length, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        Some((tag, content, rest))
    }

    fn any(&mut self) -> Result<&'a [u8], ResponseError> {
        let (_, content, rest) = self.element().ok_or(ResponseError::Malformed)?;
        self.0 = rest;
        Ok(content)
    }

    fn take(&mut self, wanted: u8) -> Result<&'a [u8], ResponseError> {
        self.optional(wanted).ok_or(ResponseError::Malformed)
    }

    fn inside(&mut self, wanted: u8) -> Result<Reader<'a>, ResponseError> {
        self.take(wanted).map(Reader)
    }

    fn optional(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let (_, content, rest) = self.element().filter(|(tag, ..)| *tag == wanted)?;
        self.0 = rest;
        Some(content)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut out = vec![tag];
        match u8::try_from(length) {
            Ok(short @ 0..=0x7f) => out.push(short),
            Ok(byte) => out.extend([0x81, byte]),
            Err(_) => out.extend([0x82, (length >> 8) as u8, length as u8]),
        }
        out.extend(content);
        out
    }

    /// A response for a certificate, with a signature that nobody here looks at.
    pub(in crate::tls) fn response(issuer: &[u8], serial: &[u8], until: &str) -> Vec<u8> {
        let name = digest::digest(&digest::SHA256, issuer);
        let algorithm = element(SEQUENCE, &element(OBJECT, SHA256));
        let id = [
            algorithm.clone(),
            element(OCTETS, name.as_ref()),
            element(OCTETS, &[7; 32]),
            element(INTEGER, serial),
        ];
        let single = [
            element(SEQUENCE, &id.concat()),
            element(0x80, &[]),
            element(TIME, b"20200101000000Z"),
            element(CONTEXT_0, &element(TIME, until.as_bytes())),
        ];
        let data = [
            element(0xa2, &element(OCTETS, &[9; 20])),
            element(TIME, b"20200101000000Z"),
            element(SEQUENCE, &element(SEQUENCE, &single.concat())),
        ];
        let basic = [
            element(SEQUENCE, &data.concat()),
            algorithm,
            element(3, &[0; 65]),
        ];
        let bytes = [
            element(OBJECT, BASIC),
            element(OCTETS, &element(SEQUENCE, &basic.concat())),
        ];
        let whole = [
            element(ENUMERATED, &[0]),
            element(CONTEXT_0, &element(SEQUENCE, &bytes.concat())),
        ];
        element(SEQUENCE, &whole.concat())
    }

    #[test]
    fn says_for_which_certificate_it_is_and_until_when() {
        let der = response(b"the issuer", &[1, 2, 3], "20300102030405Z");
        let parsed = Response::parse(der.clone()).unwrap();
        assert_eq!(parsed.der, der);
        assert!(parsed.is_for(b"the issuer", &[1, 2, 3]));
        assert!(!parsed.is_for(b"the issuer", &[1, 2]));
        assert!(!parsed.is_for(b"another issuer", &[1, 2, 3]));
        assert!(parsed.holds("2030-01-02T03:04:04Z".parse().unwrap()));
        assert!(!parsed.holds("2030-01-02T03:04:05Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let later = element(SEQUENCE, &element(ENUMERATED, &[3]));
        assert_eq!(Response::parse(later), Err(ResponseError::Unsuccessful));
        let cut = response(b"i", &[1], "20300102030405Z");
        for length in 0..cut.len() {
            assert!(Response::parse(cut[..length].to_vec()).is_err(), "{length}");
        }
        let day = response(b"i", &[1], "tomorrow");
        assert_eq!(Response::parse(day), Err(ResponseError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged_without_a_panic(bytes: Vec<u8>) {
            drop(Response::parse(bytes));
        }
    }
}
