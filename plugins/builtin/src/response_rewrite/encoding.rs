//! Decoding of compressed bodies, so that filters see text.

use bytes::Bytes;
use http::{HeaderMap, header};
use std::io::{self, Read};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    Gzip,
    Brotli,
}

/// An encoding that cannot be decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsupported(pub(crate) String);

/// A body could not be decoded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadBody {
    /// It is not what the header says.
    #[error("the body is not valid {0:?}: {1}")]
    Invalid(Encoding, io::Error),
    /// It grew too large.
    #[error("the decoded body is larger than {0} bytes")]
    TooLarge(u64),
}

impl Encoding {
    /// What the response head says.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Unsupported> {
        let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
        let Some(value) = values.next() else {
            return Ok(Self::Identity);
        };
        let name = String::from_utf8_lossy(value.as_bytes())
            .trim()
            .to_ascii_lowercase();
        match (name.as_str(), values.next()) {
            ("" | "identity", None) => Ok(Self::Identity),
            ("gzip" | "x-gzip", None) => Ok(Self::Gzip),
            ("br", None) => Ok(Self::Brotli),
            _ => Err(Unsupported(name)),
        }
    }

    /// The plain body, of `most` bytes at most: a small body may decode to an endless one.
    pub(crate) fn decode(self, body: Bytes, most: u64) -> Result<Bytes, BadBody> {
        match self {
            Self::Identity => Ok(body),
            Self::Gzip => self.read(flate2::read::MultiGzDecoder::new(&*body), most),
            Self::Brotli => self.read(brotli::Decompressor::new(&*body, 4096), most),
        }
    }

    fn read(self, decoder: impl Read, most: u64) -> Result<Bytes, BadBody> {
        let mut plain = Vec::new();
        decoder
            .take(most.saturating_add(1))
            .read_to_end(&mut plain)
            .map_err(|e| BadBody::Invalid(self, e))?;
        if plain.len() as u64 > most {
            return Err(BadBody::TooLarge(most));
        }
        Ok(plain.into())
    }
}
