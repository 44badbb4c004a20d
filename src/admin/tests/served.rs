//! The listener.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::*;
use crate::listener::endpoint;

#[tokio::test]
async fn it_serves_until_told_to_stop_and_knows_who_calls() {
    let api = Api::over(Memory::default().group("/apisix"), |options| {
        options.allow = crossway_sdk::expr::IpSet::parse(["127.0.0.0/24"]).unwrap();
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let router = api.router.clone();
    let served = tokio::spawn(endpoint::serve(listener, router, async {
        drop(stopped.await);
    }));
    let mut client = TcpStream::connect(address).await.unwrap();
    let body = route().to_string();
    let head = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nHost: x\r\nX-API-KEY: {KEY}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 201");

    stop.send(()).unwrap();
    // An idle connection does not keep it.
    served.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
