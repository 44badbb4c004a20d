//! A service with a script, for tests.

use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Answers every request with the same bytes, and remembers what it was asked.
pub(crate) struct Service {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Sends `answer` and closes. Without an answer it never says anything.
    pub(crate) async fn start(answer: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let into = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer.clone(), into.clone()));
            }
        });
        Self { address, asked }
    }

    /// With a status line's code, these lines and a body.
    pub(crate) async fn saying(status: u16, lines: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!("HTTP/1.1 {status} X\r\n{lines}Content-Length: {length}\r\n\r\n{body}");
        Self::start(Some(head.into_bytes())).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was asked, head and body, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().clone()
    }

    /// The only request.
    pub(crate) fn request(&self) -> String {
        let asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].clone()
    }
}

/// The address of nobody.
pub(crate) async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn serve(mut stream: TcpStream, answer: Option<Vec<u8>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    while !is_whole(&read) {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return;
        }
    }
    asked
        .lock()
        .push(String::from_utf8_lossy(&read).into_owned());
    match answer {
        Some(answer) => {
            let _gone = stream.write_all(&answer).await;
        }
        None => std::future::pending().await,
    }
}

fn is_whole(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    assert!(!head.contains("transfer-encoding"), "{head}");
    body.len() >= length.map_or(0, |l| l.parse().unwrap())
}
