//! Where Redis is, and how a connection to it is made.

use super::tls;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsMode,
    aio::MultiplexedConnection,
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{SentinelClientBuilder, SentinelServerType},
};
use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};

/// Servers, and what is needed to be let in.
pub(crate) struct Endpoint {
    pub(crate) kind: Kind,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: u32,
    /// How long connecting may take, with all that belongs to it.
    pub(crate) connect_timeout: Duration,
    /// How long an answer may take.
    pub(crate) read_timeout: Duration,
}

/// What kind of Redis it is.
#[derive(Debug)]
pub(crate) enum Kind {
    Server(Server),
    Cluster(Cluster),
    Sentinels(Sentinels),
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: Address,
    /// `None` without TLS, else whether certificates are verified.
    pub(crate) tls: Option<bool>,
    /// With TLS, the name that the certificate must have in place of the host.
    pub(crate) server_name: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Address>,
    pub(crate) tls: Option<bool>,
}

pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<Address>,
    pub(crate) master: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Of the master; sentinels are asked without TLS.
    pub(crate) tls: Option<bool>,
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} behind {:?}", self.master, self.sentinels)
    }
}

/// Host and port.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Address {
    /// `host:port` or `[address]:port`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return None;
        }
        Some(Self {
            host: bare.unwrap_or(host).to_owned(),
            port: port.parse().ok().filter(|port| *port > 0)?,
        })
    }

    fn with(&self, tls: Option<bool>) -> ConnectionAddr {
        let (host, port) = (self.host.clone(), self.port);
        match tls {
            None => ConnectionAddr::Tcp(host, port),
            Some(verify) => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: !verify,
                tls_params: None,
            },
        }
    }
}

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Endpoint {
    /// Stands for all of it, secrets included, and tells none of them.
    pub(super) fn identity(&self) -> String {
        let Self {
            kind,
            username,
            password,
            database,
            connect_timeout,
            read_timeout,
        } = self;
        let asked = match kind {
            Kind::Sentinels(s) => Some((&s.username, &s.password, s.tls)),
            _ => None,
        };
        let all = (
            kind,
            username,
            password,
            database,
            connect_timeout,
            read_timeout,
            asked,
        );
        super::hex(&Sha256::digest(format!("{all:?}")))
    }

    /// How many requests in a row must fail until the connection is given up. A cluster's finds its way by itself, and
    /// one lost node of it is no reason to leave the others.
    pub(super) fn patience(&self) -> u32 {
        match self.kind {
            Kind::Cluster(_) => 8,
            _ => 1,
        }
    }

    /// Whether it can be used at all. Connects nowhere.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Server(server) => self.client(server).map(drop),
            Kind::Cluster(cluster) => self.cluster(cluster).map(drop),
            Kind::Sentinels(_) => Ok(()),
        }
        .map_err(|e| e.to_string())
    }

    /// Makes a connection; ends within the timeout of connecting, which each sentinel has for itself.
    pub(super) async fn connect(&self) -> Result<Connection, String> {
        let steps = match &self.kind {
            Kind::Sentinels(s) => u32::try_from(s.sentinels.len()).unwrap_or(u32::MAX),
            _ => 0,
        };
        let limit = self.connect_timeout.saturating_mul(steps.saturating_add(1));
        match tokio::time::timeout(limit, self.open()).await {
            Ok(opened) => opened.map_err(|e| e.to_string()),
            Err(_) => Err("connecting timed out".into()),
        }
    }

    async fn open(&self) -> RedisResult<Connection> {
        match &self.kind {
            Kind::Server(server) => match (&server.server_name, server.tls) {
                (Some(name), Some(verify)) => {
                    let login = self.info(server)?;
                    let login = login.redis_settings();
                    let stream = tls::connect(&server.address, name, verify).await?;
                    tls::over(stream, login, self.timeouts()).await
                }
                _ => {
                    let client = self.client(server)?;
                    let timeouts = self.timeouts();
                    client
                        .get_multiplexed_async_connection_with_config(&timeouts)
                        .await
                }
            }
            .map(Connection::Server),
            Kind::Cluster(cluster) => self
                .cluster(cluster)?
                .get_async_connection()
                .await
                .map(Connection::Cluster),
            Kind::Sentinels(sentinels) => self.behind(sentinels).await.map(Connection::Server),
        }
    }

    fn timeouts(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect_timeout))
            .set_response_timeout(Some(self.read_timeout))
    }

    fn client(&self, server: &Server) -> RedisResult<Client> {
        Client::open(self.info(server)?)
    }

    fn info(&self, server: &Server) -> RedisResult<ConnectionInfo> {
        let info: ConnectionInfo = server.address.with(server.tls).into_connection_info()?;
        let mut login = info
            .redis_settings()
            .clone()
            .set_db(i64::from(self.database))
            .set_skip_set_lib_name();
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        Ok(info.set_redis_settings(login))
    }

    fn cluster(&self, cluster: &Cluster) -> RedisResult<ClusterClient> {
        let nodes = cluster.nodes.iter().map(|node| node.with(cluster.tls));
        let mut builder = ClusterClient::builder(nodes)
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.read_timeout)
            .retries(2)
            .min_retry_wait(10)
            .max_retry_wait(100);
        if let Some(verify) = cluster.tls {
            builder = builder.tls(match verify {
                true => TlsMode::Secure,
                false => TlsMode::Insecure,
            });
        }
        if let Some(password) = &self.password {
            builder = builder.password(password);
        }
        if let Some(username) = &self.username {
            builder = builder.username(username);
        }
        builder.build()
    }

    /// Asks the sentinels anew each time: the master may be another one by now.
    async fn behind(&self, sentinels: &Sentinels) -> RedisResult<MultiplexedConnection> {
        let addresses = sentinels.sentinels.iter().map(|s| s.with(None));
        let mut builder =
            SentinelClientBuilder::new(addresses, &sentinels.master, SentinelServerType::Master)?
                .set_client_to_redis_db(i64::from(self.database));
        if let Some(verify) = sentinels.tls {
            builder = builder.set_client_to_redis_tls_mode(match verify {
                true => TlsMode::Secure,
                false => TlsMode::Insecure,
            });
        }
        if let Some(username) = &self.username {
            builder = builder.set_client_to_redis_username(username);
        }
        if let Some(password) = &self.password {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(username) = &sentinels.username {
            builder = builder.set_client_to_sentinel_username(username);
        }
        if let Some(password) = &sentinels.password {
            builder = builder.set_client_to_sentinel_password(password);
        }
        builder
            .build()?
            .get_async_connection_with_config(&self.timeouts())
            .await
    }
}

/// For the log: the servers, and no credentials.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Server(server) => write!(f, "{:?}", server.address),
            Kind::Cluster(cluster) => write!(f, "the cluster at {:?}", cluster.nodes),
            Kind::Sentinels(sentinels) => write!(f, "{sentinels:?}"),
        }
    }
}
