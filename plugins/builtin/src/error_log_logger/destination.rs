//! Where lines of the log go.

use super::config::{ClickhouseConfig, Metadata, SkywalkingConfig, TcpConfig};
use crate::{
    kafka_logger::{Cluster, Producer, cluster},
    logger::{self, Post, Tcp, TcpOptions},
};
use crossway_sdk::{
    batch::{Sink, SinkError},
    build::{BuildCx, BuildError},
    client::ClientOptions,
    tls::TlsOptions,
};
use serde_json::json;
use std::time::Duration;

/// Connections to a TCP server that are kept for later.
const KEPT: usize = 1;

pub(super) enum Destination {
    Tcp(Tcp),
    Kafka(Producer),
    Clickhouse {
        post: Post,
        table: String,
    },
    Skywalking {
        post: Post,
        service: String,
        /// `None` for the name of the machine.
        instance: Option<String>,
    },
}

impl Destination {
    pub(super) fn new(cx: &BuildCx<'_>, metadata: Metadata) -> Result<Self, BuildError> {
        let timeout = Duration::from_secs(metadata.timeout);
        let mut options = ClientOptions::verifying(false);
        options.idle_timeout = Some(Duration::from_secs(metadata.keepalive));
        let post = |name: &str, address: &str| {
            let path = format!("/{name}/endpoint_addr");
            let mut post = Post::new(cx, [(path, address)], options.clone(), timeout)?;
            post.headers
                .extend([logger::header("", "content-type", "application/json")?]);
            Ok::<_, BuildError>(post)
        };
        match metadata {
            Metadata { tcp: Some(tcp), .. } => Self::tcp(tcp, timeout),
            Metadata {
                kafka: Some(kafka), ..
            } => {
                let (brokers, sasl) = cluster(cx, Some(kafka.brokers), None)?;
                let tls = kafka.tls.map(|tls| TlsOptions {
                    verify: tls.verify,
                    ..TlsOptions::default()
                });
                Ok(Self::Kafka(Producer::new(Cluster {
                    brokers,
                    sasl,
                    tls,
                    topic: kafka.kafka_topic,
                    key: kafka.key,
                    timeout,
                })))
            }
            Metadata {
                clickhouse: Some(place),
                ..
            } => Self::clickhouse(post("clickhouse", &place.endpoint_addr)?, place),
            Metadata {
                skywalking: Some(place),
                ..
            } => Ok(Self::skywalking(
                post("skywalking", &place.endpoint_addr)?,
                place,
            )),
            _ => Err(cx.error("", "expected one of tcp, kafka, clickhouse, skywalking")),
        }
    }

    fn tcp(config: TcpConfig, timeout: Duration) -> Result<Self, BuildError> {
        let tcp = Tcp::new(TcpOptions {
            host: config.host,
            port: config.port,
            timeout,
            tls: config.tls.then_some(config.tls_server_name),
            keep: KEPT,
        });
        tcp.map(Self::Tcp)
    }

    fn clickhouse(mut post: Post, config: ClickhouseConfig) -> Result<Self, BuildError> {
        post.headers.extend([
            logger::header("/clickhouse/user", "x-clickhouse-user", &config.user)?,
            logger::header("/clickhouse/password", "x-clickhouse-key", &config.password)?,
            logger::header(
                "/clickhouse/database",
                "x-clickhouse-database",
                &config.database,
            )?,
        ]);
        let table = config.logtable;
        Ok(Self::Clickhouse { post, table })
    }

    fn skywalking(post: Post, config: SkywalkingConfig) -> Self {
        let name = config.service_instance_name;
        Self::Skywalking {
            post,
            service: config.service_name,
            instance: (name != "$hostname").then_some(name),
        }
    }
}

impl Sink for Destination {
    type Entry = String;

    /// Lines keep their order.
    const PARALLEL: usize = 1;

    fn weight(entry: &String) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[String]) -> Result<(), SinkError> {
        match self {
            Self::Tcp(tcp) => tcp.write((batch.join("\n") + "\n").as_bytes()).await,
            // As APISIX sends them: an array of lines and line feeds.
            Self::Kafka(producer) => {
                let texts: Vec<_> = batch.iter().flat_map(|line| [line, "\n"]).collect();
                producer.send(logger::line(&texts)).await
            }
            Self::Clickhouse { post, table } => {
                let rows = batch.iter().map(|line| json!({ "data": line }).to_string());
                let rows: Vec<_> = rows.collect();
                let body = format!("INSERT INTO {table} FORMAT JSONEachRow {}", rows.join(" "));
                let answer = post.send(body.into_bytes()).await?;
                logger::plain(&answer, answer.status().as_u16() < 400)
            }
            Self::Skywalking {
                post,
                service,
                instance,
            } => {
                let instance = instance.clone().unwrap_or_else(logger::this_machine);
                let entry = |line| {
                    json!({
                        "body": {"text": {"text": line}}, "endpoint": "", "service": service,
                        "serviceInstance": instance,
                    })
                };
                let entries: Vec<_> = batch.iter().map(entry).collect();
                let answer = post.send(logger::line(&entries)).await?;
                logger::plain(&answer, answer.status().as_u16() < 400)
            }
        }
    }
}
