//! A producer for one topic. Connections are made when the first message goes, and anew when one failed.

use super::config::{Mechanism, Sasl};
use crossway_sdk::{batch::SinkError, tls::TlsOptions};
use rskafka::{
    chrono::Utc,
    client::{
        Client, ClientBuilder, Credentials, SaslConfig,
        partition::{Compression, PartitionClient, UnknownTopicHandling},
    },
    record::Record,
};
use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::timeout};

/// Where messages go.
pub(crate) struct Cluster {
    pub(crate) brokers: Vec<String>,
    pub(crate) sasl: Option<Sasl>,
    /// `None` speaks without TLS.
    pub(crate) tls: Option<TlsOptions>,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) timeout: Duration,
}

/// A producer.
pub(crate) struct Producer {
    cluster: Cluster,
    /// A lock that is held while connecting, so that a cluster which is away is not knocked at by all batches at once.
    connected: Mutex<Option<Arc<Connected>>>,
    turn: AtomicUsize,
}

struct Connected {
    client: Client,
    /// The numbers of the topic's partitions, ascending.
    partitions: Vec<i32>,
    open: Mutex<BTreeMap<i32, Arc<PartitionClient>>>,
}

impl Producer {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            connected: Mutex::new(None),
            turn: AtomicUsize::new(0),
        }
    }

    /// Sends a message and waits until it was acknowledged.
    ///
    /// # Errors
    /// It was not, within the time of the cluster.
    pub(crate) async fn send(&self, message: Vec<u8>) -> Result<(), SinkError> {
        let limit = self.cluster.timeout;
        let sent = timeout(limit, self.exchange(message)).await;
        let sent = sent.unwrap_or_else(|_| {
            let waited = limit.as_secs();
            Err(SinkError::new(format!(
                "no acknowledgement within {waited} s"
            )))
        });
        if sent.is_err() {
            // Leaders may have moved: begin anew.
            *self.connected.lock().await = None;
        }
        sent
    }

    async fn exchange(&self, message: Vec<u8>) -> Result<(), SinkError> {
        let connected = self.connected().await?;
        let number = self.choose(&connected.partitions)?;
        let partition = connected.partition(&self.cluster.topic, number).await?;
        let record = Record {
            key: self.cluster.key.clone().map(String::into_bytes),
            value: Some(message),
            headers: BTreeMap::new(),
            timestamp: Utc::now(),
        };
        let sent = partition
            .produce(vec![record], Compression::NoCompression)
            .await;
        sent.map(drop).map_err(said)
    }

    /// The partition of the key, by the sum that APISIX's producer uses; without a key they take turns.
    fn choose(&self, partitions: &[i32]) -> Result<i32, SinkError> {
        let place = match &self.cluster.key {
            Some(key) => {
                let mut sum = flate2::Crc::new();
                sum.update(key.as_bytes());
                sum.sum() as usize
            }
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let place = place.checked_rem(partitions.len());
        place
            .and_then(|place| partitions.get(place).copied())
            .ok_or_else(|| SinkError::new("the topic has no partitions"))
    }

    async fn connected(&self) -> Result<Arc<Connected>, SinkError> {
        let mut connected = self.connected.lock().await;
        if let Some(connected) = &*connected {
            return Ok(connected.clone());
        }
        let made = Arc::new(self.connect().await?);
        *connected = Some(made.clone());
        Ok(made)
    }

    async fn connect(&self) -> Result<Connected, SinkError> {
        let cluster = &self.cluster;
        let mut builder = ClientBuilder::new(cluster.brokers.clone()).client_id("crossway");
        if let Some(sasl) = &cluster.sasl {
            builder = builder.sasl_config(sasl.config());
        }
        if let Some(tls) = cluster.tls.clone() {
            let config = tokio::task::spawn_blocking(move || tls.client_config()).await;
            builder = builder.tls_config(Arc::new(config.map_err(said)?.map_err(said)?));
        }
        let client = builder.build().await.map_err(said)?;
        let topics = client.list_topics().await.map_err(said)?;
        let topic = topics.into_iter().find(|topic| topic.name == cluster.topic);
        let topic = topic
            .ok_or_else(|| SinkError::new(format!("the cluster has no topic {}", cluster.topic)))?;
        Ok(Connected {
            client,
            partitions: topic.partitions.into_iter().collect(),
            open: Mutex::default(),
        })
    }
}

impl Connected {
    async fn partition(&self, topic: &str, number: i32) -> Result<Arc<PartitionClient>, SinkError> {
        let mut open = self.open.lock().await;
        if let Some(partition) = open.get(&number) {
            return Ok(partition.clone());
        }
        let handling = UnknownTopicHandling::Error;
        let made = self.client.partition_client(topic, number, handling).await;
        let made = Arc::new(made.map_err(said)?);
        open.insert(number, made.clone());
        Ok(made)
    }
}

impl Sasl {
    fn config(&self) -> SaslConfig {
        let credentials = Credentials::new(self.user.clone(), self.password.clone());
        match self.mechanism {
            Mechanism::Plain => SaslConfig::Plain(credentials),
            Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
            Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
        }
    }
}

fn said(error: impl Display) -> SinkError {
    SinkError::new(error)
}
