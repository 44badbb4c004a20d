//! Everything that runs: the nodes, the gateway before them, and the clients.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::changes;
use crate::client::{NAME, trusting};
use crate::gateway::Gateway;
use crate::hostile;
use crate::ledger::Ledger;
use crate::mix::{self, Trusts};
use crate::origin::{Datagrams, Node};
use crate::sessions;
use crate::traffic::{self, Shared};

/// The nodes, the gateway, and whether clients may ask.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
    _datagrams: Datagrams,
    pub(crate) gateway: Gateway,
    pub(crate) up: watch::Sender<bool>,
    pub(crate) shared: Shared,
}

impl World {
    /// Starts nodes and gateway, configures it, and lets all clients loose.
    pub(crate) async fn build(
        program: &Path,
        folder: &Path,
        pause: Duration,
    ) -> io::Result<(Self, JoinSet<()>)> {
        let nodes = vec![Node::start().await?, Node::start().await?];
        let datagrams = Datagrams::start().await?;
        let gateway = Gateway::start(program, folder).await?;
        let identity = generate_simple_self_signed(vec![NAME.to_owned()]);
        let identity = identity.map_err(io::Error::other)?;
        configure(&gateway, &nodes, &datagrams, &identity).await?;
        let trusts = trusts(&identity).map_err(io::Error::other)?;

        let (up, watching) = watch::channel(true);
        let shared = Shared {
            ledger: Arc::new(Ledger::new()),
            up: watching,
            pause,
        };
        let at = gateway.at;
        let mut tasks = JoinSet::new();
        for kind in mix::kinds(&at, &trusts) {
            tasks.spawn(traffic::ask(kind, shared.clone()));
        }
        for session in mix::sessions(&at, &trusts) {
            tasks.spawn(sessions::talk(session, shared.clone()));
        }
        tasks.spawn(sessions::send_datagrams(at.udp, shared.clone()));
        hostile::all(&at, &trusts.http2, &shared, &mut tasks);
        let members = nodes.iter().map(Node::http).collect();
        tasks.spawn(changes::keep_changing(at, members, shared.clone()));
        let world = Self {
            nodes,
            _datagrams: datagrams,
            gateway,
            up,
            shared,
        };
        Ok((world, tasks))
    }
}

fn trusts(identity: &CertifiedKey<KeyPair>) -> Result<Trusts, rustls::Error> {
    let offering = |alpn: &[&[u8]]| trusting(identity.cert.der().clone(), alpn);
    Ok(Trusts {
        nothing: offering(&[])?,
        http1: offering(&[b"http/1.1"])?,
        http2: offering(&[b"h2"])?,
    })
}

async fn configure(
    gateway: &Gateway,
    nodes: &[Node],
    datagrams: &Datagrams,
    identity: &CertifiedKey<KeyPair>,
) -> io::Result<()> {
    let (certificate, key) = (
        identity.cert.pem().replace('\n', "\\n"),
        identity.signing_key.serialize_pem().replace('\n', "\\n"),
    );
    let ssl = format!("{{\"sni\":\"{NAME}\",\"cert\":\"{certificate}\",\"key\":\"{key}\"}}");
    let http: Vec<SocketAddr> = nodes.iter().map(Node::http).collect();
    let tcp: Vec<SocketAddr> = nodes.iter().map(Node::tcp).collect();
    let plugins = "\"plugins\":{\"request-id\":{},\"prometheus\":{},\
        \"proxy-rewrite\":{\"headers\":{\"set\":{\"X-Soak\":\"$remote_addr\"}}}}";
    let route = |uri: &str, more: &str| format!("{{\"uri\":\"{uri}\",{more}}}");
    let stream = |port: SocketAddr, nodes: &[SocketAddr]| {
        let (port, upstream) = (port.port(), changes::upstream(nodes, 0));
        format!("{{\"server_port\":{port},\"upstream\":{upstream}}}")
    };
    let grpc = changes::upstream(&http, 0).replacen('{', "{\"scheme\":\"grpc\",", 1);
    let first = "\"upstream_id\":\"1\"";
    let at = &gateway.at;
    let documents = [
        ("/ssls/1", ssl.replace('\r', "")),
        ("/upstreams/1", changes::upstream(&http, 0)),
        ("/upstreams/grpc", grpc),
        (
            "/routes/echo",
            route("/echo", &format!("{first},{plugins}")),
        ),
        ("/routes/bytes", route("/bytes/*", first)),
        ("/routes/events", route("/events/*", first)),
        (
            "/routes/grpc",
            route("/soak.Echo/*", "\"upstream_id\":\"grpc\""),
        ),
        (
            "/routes/ws",
            route("/ws", &format!("{first},\"enable_websocket\":true")),
        ),
        ("/stream_routes/tcp", stream(at.tcp, &tcp)),
        ("/stream_routes/tls", stream(at.tls, &tcp)),
        ("/stream_routes/udp", stream(at.udp, &[datagrams.addr()])),
    ];
    let admin = Admin::of(at);
    for (path, document) in documents {
        admin.change("PUT", path, document).await?;
    }
    Ok(())
}
