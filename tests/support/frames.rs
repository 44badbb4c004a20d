//! A server of HTTP/2 without TLS that sends the frames that it was told to, whatever the rules say.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::Port;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A part of an answer.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A field section, and whether the stream ends with it.
    Fields(Vec<(&'static str, &'static str)>, bool),
    /// Data, and whether the stream ends with it.
    Data(&'static [u8], bool),
}

impl Frame {
    fn bytes(&self, stream: u32) -> Vec<u8> {
        let (kind, flags, payload) = match self {
            Self::Fields(fields, end) => {
                let flags = END_HEADERS | if *end { END_STREAM } else { 0 };
                (HEADERS, flags, literal(fields))
            }
            Self::Data(data, end) => (DATA, u8::from(*end), data.to_vec()),
        };
        frame(kind, flags, stream, &payload)
    }
}

/// See the module. It ends with the test.
pub struct Frames {
    port: Port,
    serving: JoinHandle<()>,
}

impl Frames {
    /// Answers the request with that number (from 0) on a connection with these frames.
    pub async fn start(script: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> Self {
        let port = Port::reserve();
        let listener = TcpListener::bind(port.addr()).await.expect("a free port");
        let script = Arc::new(script);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let script = Arc::clone(&script);
                tokio::spawn(async move {
                    // What breaks off, breaks off.
                    converse(stream, &*script).await.ok();
                });
            }
        });
        Self { port, serving }
    }

    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// An upstream document with this one node.
    pub fn document(&self) -> Value {
        json!({ "type": "roundrobin", "scheme": "grpc", "nodes": { self.addr().to_string(): 1 } })
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn converse(
    mut stream: TcpStream,
    script: &(dyn Fn(u32) -> Vec<Frame> + Send + Sync),
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    let mut asked = 0;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await?;
        let number = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            SETTINGS if head[4] == 0 => stream.write_all(&frame(SETTINGS, 1, 0, &[])).await?,
            HEADERS => {
                let frames = script(asked);
                asked += 1;
                let bytes: Vec<u8> = frames.iter().flat_map(|f| f.bytes(number)).collect();
                stream.write_all(&bytes).await?;
            }
            _ => {}
        }
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a small frame")
        .to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Literals without indexing and without Huffman (RFC 7541 §6.2.2).
fn literal(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|n| *n < 127)
                    .expect("short"),
            );
            bytes.extend(text.bytes());
        }
    }
    bytes
}
