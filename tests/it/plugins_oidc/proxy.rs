//! A forward proxy that alone knows where `idp.test` is.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// The proxy; it ends with the test. It takes who shows `Basic cHJveHk6aHVzaA==`.
pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, noted.clone()));
            }
        });
        Self {
            address,
            asked,
            serving,
        }
    }

    /// The request lines so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn forward(mut client: TcpStream, noted: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let (line, fields) = head.split_once("\r\n")?;
    noted.lock().unwrap().push(line.to_owned());
    let known = fields
        .lines()
        .any(|field| field.eq_ignore_ascii_case("proxy-authorization: Basic cHJveHk6aHVzaA=="));
    if !known {
        let refusal = b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        client.write_all(refusal).await.ok()?;
        return client.shutdown().await.ok();
    }
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (authority, path) = match method {
        "CONNECT" => (target, None),
        _ => {
            let (authority, path) = target.strip_prefix("http://")?.split_once('/')?;
            (authority, Some(path))
        }
    };
    let port = authority.strip_prefix("idp.test:")?.parse().ok()?;
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    match path {
        None => client.write_all(b"HTTP/1.1 200 Go on\r\n\r\n").await.ok()?,
        Some(path) => {
            // One request for each connection, so that no other target has to be rewritten.
            let kept = fields.lines().filter(|field| {
                let field = field.to_ascii_lowercase();
                !field.is_empty()
                    && !field.starts_with("proxy-")
                    && !field.starts_with("connection:")
            });
            let kept: String = kept.map(|field| format!("{field}\r\n")).collect();
            let head = format!("{method} /{path} HTTP/1.1\r\n{kept}Connection: close\r\n\r\n");
            server.write_all(head.as_bytes()).await.ok()?;
        }
    }
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
