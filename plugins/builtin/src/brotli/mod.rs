//! `brotli`: compresses responses for clients that accept it. It comes before `gzip`, so that a client that accepts both
//! gets the smaller one.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::compression::{self, Rules};
use ::brotli::{
    CompressorWriter,
    enc::{BrotliEncoderParams, backward_references::BrotliEncoderMode},
};
use crossway_sdk::{flow::Error, prelude::*};
use http::{HeaderValue, header};
use parking_lot::Mutex;
use std::io::Write;

/// Bytes that the compressor takes at once.
const BUFFER: usize = 4096;

/// See the module.
pub struct Brotli {
    rules: Rules,
    params: BrotliEncoderParams,
}

/// The response in the making. The lock is never contended: it makes the compressor fit to be held.
#[derive(Default)]
struct Work {
    encoder: Option<Mutex<CompressorWriter<Vec<u8>>>>,
    /// Whether each piece is to reach the client when it comes.
    stream: bool,
}

#[phases]
impl Plugin for Brotli {
    const NAME: &'static str = "brotli";
    const PRIORITY: i32 = 996;
    type Config = Config;

    fn build(config: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        let mode = match config.mode {
            1 => BrotliEncoderMode::BROTLI_MODE_TEXT,
            2 => BrotliEncoderMode::BROTLI_MODE_FONT,
            _ => BrotliEncoderMode::BROTLI_MODE_GENERIC,
        };
        Ok(Self {
            rules: Rules {
                types: config.types,
                min_length: config.min_length,
                http_10: config.http_version < 1.1,
                vary: config.vary,
                coding: "br",
            },
            params: BrotliEncoderParams {
                mode,
                quality: config.comp_level,
                lgwin: if config.lgwin == 0 { 22 } else { config.lgwin },
                lgblock: config.lgblock,
                ..BrotliEncoderParams::default()
            },
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        // An earlier head of this request counts no more.
        if ex.existing_state::<Work>().is_some() {
            *ex.state::<Work>() = Work::default();
        }
        if !self.rules.apply(ex, head)? {
            return Ok(());
        }
        let stream = compression::length(&head.headers).is_none();
        for name in [
            header::CONTENT_LENGTH,
            header::ACCEPT_RANGES,
            header::ETAG,
            header::LAST_MODIFIED,
        ] {
            head.remove_header(&name);
        }
        head.insert_header("Content-Encoding", HeaderValue::from_static("br"))?;
        let encoder = CompressorWriter::with_params(Vec::new(), BUFFER, &self.params);
        *ex.state::<Work>() = Work {
            encoder: Some(Mutex::new(encoder)),
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
        let failed = |error: std::io::Error| Error::new(format!("brotli: {error}"));
        let writer = encoder.get_mut();
        if let Some(piece) = chunk.take() {
            writer.write_all(&piece).map_err(failed)?;
            if work.stream && !end && !piece.is_empty() {
                writer.flush().map_err(failed)?;
            }
        }
        let ready = if end {
            let encoder = work.encoder.take();
            encoder.map_or_else(Vec::new, |encoder| encoder.into_inner().into_inner())
        } else {
            std::mem::take(writer.get_mut())
        };
        *chunk = (!ready.is_empty()).then(|| Bytes::from(ready));
        Ok(())
    }
}
