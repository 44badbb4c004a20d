#![allow(clippy::unwrap_used)]

use super::{CallError, Client, ClientOptions, Proxies, Proxy, target};
use crate::{build::BuildCx, testing::Bench, tls::TlsOptions};
use bytes::Bytes;
use http::Request;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const SOON: Duration = Duration::from_secs(10);

/// Answers each request of a connection with these bytes, and counts connections.
async fn server(answer: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, connections)
}

fn get(address: SocketAddr, path: &str) -> Request<Bytes> {
    let uri = format!("http://{address}{path}");
    Request::get(uri).body(Bytes::new()).unwrap()
}

#[tokio::test]
async fn connections_are_kept_and_redirects_are_answers() {
    let (address, connections) = server(
        b"HTTP/1.1 302 Found\r\nLocation: /b\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nhi",
    )
    .await;
    let client = Client::new(ClientOptions::default());
    for _ in 0..3 {
        let answer = client.send(get(address, "/a"), SOON, 10).await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &**answer.body()),
            (302, &b"hi"[..])
        );
        assert_eq!(answer.headers()["location"], "/b");
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    let once = Client::new(ClientOptions {
        idle_per_host: 0,
        ..ClientOptions::default()
    });
    for _ in 0..2 {
        once.send(get(address, "/a"), SOON, 10).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_given_up_whether_or_not_it_says_so() {
    let client = Client::new(ClientOptions::default());
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n",
    ] {
        let (address, _) = server(answer).await;
        let error = client.send(get(address, "/"), SOON, 10).await.unwrap_err();
        assert_eq!(error, CallError::TooLarge(10));
    }
}

#[tokio::test]
async fn silence_nonsense_and_absence_end_in_errors_that_tell_nothing_secret() {
    let client = Client::new(ClientOptions::default());
    let (silent, _) = server(b"").await;
    let began = Instant::now();
    let short = Duration::from_millis(50);
    let error = client
        .send(get(silent, "/?key=secret"), short, 10)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "no answer within 50 ms");
    assert!(began.elapsed() < SOON);
    let (nonsense, _) = server(b"SSH-2.0-x\r\n\r\n").await;
    let error = client
        .send(get(nonsense, "/?key=secret"), SOON, 10)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Protocol(_)), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let error = client
        .send(get(free, "/?key=secret"), SOON, 10)
        .await
        .unwrap_err();
    assert!(matches!(error, CallError::Connect(_)), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let nowhere = Request::get("/only/a/path").body(Bytes::new()).unwrap();
    assert!(client.send(nowhere, SOON, 10).await.is_err());
}

#[tokio::test]
async fn certificates_are_verified_unless_told_not_to() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut buffer = [0; 4096];
                drop(stream.read(&mut buffer).await);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                drop(stream.write_all(answer).await);
            });
        }
    });
    let request = || {
        let uri = format!("https://localhost:{port}/");
        Request::get(uri).body(Bytes::new()).unwrap()
    };
    let strict = Client::new(ClientOptions::default());
    let error = strict.send(request(), SOON, 10).await.unwrap_err();
    assert!(matches!(error, CallError::Connect(_)), "{error}");
    assert!(error.to_string().contains("certificate"), "{error}");
    let lax = Client::new(ClientOptions::verifying(false));
    assert!(lax.send(request(), SOON, 10).await.is_ok());
    let told = Client::new(ClientOptions {
        tls: TlsOptions {
            ca: Some(made.cert.pem().into()),
            ..TlsOptions::default()
        },
        ..ClientOptions::default()
    });
    assert!(told.send(request(), SOON, 10).await.is_ok());
}

#[test]
fn equal_options_share_a_client_and_wrong_certificates_are_refused() {
    let bench = Bench::default();
    let cx = BuildCx::new("routes/1", "p", None, None, &bench);
    let shared = |options| Client::shared(&cx, "/ca", options);
    let one = shared(ClientOptions::default()).unwrap();
    let same = shared(ClientOptions::default()).unwrap();
    let other = shared(ClientOptions::verifying(false)).unwrap();
    assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    let mut wrong = ClientOptions::default();
    wrong.tls.ca = Some("no certificate".into());
    let error = shared(wrong).unwrap_err();
    assert_eq!(error.path, "/ca");
    assert!(error.message.contains("in PEM"), "{error}");
}

#[test]
fn a_target_has_a_scheme_and_a_host() {
    assert!(target("/uri", "https://a.example:8443/b?c").is_ok());
    for wrong in [
        "",
        "a.example",
        "/a",
        "ftp://a.example",
        "http://",
        "http://a b",
    ] {
        let error = target("/uri", wrong).unwrap_err();
        assert_eq!(error.path, "/uri", "{wrong}");
    }
}

#[tokio::test]
async fn a_proxy_finds_what_names_do_not_and_its_secrets_are_not_shown() {
    let (proxy, connections) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let options = |except: Option<&str>| ClientOptions {
        proxies: Proxies {
            http: Some(Proxy {
                address: format!("http://{proxy}").into(),
                authorization: Some("Basic hush".into()),
            }),
            except: except.map(Into::into),
            ..Proxies::default()
        },
        ..ClientOptions::default()
    };
    let request = || {
        Request::get("http://nowhere.invalid/")
            .body(Bytes::new())
            .unwrap()
    };
    let through = Client::new(options(None));
    assert!(through.send(request(), SOON, 10).await.is_ok());
    let around = Client::new(options(Some("invalid")));
    assert!(around.send(request(), SOON, 10).await.is_err());
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    assert!(!format!("{:?}", options(None)).contains("hush"));

    for (address, authorization) in [
        ("socks5://a:1", None),
        ("a:1", None),
        ("http://a:1", Some("a\nb")),
    ] {
        let proxies = Proxies {
            https: Some(Proxy {
                address: address.into(),
                authorization: authorization.map(Into::into),
            }),
            ..Proxies::default()
        };
        assert_eq!(proxies.check("/p").unwrap_err().path, "/p", "{address}");
    }
}
