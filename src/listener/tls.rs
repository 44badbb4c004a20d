//! TLS: who gives the configuration for a connection, the handshake, and what it settled.

use super::Socket;
pub use crossway_sdk::handshake::TlsFacts;
use rustls::{ServerConfig, server::ClientHello};
use std::{io, sync::Arc};
use tokio::io::AsyncWriteExt;
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

/// A fatal alert `unrecognized_name` (RFC 6066 §3), in a record of its own as nothing is encrypted yet.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The protocol in which a certificate authority asks for a proof in a handshake (RFC 8737 §6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Chooses the configuration for a handshake: certificate, versions, whether a client has to show a certificate.
pub trait Tls: Send + Sync + 'static {
    /// The configuration for this client; `None` refuses the handshake with the alert `unrecognized_name`. It is called
    /// once for each connection and must not wait.
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>>;
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
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        judgement: Default::default(),
    }
}
