//! Everything that runs: two nodes, the gateway between, and the clients.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::changes;
use crate::client::{NAME, Over, trusting};
use crate::gateway::{Admin, Gateway};
use crate::hostile;
use crate::ledger::Ledger;
use crate::origin::Node;
use crate::payload::Payload;
use crate::traffic::{self, Kind, Shared};

/// The nodes, the gateway, and whether clients may ask.
pub(crate) struct World {
    pub(crate) nodes: Vec<Node>,
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
        let gateway = Gateway::start(program, folder).await?;
        let addrs: Vec<SocketAddr> = nodes.iter().map(Node::addr).collect();
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()]);
        let made = made.map_err(io::Error::other)?;
        configure(&gateway, &addrs, &made).await?;
        let certificate = made.cert.der().clone();
        let tls = trusting(certificate.clone(), b"http/1.1").map_err(io::Error::other)?;
        let http2 = trusting(certificate, b"h2").map_err(io::Error::other)?;

        let (up, watching) = watch::channel(true);
        let shared = Shared {
            ledger: Arc::new(Ledger::new()),
            up: watching,
            pause,
        };
        let (http, https) = (gateway.at.http, gateway.at.https);
        let mut tasks = JoinSet::new();
        for kind in kinds(http, https, &Over::Tls(tls), &Over::Http2(http2)) {
            tasks.spawn(traffic::ask(kind, shared.clone()));
        }
        for _ in 0..2 {
            tasks.spawn(traffic::talk(http, shared.clone()));
        }
        for _ in 0..4 {
            tasks.spawn(hostile::send_slowly(http, shared.clone()));
            tasks.spawn(hostile::read_slowly(http, shared.clone()));
        }
        tasks.spawn(hostile::talk_nonsense([http, https], shared.clone()));
        tasks.spawn(changes::keep_changing(gateway.at, addrs, shared.clone()));
        let world = Self {
            nodes,
            gateway,
            up,
            shared,
        };
        Ok((world, tasks))
    }
}

async fn configure(
    gateway: &Gateway,
    nodes: &[SocketAddr],
    identity: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> io::Result<()> {
    let admin = Admin::of(&gateway.at);
    let (certificate, key) = (
        identity.cert.pem().replace('\n', "\\n"),
        identity.signing_key.serialize_pem().replace('\n', "\\n"),
    );
    let ssl = format!("{{\"sni\":\"{NAME}\",\"cert\":\"{certificate}\",\"key\":\"{key}\"}}");
    admin
        .change("PUT", "/ssls/1", ssl.replace('\r', ""))
        .await?;
    admin
        .change("PUT", "/upstreams/1", changes::upstream(nodes, 0))
        .await?;
    let plugins = "\"plugins\":{\"request-id\":{},\"prometheus\":{},\
        \"proxy-rewrite\":{\"headers\":{\"set\":{\"X-Soak\":\"$remote_addr\"}}}}";
    let route = format!("{{\"uri\":\"/echo\",\"upstream_id\":\"1\",{plugins}}}");
    admin.change("PUT", "/routes/echo", route).await?;
    let socket = "{\"uri\":\"/ws\",\"upstream_id\":\"1\",\"enable_websocket\":true}";
    admin.change("PUT", "/routes/ws", socket.to_owned()).await
}

/// The clients that ask over HTTP.
fn kinds(http: SocketAddr, https: SocketAddr, tls: &Over, http2: &Over) -> Vec<Kind> {
    let small = Bytes::from_static(&[b'p'; 700]);
    let large = Bytes::from(vec![b'l'; 64 << 10]);
    let get = |name, to, over: &Over, per_connection| Kind {
        name,
        to,
        over: over.clone(),
        method: "GET",
        body: Payload::empty(),
        per_connection,
    };
    let post = |name, to, over: &Over, body: Payload| Kind {
        method: "POST",
        body,
        ..get(name, to, over, 100)
    };
    vec![
        get("get", http, &Over::Plain, 500),
        get("get", http, &Over::Plain, 500),
        get("get, new connections", http, &Over::Plain, 1),
        post("post", http, &Over::Plain, Payload::sized(small.clone(), 1)),
        post("post", http, &Over::Plain, Payload::sized(small.clone(), 1)),
        post(
            "chunked",
            http,
            &Over::Plain,
            Payload::chunked(small.clone(), 20),
        ),
        post("large", http, &Over::Plain, Payload::sized(large, 16)),
        get("tls get", https, tls, 50),
        post("tls post", https, tls, Payload::sized(small.clone(), 1)),
        get("http/2 get", https, http2, 50),
        post(
            "http/2 post",
            https,
            http2,
            Payload::sized(small.clone(), 1),
        ),
        post("http/2 chunked", https, http2, Payload::chunked(small, 20)),
    ]
}
