//! Reads a client's TLS hello without answering it: the server name decides, and the bytes go on to the node.

use rustls::server::Acceptor;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time,
};

/// A hello is not looked at beyond so many bytes; nginx looks at as many.
const MOST: usize = 16 * 1024;
/// The first byte of a TLS record with a handshake message in it (RFC 8446 §5.1).
const HANDSHAKE: u8 = 0x16;

/// What a client sent first.
#[derive(Debug, Default)]
pub(super) struct Hello {
    /// All bytes that were read, to be passed on.
    pub(super) bytes: Vec<u8>,
    /// Whether it is a TLS hello.
    pub(super) is_tls: bool,
    /// The server name, in lower case. There is none when the client named none, or speaks no TLS at all.
    pub(super) sni: Option<Arc<str>>,
}

/// Reads until the hello is there, or it is clear that none comes.
///
/// # Errors
/// The client left, or took longer than `limit`.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    limit: Duration,
) -> io::Result<Hello> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no TLS hello in time");
    time::timeout(limit, collect(stream))
        .await
        .unwrap_or_else(|_| Err(late()))
}

async fn collect<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Hello> {
    let mut hello = Hello::default();
    let mut acceptor = Acceptor::default();
    while hello.bytes.len() < MOST {
        let seen = hello.bytes.len();
        let room = u64::try_from(MOST - seen).unwrap_or(0);
        let count = (&mut *stream).take(room).read_buf(&mut hello.bytes).await?;
        if count == 0 {
            break;
        }
        if hello.bytes.first() != Some(&HANDSHAKE) {
            return Ok(hello);
        }
        let mut fresh = hello.bytes.get(seen..).unwrap_or_default();
        while !fresh.is_empty() {
            // What it cannot read is not ours to judge: the node gets it as it came.
            match acceptor.read_tls(&mut fresh) {
                Ok(count) if count > 0 => {}
                _ => return Ok(hello),
            }
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                hello.is_tls = true;
                let name = accepted.client_hello().server_name().map(str::to_owned);
                hello.sni = name.map(|name| plain_name(&name));
                return Ok(hello);
            }
            Err(_) => return Ok(hello),
        }
    }
    match hello.bytes.is_empty() {
        true => Err(io::ErrorKind::UnexpectedEof.into()),
        false => Ok(hello),
    }
}

/// A server name as routes are matched by: lower case, without a final dot.
pub(super) fn plain_name(name: &str) -> Arc<str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.to_ascii_lowercase().into()
}
