//! The well-behaved clients that ask over HTTP: each asks, checks what comes back, and asks again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::sleep;

use crate::client::{Answer, Connection, Over};
use crate::ledger::{Ledger, Outcome};
use crate::origin::GRPC_OK;
use crate::payload::Payload;

/// What workers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) ledger: Arc<Ledger>,
    /// Whether the gateway is meant to answer; workers wait while it is not.
    pub(crate) up: watch::Receiver<bool>,
    /// Between two requests of a worker.
    pub(crate) pause: Duration,
}

/// What a worker asks for, and what it expects.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) to: SocketAddr,
    pub(crate) over: Over,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) body: Payload,
    pub(crate) expected: Vec<u8>,
    /// Whether the answer is that of a gRPC call.
    pub(crate) is_call: bool,
    /// Whether the time that it takes is chosen by the client.
    pub(crate) is_session: bool,
    /// After so many requests a new connection is made.
    pub(crate) per_connection: usize,
    /// Between two requests, if not as all others.
    pub(crate) pause: Option<Duration>,
}

/// Asks until the task is aborted.
pub(crate) async fn ask(kind: Kind, mut shared: Shared) {
    loop {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let mut connection = match Connection::open(kind.to, &kind.over).await {
            Ok(connection) => connection,
            Err(error) => {
                let outcome = Outcome::Failed(format!("connect: {error}"));
                shared.ledger.note(kind.name, begun, outcome);
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let opened = begun;
        for asked in 0..kind.per_connection {
            // Closed between two requests, as a server may: not a loss.
            if !connection.is_open().await {
                break;
            }
            let begun = Instant::now();
            let outcome = kind.ask(&mut connection, asked > 0).await;
            let failed = matches!(outcome, Outcome::Failed(_) | Outcome::Wrong(_));
            if kind.is_session {
                shared
                    .ledger
                    .note_session(kind.name, begun, opened, outcome);
            } else {
                shared.ledger.note(kind.name, begun, outcome);
            }
            sleep(kind.pause.unwrap_or(shared.pause)).await;
            if failed {
                break;
            }
        }
    }
}

impl Kind {
    /// Asks once, and a second time where a client may (RFC 9112 §9.3.1): what was closed while idle, before anything was
    /// sent or accepted, was not asked yet; an idempotent request on a connection that was used before may have met its end.
    async fn ask(&self, connection: &mut Connection, used: bool) -> Outcome {
        let broken = match self.send(connection).await {
            Ok(answer) => return self.judge(&answer),
            Err(broken) => broken,
        };
        let again = match (broken.sent, broken.heard) {
            (false, _) => Outcome::Answered,
            (true, false) if used && self.method == "GET" => Outcome::Retried,
            _ => return Outcome::Failed(broken.to_string()),
        };
        match self.ask_anew(connection).await {
            Ok(answer) => match self.judge(&answer) {
                Outcome::Answered => again,
                other => other,
            },
            Err(error) => Outcome::Failed(format!("{broken}; again: {error}")),
        }
    }

    async fn ask_anew(&self, connection: &mut Connection) -> io::Result<Answer> {
        *connection = Connection::open(self.to, &self.over).await?;
        Ok(self.send(connection).await?)
    }

    async fn send(&self, connection: &mut Connection) -> Result<Answer, crate::client::Broken> {
        let body = self.body.clone();
        connection
            .ask(self.method, &self.path, self.headers, body)
            .await
    }

    fn judge(&self, answer: &Answer) -> Outcome {
        let (name, value) = GRPC_OK;
        let length = answer.body.len();
        let trailer = answer.trailers.as_ref().and_then(|all| all.get(name));
        match answer.status {
            200 if self.is_call && trailer.is_none_or(|said| said != value) => {
                Outcome::Failed(format!("{length} bytes, {name} {trailer:?}"))
            }
            200 if answer.body == self.expected => Outcome::Answered,
            status @ 500.. => {
                let text = String::from_utf8_lossy(&answer.body);
                Outcome::Failed(format!("{status}: {}", text.trim()))
            }
            status => Outcome::Wrong(format!(
                "{status} with {length} bytes, not {}",
                self.expected.len()
            )),
        }
    }
}
