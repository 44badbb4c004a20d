//! A static upstream that costs as little as possible: it counts the ends of heads in what it
//! reads and writes as many ready-made answers. Requests must have no body. `origin LISTEN`.

use std::io;
use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 65\r\n\r\n\
    sixty-five bytes of an answer that is always the same, no matter.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(listen) = std::env::args().nth(1) else {
        eprintln!("origin LISTEN, for example: origin 127.0.0.1:9082");
        return ExitCode::FAILURE;
    };
    let listener = match TcpListener::bind(&listen).await {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("listen on {listen}: {error}");
            return ExitCode::FAILURE;
        }
    };
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // A peer that breaks off is nothing to report.
            tokio::spawn(async move { serve(stream).await.ok() });
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 16 << 10];
    let mut heads = Heads::default();
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let seen = heads.count(buffer.iter().take(read));
        match seen {
            0 => {}
            1 => stream.write_all(ANSWER).await?,
            many => stream.write_all(&ANSWER.repeat(many)).await?,
        }
    }
}

/// How much of `\r\n\r\n` has been seen, kept from one read to the next.
#[derive(Default)]
struct Heads {
    matched: usize,
}

impl Heads {
    fn count<'a>(&mut self, bytes: impl Iterator<Item = &'a u8>) -> usize {
        let mut ends = 0;
        for byte in bytes {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') | (1 | 3, b'\n') => self.matched + 1,
                (_, b'\r') => 1,
                _ => 0,
            };
            if self.matched == 4 {
                self.matched = 0;
                ends += 1;
            }
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWER, Heads};

    #[test]
    fn heads_are_counted_across_reads() {
        let mut heads = Heads::default();
        assert_eq!(
            heads.count(b"GET / HTTP/1.1\r\nA: b\r\n\r\nGET / HTTP/1.1\r\n\r".iter()),
            1
        );
        assert_eq!(heads.count(b"\nGET / HTTP/1.1\r\n\r\nrest\r\r\n".iter()), 2);
        assert_eq!(heads.count(b"\r\n".iter()), 1);
    }

    #[test]
    fn the_answer_is_as_long_as_it_says() {
        let text = String::from_utf8_lossy(ANSWER);
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        assert_eq!(body.len(), 65);
    }
}
