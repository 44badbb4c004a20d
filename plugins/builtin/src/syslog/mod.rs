//! `syslog`: entries of requests and of stream sessions to a syslog server, in the format of RFC 5424.

mod config;
mod message;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Recorder, Tcp, TcpOptions, Udp};
use config::SockType;
use crossway_sdk::{
    batch::{Origin, Queue, Sink, SinkError},
    prelude::*,
};
use std::{
    sync::Once,
    time::{Duration, SystemTime},
};

pub use config::Config;

/// See the module.
pub struct Syslog {
    recorder: Recorder,
    queue: Queue<Server>,
    drop_limit: usize,
    /// Whether it was said that entries of sessions need a format.
    formless: Once,
}

enum Server {
    Tcp(Tcp),
    Udp(Udp),
}

impl Sink for Server {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        match self {
            Self::Tcp(tcp) => {
                let lines = batch.iter().map(Vec::as_slice);
                tcp.write(&logger::joined(lines, b"")).await
            }
            Self::Udp(udp) => udp.send(batch).await,
        }
    }
}

#[phases]
impl Plugin for Syslog {
    const NAME: &'static str = "syslog";
    const PRIORITY: i32 = 401;
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let timeout = Duration::from_millis(config.timeout);
        let server = match config.sock_type {
            SockType::Udp if config.tls => {
                return Err(cx.error("/tls", "expected sock_type tcp: TLS is not spoken by UDP"));
            }
            SockType::Udp => Server::Udp(Udp {
                host: config.host,
                port: config.port,
                timeout,
            }),
            SockType::Tcp => Server::Tcp(Tcp::new(TcpOptions {
                host: config.host,
                port: config.port,
                timeout,
                tls: config.tls.then_some(None),
                keep: config.pool_size,
            })?),
        };
        // The names that the queues have in APISIX.
        let name = match cx.resource().starts_with("stream_routes/") {
            true => "stream sys logger",
            false => "sys logger",
        };
        Ok(Self {
            recorder,
            queue: Queue::new(cx, name, &config.batch, server),
            drop_limit: config.drop_limit,
            formless: Once::new(),
        })
    }

    fn metadata_schema() -> Option<Value> {
        logger::metadata_schema::<logger::Metadata>()
    }

    fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.recorder.request_body(ex, chunk.as_ref(), end);
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.recorder.response_body(ex, chunk.as_ref(), end);
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let entry = self.recorder.entry(ex);
        self.push(&ex.request.host, &entry, &*ex.request);
    }

    fn stream_log(&self, ex: &mut StreamExchange<'_>) {
        match self.recorder.session(ex.session) {
            // A session has no host.
            Some(entry) => self.push("", &entry, &*ex.session),
            None => self.formless.call_once(|| {
                tracing::error!("syslog's log_format is not set: there are no entries of sessions");
            }),
        }
    }
}

impl Syslog {
    fn push<'o>(&self, host: &str, entry: &[u8], origin: impl Into<Origin<'o>>) {
        let message = message::of(host, SystemTime::now(), entry);
        if message.len() <= self.drop_limit {
            self.queue.push(message, origin);
        } else {
            tracing::warn!(
                bytes = message.len(),
                "a message is longer than drop_limit: it is dropped"
            );
        }
    }
}
