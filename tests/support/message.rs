//! HTTP/1.1 messages read byte by byte, without forgiveness: the same reader serves the test
//! client and the test upstream. What it does not understand is an error, never a guess.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::Headers;

/// Either side of a connection, plain or TLS.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The first line and the fields of a message.
pub struct Head {
    pub line: String,
    pub headers: Headers,
}

/// A buffered reader that yields whole messages.
#[derive(Default)]
pub struct Reader {
    buffer: Vec<u8>,
}

/// No test sends or expects a head larger than this.
const HEAD_LIMIT: usize = 4 << 20;

impl Reader {
    /// The next head, or `None` when the peer closed before its first byte.
    pub async fn head(&mut self, from: &mut dyn Stream) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(invalid("a head without an end"));
            }
            if self.fill(from).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                let seen = String::from_utf8_lossy(&self.buffer).into_owned();
                return Err(cut_off(&format!("closed inside a head: {seen:?}")));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        parse(&head[..end]).map(Some)
    }

    /// A body of `length` bytes.
    pub async fn exactly(&mut self, from: &mut dyn Stream, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if self.fill(from).await? == 0 {
                let got = self.buffer.len();
                return Err(cut_off(&format!(
                    "closed after {got} of {length} body bytes"
                )));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    /// A chunked body with its trailers, decoded; extensions and malformed sizes are errors.
    pub async fn chunked(&mut self, from: &mut dyn Stream) -> io::Result<(Vec<u8>, Headers)> {
        let mut body = Vec::new();
        loop {
            let size = self.line(from).await?;
            let size = usize::from_str_radix(&size, 16)
                .map_err(|_| invalid(&format!("chunk size {size:?}")))?;
            if size == 0 {
                break;
            }
            body.extend(self.exactly(from, size).await?);
            if !self.line(from).await?.is_empty() {
                return Err(invalid("chunk data longer than its size"));
            }
        }
        let mut trailers = Headers::default();
        loop {
            let line = self.line(from).await?;
            if line.is_empty() {
                return Ok((body, trailers));
            }
            let (name, value) = field(line.as_bytes())?;
            trailers.push(name, value);
        }
    }

    /// Everything until the peer closes.
    pub async fn rest(&mut self, from: &mut dyn Stream) -> io::Result<Vec<u8>> {
        while self.fill(from).await? > 0 {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// What has been read and not yet been asked for.
    pub fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer)
    }

    /// Reads once more into the buffer; 0 when the peer has closed.
    pub async fn fill(&mut self, from: &mut dyn Stream) -> io::Result<usize> {
        self.buffer.reserve(16 << 10);
        from.read_buf(&mut self.buffer).await
    }

    async fn line(&mut self, from: &mut dyn Stream) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return String::from_utf8(line[..at].to_vec()).map_err(|_| invalid("not UTF-8"));
            }
            if self.fill(from).await? == 0 {
                return Err(cut_off("closed inside a chunked body"));
            }
        }
    }
}

/// The declared length of a body, if there is one that can be trusted.
pub fn content_length(headers: &Headers) -> io::Result<Option<usize>> {
    match headers.all("content-length").as_slice() {
        [] => Ok(None),
        [one] => one
            .parse()
            .map(Some)
            .map_err(|_| invalid(&format!("content-length {one:?}"))),
        many => Err(invalid(&format!("{} content-length fields", many.len()))),
    }
}

/// Whether the last transfer coding is chunked.
pub fn is_chunked(headers: &Headers) -> bool {
    headers
        .all("transfer-encoding")
        .last()
        .is_some_and(|codings| {
            codings
                .rsplit(',')
                .next()
                .is_some_and(|c| c.trim().eq_ignore_ascii_case("chunked"))
        })
}

/// An error about bytes that are not HTTP.
pub fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// An error about a peer that closed inside a message.
fn cut_off(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned())
}

fn parse(head: &[u8]) -> io::Result<Head> {
    let mut lines = split_lines(head).into_iter();
    let line = lines.next().unwrap_or_default();
    let line = String::from_utf8(line.to_vec()).map_err(|_| invalid("a first line not UTF-8"))?;
    let mut headers = Headers::default();
    for line in lines {
        let (name, value) = field(line)?;
        headers.push(name, value);
    }
    Ok(Head { line, headers })
}

fn field(line: &[u8]) -> io::Result<(String, Vec<u8>)> {
    let shown = || String::from_utf8_lossy(line).into_owned();
    let colon = line
        .iter()
        .position(|b| *b == b':')
        .ok_or_else(|| invalid(&shown()))?;
    let name = std::str::from_utf8(&line[..colon]).map_err(|_| invalid(&shown()))?;
    if name.is_empty() || name.contains([' ', '\t']) {
        return Err(invalid(&format!("field name in {:?}", shown())));
    }
    Ok((name.to_owned(), line[colon + 1..].trim_ascii().to_vec()))
}

fn split_lines(head: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut rest = head;
    while let Some(at) = find(rest, b"\r\n") {
        lines.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    lines.push(rest);
    lines
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
