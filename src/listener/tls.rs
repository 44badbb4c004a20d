//! TLS: who gives the configuration for a connection, the handshake, and what it settled.

use super::Socket;
use pingora_core::protocols::{Digest, tls::SslDigest};
use rustls::{ServerConfig, server::ClientHello};
use rustls_pki_types::CertificateDer;
use std::{io, sync::Arc};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// A fatal alert `unrecognized_name` (RFC 6066 §3), in a record of its own as nothing is encrypted yet.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Chooses the configuration for a handshake: certificate, versions, whether a client has to show a certificate.
pub trait Tls: Send + Sync + 'static {
    /// The configuration for this client; `None` refuses the handshake with the alert `unrecognized_name`. It is called
    /// once for each connection and must not wait.
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>>;
}

/// What a handshake settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFacts {
    /// The name that the client asked for (SNI), in lower case.
    pub server_name: Option<Box<str>>,
    /// `TLSv1.2` or `TLSv1.3`, as OpenSSL writes them.
    pub version: &'static str,
    /// The cipher suite, e.g. `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The protocol agreed on (ALPN), e.g. `h2`.
    pub alpn: Option<Box<[u8]>>,
    /// The client's certificate and what it sent along, verified by the configuration; empty when none was asked for.
    pub client_certificates: Vec<CertificateDer<'static>>,
}

impl TlsFacts {
    /// What the handshake of a request's connection settled; `None` for a plain connection.
    pub fn of(digest: &Digest) -> Option<&Arc<Self>> {
        // Pingora lets nobody but itself fill the place that it has for such things beside the TLS version.
        digest
            .proxy_digest
            .as_ref()?
            .user_data
            .as_ref()?
            .downcast_ref()
    }

    /// The same in Pingora's terms, as far as it has them.
    pub(super) fn digest(&self) -> SslDigest {
        SslDigest::new(self.cipher, self.version, None, None, Vec::new())
    }
}

/// Why there was no handshake.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// No certificate for the name.
    #[error("no certificate for {}", .0.as_deref().unwrap_or("a client without a server name"))]
    Refused(Option<Box<str>>),
    /// The client broke off, or speaks no TLS that is allowed.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

/// Makes the handshake. The caller bounds its time.
pub(super) async fn handshake(
    tls: &dyn Tls,
    socket: Socket,
) -> Result<(TlsStream<Socket>, TlsFacts), HandshakeError> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket).await?;
    let (server_name, config) = {
        let hello = start.client_hello();
        let name = hello.server_name().map(|n| n.to_ascii_lowercase().into());
        (name, tls.config(&hello))
    };
    let Some(config) = config else {
        let mut socket = start.io;
        socket.write_all(&UNRECOGNIZED_NAME).await?;
        socket.shutdown().await?;
        return Err(HandshakeError::Refused(server_name));
    };
    let stream = start.into_stream(config).await?;
    let facts = settled(&stream, server_name);
    Ok((stream, facts))
}

fn settled(stream: &TlsStream<Socket>, server_name: Option<Box<str>>) -> TlsFacts {
    let session = stream.get_ref().1;
    let cipher = session.negotiated_cipher_suite();
    TlsFacts {
        server_name,
        version: match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        },
        cipher: cipher.and_then(|c| c.suite().as_str()).unwrap_or_default(),
        alpn: session.alpn_protocol().map(Into::into),
        client_certificates: session
            .peer_certificates()
            .map(|chain| chain.iter().map(|c| c.clone().into_owned()).collect())
            .unwrap_or_default(),
    }
}
