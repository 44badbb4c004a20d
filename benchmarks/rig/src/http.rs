//! A small HTTP/1.1 client that blocks: one connection, one request at a time.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

/// How long to wait for bytes; a server under valgrind is slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes both ways, in the clear or not.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A keepalive connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(tcp(to)?))
    }

    /// Connects over TLS; the handshake goes with the first request.
    pub(crate) fn open_tls(to: SocketAddr, session: ClientConnection) -> io::Result<Self> {
        Ok(Self::over(StreamOwned::new(session, tcp(to)?)))
    }

    fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: Vec::new(),
        }
    }

    /// Sends a request with these further header lines (each with its line end) and returns the
    /// status of the answer.
    pub(crate) fn ask(
        &mut self,
        method: &str,
        target: &str,
        lines: &str,
        body: &str,
    ) -> io::Result<u16> {
        let length = body.len();
        let framing = if length > 0 {
            format!("Content-Length: {length}\r\n")
        } else {
            String::new()
        };
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: bench.test\r\n{lines}{framing}\r\n{body}");
        self.stream.write_all(request.as_bytes())?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<u16> {
        let head = loop {
            let end = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let rest = self.buffer.split_off(end + 4);
                break std::mem::replace(&mut self.buffer, rest);
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other("not an HTTP answer"))?;
        let field = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        if field("transfer-encoding:").is_some() {
            // Enough for what the gateway sends: the end of a chunked body without trailers.
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                self.fill()?;
            }
            self.buffer.clear();
            return Ok(status);
        }
        let length = field("content-length:")
            .and_then(|length| length.parse().ok())
            .unwrap_or(0);
        while self.buffer.len() < length {
            self.fill()?;
        }
        self.buffer.drain(..length);
        Ok(status)
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut some = [0; 16 << 10];
        let read = self.stream.read(&mut some)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.buffer.extend(some.iter().take(read));
        Ok(())
    }
}

fn tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One GET on a connection of its own.
pub(crate) fn get(to: SocketAddr, target: &str, lines: &str) -> io::Result<u16> {
    Connection::open(to)?.ask("GET", target, lines, "")
}
