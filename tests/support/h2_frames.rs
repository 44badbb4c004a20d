//! Frames of HTTP/2 as a test writes them, right or wrong, and as they come back. Knows no rules: a connection sends what it is
//! told to.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 0x1;
pub const END_STREAM: u8 = 0x1;
pub const END_HEADERS: u8 = 0x4;

pub const PROTOCOL_ERROR: u32 = 1;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame, whatever it says.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields in HPACK, each as a literal that nobody indexes, not compressed: any bytes can be said so.
pub fn fields(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        text(name.as_bytes(), &mut block);
        text(value, &mut block);
    }
    block
}

/// A string of HPACK (RFC 7541 §5.2).
pub fn text(bytes: &[u8], block: &mut Vec<u8>) {
    match bytes.len().checked_sub(127) {
        None => block.push(u8::try_from(bytes.len()).unwrap()),
        Some(mut rest) => {
            block.push(127);
            while rest >= 128 {
                block.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            block.push(u8::try_from(rest).unwrap());
        }
    }
    block.extend(bytes);
}

/// The fields of a request to `a.test`, and `more`.
pub fn request(method: &str, path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all: Vec<(&str, &[u8])> = vec![
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":authority", b"a.test"),
        (":path", path.as_bytes()),
    ];
    all.extend(more);
    fields(&all)
}

/// A request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let block = request("GET", path, &[]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

/// RST_STREAM.
pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM and GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// The status in HEADERS, which stands first: an index, or a literal without an index whose value may be compressed.
    pub fn status(&self) -> u16 {
        match self.payload[0] {
            byte @ 0x88..=0x8e => [200, 204, 206, 304, 400, 404, 500][usize::from(byte - 0x88)],
            // `:status` is the name; three digits of five or six bits each.
            _ => {
                let length = usize::from(self.payload[1] & 0x7f);
                let value = &self.payload[2..2 + length];
                match self.payload[1] & 0x80 {
                    0 => std::str::from_utf8(value).unwrap().parse().unwrap(),
                    _ => digits(value),
                }
            }
        }
    }
}

/// Three digits in the code of RFC 7541, appendix B.
fn digits(value: &[u8]) -> u16 {
    let mut bits = value
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1));
    let mut number = 0;
    for _ in 0..3 {
        let mut next = |count: u8| (0..count).fold(0, |sum, _| sum << 1 | bits.next().unwrap_or(1));
        let five = next(5);
        // 0 to 2 have five bits, 3 to 9 have six and begin with 011001.
        number = number * 10
            + u16::from(match five {
                0..=2 => five,
                _ => (five << 1 | next(1)) - 0x19 + 3,
            });
    }
    number
}

/// A connection on which a test writes frames.
pub struct Frames {
    stream: TcpStream,
    bytes: Vec<u8>,
    next: u32,
}

impl Frames {
    /// Connects and greets, as RFC 9113 says.
    pub async fn open(to: SocketAddr) -> Self {
        Self::open_with(to, &[]).await
    }

    /// [`Frames::open`] with these settings.
    pub async fn open_with(to: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut stream = TcpStream::connect(to).await.expect("connect");
        stream.set_nodelay(true).unwrap();
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        let greeting = [PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat();
        stream.write_all(&greeting).await.expect("greet");
        Self {
            stream,
            bytes: Vec::new(),
            next: 1,
        }
    }

    /// Connects and says nothing.
    pub async fn open_silently(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("connect");
        Self {
            stream,
            bytes: Vec::new(),
            next: 1,
        }
    }

    /// A stream that nobody has opened.
    pub fn stream(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Writes bytes as they are. An error is the other side's way to say that it has heard enough.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Writes `each` again and again until the other side closes or `limit` is over. How often it was written; `None` if the
    /// connection is still open then.
    pub async fn flood(
        &mut self,
        limit: Duration,
        mut each: impl FnMut(u32) -> Vec<u8>,
    ) -> Option<u64> {
        let deadline = Instant::now() + limit;
        let mut written = 0;
        while Instant::now() < deadline {
            // Several at a time: a flood is not one frame in each packet.
            let mut bytes = Vec::new();
            for _ in 0..16 {
                let stream = self.stream();
                bytes.extend(each(stream));
            }
            match timeout_at(deadline, self.stream.write_all(&bytes)).await {
                Ok(Ok(())) => written += 16,
                Ok(Err(_)) => return Some(written),
                Err(_) => return None,
            }
            if self.take_in().is_err() {
                return Some(written);
            }
        }
        None
    }

    /// Reads what has come without waiting. An error when the other side has closed.
    fn take_in(&mut self) -> io::Result<()> {
        loop {
            let mut piece = [0; 16 * 1024];
            match self.stream.try_read(&mut piece) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.bytes.extend(&piece[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next frame within `limit`; `None` when the other side closes, in whatever way, or nothing comes.
    pub async fn next(&mut self, limit: Duration) -> Option<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(frame) = self.parse() {
                return Some(frame);
            }
            match timeout_at(deadline, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(length)) if length > 0 => {}
                _ => return None,
            }
        }
    }

    fn parse(&mut self) -> Option<Frame> {
        let head = self.bytes.get(..9)?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = self.bytes.get(9..9 + length)?.to_vec();
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes(head[5..9].try_into().unwrap()) & 0x7fff_ffff,
            payload,
        };
        self.bytes.drain(..9 + length);
        Some(frame)
    }

    /// The next frame of this kind within `limit`; others are passed over.
    pub async fn find(&mut self, kind: u8, limit: Duration) -> Option<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = self.next(left).await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// The next frame of a stream within `limit`.
    pub async fn on(&mut self, stream: u32, limit: Duration) -> Option<Frame> {
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = self.next(left).await?;
            if frame.stream == stream && frame.kind != WINDOW_UPDATE {
                return Some(frame);
            }
        }
    }

    /// Whether the other side closes within `limit`, in whatever way; frames are passed over.
    pub async fn closes_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            self.bytes.clear();
            match timeout_at(deadline, self.stream.read_buf(&mut self.bytes)).await {
                Ok(Ok(length)) if length > 0 => {}
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
    }
}
