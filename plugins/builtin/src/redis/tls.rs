//! TLS with a server whose certificate has another name than the one under which it is reached. The client of Redis knows one
//! name alone, so it gets a stream that is encrypted already.

use super::Address;
use crossway_sdk::tls::TlsOptions;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisResult, aio::MultiplexedConnection};
use rustls::pki_types::ServerName;
use std::{io, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A stream to a server that proves to have this name.
pub(super) async fn connect(
    address: &Address,
    name: &str,
    verify: bool,
) -> io::Result<TlsStream<TcpStream>> {
    let options = TlsOptions {
        verify,
        ..TlsOptions::default()
    };
    // Authorities of the system are read from the disk.
    let config = tokio::task::spawn_blocking(move || options.client_config())
        .await
        .map_err(io::Error::other)?
        .map_err(io::Error::other)?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(config));
    connector.connect(name, stream).await
}

/// A connection of the client over such a stream.
pub(super) async fn over(
    stream: TlsStream<TcpStream>,
    login: &RedisConnectionInfo,
    timeouts: AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let (connection, driver) =
        MultiplexedConnection::new_with_config(login, stream, timeouts).await?;
    // It ends with the last clone of the connection.
    tokio::spawn(driver);
    Ok(connection)
}
