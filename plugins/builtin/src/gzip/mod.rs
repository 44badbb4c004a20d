//! `gzip`: compresses responses for clients that accept it.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::compression::{self, Rules};
use crossway_sdk::{flow::Error, prelude::*};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, header};
use std::io::Write;

/// See the module.
pub struct Gzip {
    rules: Rules,
    level: Compression,
}

/// The response in the making.
#[derive(Default)]
struct Work {
    encoder: Option<GzEncoder<Vec<u8>>>,
    /// Whether each piece is to reach the client when it comes.
    stream: bool,
}

#[phases]
impl Plugin for Gzip {
    const NAME: &'static str = "gzip";
    const PRIORITY: i32 = 995;
    type Config = Config;

    fn build(config: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            rules: Rules {
                types: config.types,
                min_length: config.min_length,
                http_10: config.http_version < 1.1,
                vary: config.vary,
                coding: "gzip",
            },
            level: Compression::new(config.comp_level),
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        // An earlier head of this request counts no more.
        if ex.existing_state::<Work>().is_some() {
            *ex.state::<Work>() = Work::default();
        }
        // nginx's gzip leaves all other statuses alone.
        let fit = matches!(head.status.as_u16(), 200 | 403 | 404);
        if !fit || !self.rules.apply(ex, head)? {
            return Ok(());
        }
        let stream = compression::length(&head.headers).is_none();
        head.remove_header(&header::CONTENT_LENGTH);
        head.remove_header(&header::ACCEPT_RANGES);
        weaken(head)?;
        head.insert_header("Content-Encoding", HeaderValue::from_static("gzip"))?;
        *ex.state::<Work>() = Work {
            encoder: Some(GzEncoder::new(Vec::new(), self.level)),
            stream,
        };
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Work>().is_none() {
            return Ok(());
        }
        let work = ex.state::<Work>();
        let Some(encoder) = &mut work.encoder else {
            return Ok(());
        };
        let failed = |error: std::io::Error| Error::new(format!("gzip: {error}"));
        if let Some(piece) = chunk.take() {
            encoder.write_all(&piece).map_err(failed)?;
            if work.stream && !end && !piece.is_empty() {
                encoder.flush().map_err(failed)?;
            }
        }
        let ready = if end {
            let encoder = work.encoder.take();
            encoder.map(GzEncoder::finish).transpose().map_err(failed)?
        } else {
            Some(std::mem::take(encoder.get_mut()))
        };
        *chunk = ready.filter(|bytes| !bytes.is_empty()).map(Bytes::from);
        Ok(())
    }
}

/// The bytes are no longer those that a strong validator speaks of (RFC 9110 §8.8.1).
fn weaken(head: &mut ResponseHeader) -> Result<(), Error> {
    let strong = head.headers.get(header::ETAG).map(HeaderValue::as_bytes);
    let Some(strong) = strong.filter(|tag| !tag.starts_with(b"W/")) else {
        return Ok(());
    };
    if !strong.starts_with(b"\"") {
        head.remove_header(&header::ETAG);
        return Ok(());
    }
    let weak = HeaderValue::from_bytes(&[b"W/", strong].concat());
    match weak {
        Ok(weak) => head.insert_header("ETag", weak)?,
        Err(_) => drop(head.remove_header(&header::ETAG)),
    }
    Ok(())
}
