//! `kafka-logger`: entries to a topic of Kafka.

mod config;
mod origin;
mod producer;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Recorder};
use config::{MetaFormat, Sasl};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    prelude::*,
    tls::TlsOptions,
};
use std::time::Duration;

pub use config::Config;
pub(crate) use config::{Broker, ProducerType, Tls};
pub(crate) use producer::{Cluster, Producer};

/// See the module.
pub struct KafkaLogger {
    recorder: Recorder,
    origin: bool,
    queue: Queue<Topic>,
}

struct Topic {
    producer: Producer,
    origin: bool,
    /// Batches of one are sent without an array around the entry.
    single: bool,
}

impl Sink for Topic {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    /// A batch is one message: an array of entries, or of texts.
    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let lines = batch.iter().map(Vec::as_slice);
        let message = match (self.single, self.origin) {
            (true, _) => logger::joined(lines, b""),
            (false, false) => logger::array(lines),
            (false, true) => {
                let texts: Vec<_> = lines.map(String::from_utf8_lossy).collect();
                logger::line(&texts)
            }
        };
        self.producer.send(message).await
    }
}

/// The brokers as `host:port`, and how to log in to them.
pub(crate) fn cluster(
    cx: &BuildCx<'_>,
    brokers: Option<Vec<Broker>>,
    list: Option<std::collections::BTreeMap<String, u16>>,
) -> Result<(Vec<String>, Option<Sasl>), BuildError> {
    match (brokers, list) {
        (Some(brokers), None) => {
            let sasl = brokers
                .first()
                .and_then(|broker| broker.sasl_config.clone());
            if let Some(other) = brokers.iter().position(|broker| broker.sasl_config != sasl) {
                let message = "expected the same sasl_config for all brokers of a cluster";
                return Err(cx.error(format!("/brokers/{other}/sasl_config"), message));
            }
            let names = brokers.iter().map(|b| format!("{}:{}", b.host, b.port));
            Ok((names.collect(), sasl))
        }
        (None, Some(list)) if !list.is_empty() => {
            let names = list.iter().map(|(host, port)| format!("{host}:{port}"));
            Ok((names.collect(), None))
        }
        (None, Some(_)) => Err(cx.error("/broker_list", "expected at least one broker")),
        _ => Err(cx.error("", "expected either brokers or broker_list")),
    }
}

#[phases]
impl Plugin for KafkaLogger {
    const NAME: &'static str = "kafka-logger";
    const PRIORITY: i32 = 403;
    const ENCRYPTED: &'static [&'static str] = &["brokers.sasl_config.password"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let (brokers, sasl) = cluster(cx, config.brokers, config.broker_list)?;
        let tls = config.tls.map(|tls| TlsOptions {
            verify: tls.verify,
            ..TlsOptions::default()
        });
        let producer = Producer::new(Cluster {
            brokers,
            sasl,
            tls,
            topic: config.kafka_topic,
            key: config.key,
            timeout: Duration::from_secs(config.timeout),
        });
        let origin = config.meta_format == MetaFormat::Origin;
        let topic = Topic {
            producer,
            origin,
            single: config.batch.batch_max_size == 1,
        };
        Ok(Self {
            recorder,
            origin,
            queue: Queue::new(cx, "kafka logger", &config.batch, topic),
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
        let entry = match self.origin {
            true => self.recorder.with(ex, |part| origin::of(&part)),
            false => self.recorder.entry(ex),
        };
        self.queue.push(entry, &*ex.request);
    }
}
