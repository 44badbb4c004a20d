use super::{
    ACME_TLS, Address, Bound, Census, Connection, Counters, Edge, Govern, Listener, Reason, Serve,
    SocketOptions, Stop, Terms, Tls, TlsFacts,
};
use async_trait::async_trait;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{PrivatePkcs8KeyDer, ServerName},
    server::ClientHello,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::TlsConnector;

struct Nobody;

impl Census for Nobody {
    fn opened(&self) {}
    fn closed(&self) {}
}

/// A certificate for one name.
struct OneName(&'static str, Arc<ServerConfig>);

impl Tls for OneName {
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        (hello.server_name() == Some(self.0)).then(|| self.1.clone())
    }
}

/// Echoes, and tells of the connections that it got.
struct Echo(mpsc::Sender<(Option<SocketAddr>, Option<Arc<TlsFacts>>)>);

#[async_trait]
impl Serve for Echo {
    async fn serve(self: Arc<Self>, mut connection: Connection, _: Stop) {
        self.0
            .send((connection.peer, connection.tls.clone()))
            .await
            .unwrap();
        let mut bytes = [0; 4];
        connection.stream.read_exact(&mut bytes).await.unwrap();
        connection.stream.write_all(&bytes).await.unwrap();
        connection.stream.flush().await.unwrap();
    }
}

fn certificate() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec()];
    (Arc::new(server), Arc::new(client))
}

struct Impatient;

impl Govern for Impatient {
    fn terms(&self) -> Arc<Terms> {
        let mut terms = Terms::default();
        terms.handshake_timeout = Duration::from_millis(300);
        Arc::new(terms)
    }
}

fn listener(
    server: Arc<ServerConfig>,
    told: mpsc::Sender<(Option<SocketAddr>, Option<Arc<TlsFacts>>)>,
) -> Listener {
    Listener {
        setting: "listen.https",
        address: Address::Tcp("127.0.0.1:0".parse().unwrap()),
        socket: SocketOptions::default(),
        proxy_protocol: false,
        tls: Some(Arc::new(OneName("a.test", server))),
        serve: Arc::new(Echo(told)),
    }
}

#[tokio::test]
async fn a_handshake_settles_facts_and_a_name_without_certificate_is_refused() {
    let (server, client) = certificate();
    let (told, mut connections) = mpsc::channel(1);
    let counters = Arc::new(Counters::default());
    let edge = Edge::new(Arc::new(Impatient), Arc::new(Nobody), counters.clone());
    let listener = listener(server, told);
    let bound = Bound::open("listen.https", &listener.address, &listener.socket, None).unwrap();
    let address = bound.local_addr().unwrap();
    let (stopping, stop) = Stop::new();
    let accepting = tokio::spawn(edge.accept(bound, listener, stop));

    let connect = async |name: &'static str| {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from(name).unwrap();
        TlsConnector::from(client.clone()).connect(name, tcp).await
    };
    let mut stream = connect("a.test").await.unwrap();
    let (peer, facts) = connections.recv().await.unwrap();
    let facts = facts.unwrap();
    assert_eq!(peer, Some(stream.get_ref().0.local_addr().unwrap()));
    assert_eq!(facts.server_name.as_deref(), Some("a.test"));
    assert_eq!(
        (facts.version, facts.alpn.as_deref()),
        ("TLSv1.3", Some(&b"h2"[..]))
    );
    assert!(facts.cipher.starts_with("TLS13_"), "{}", facts.cipher);
    stream.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");

    let error = connect("b.test").await.unwrap_err().to_string();
    assert!(error.contains("UnrecognisedName"), "{error}");
    let mut silent = TcpStream::connect(address).await.unwrap();
    assert_eq!(silent.read(&mut bytes).await.unwrap(), 0, "closed in time");
    assert_eq!(counters.get(Reason::TlsUnrecognizedName), 1);
    assert_eq!(counters.get(Reason::TlsTimeout), 1);

    stopping.give();
    accepting.await.unwrap();
    assert!(
        TcpStream::connect(address).await.is_err(),
        "nobody listens any more"
    );
}

#[tokio::test]
async fn a_handshake_that_proves_a_name_is_all_that_there_is_on_its_connection() {
    let (server, client) = certificate();
    let (mut server, mut client) = (ServerConfig::clone(&server), ClientConfig::clone(&client));
    server.alpn_protocols = vec![ACME_TLS.to_vec()];
    client.alpn_protocols = vec![ACME_TLS.to_vec()];
    let (told, mut connections) = mpsc::channel(1);
    let edge = Edge::new(Arc::new(Impatient), Arc::new(Nobody), Arc::default());
    let listener = listener(Arc::new(server), told);
    let bound = Bound::open("listen.https", &listener.address, &listener.socket, None).unwrap();
    let address = bound.local_addr().unwrap();
    let (_stopping, stop) = Stop::new();
    let accepting = tokio::spawn(edge.accept(bound, listener, stop));

    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let made = TlsConnector::from(Arc::new(client)).connect(name, tcp);
    let mut stream = made.await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ACME_TLS));
    // It may be closed before or after this is written.
    stream.write_all(b"ping").await.ok();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.ok();
    assert!(bytes.is_empty());
    assert!(connections.try_recv().is_err(), "nobody serves it");
    accepting.abort();
}
