#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, refused, request};
use crossway_sdk::definition::Instance;
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that tells what it was asked: the request line with its header lines, and the body.
fn mirror() -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok();
            let answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).ok();
            if sender
                .send((head, String::from_utf8_lossy(&body).into_owned()))
                .is_err()
            {
                return;
            }
        }
    });
    (address, receiver)
}

/// Has a request go through the plugin, with its body in these pieces.
async fn through(plugin: &dyn Instance, head: &str, pieces: &[&'static [u8]]) {
    let mut scene = request(head).await;
    assert!(matches!(scene.rewrite(plugin).await, Ok(Flow::Next)));
    let mut upstream = scene.session.req_header().clone();
    plugin
        .before_proxy(&mut scene.exchange(), &mut upstream)
        .unwrap();
    for piece in pieces {
        let mut chunk = Some(Bytes::from_static(piece));
        plugin
            .request_body(&mut scene.exchange(), &mut chunk, false)
            .unwrap();
    }
    plugin
        .request_body(&mut scene.exchange(), &mut None, true)
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_method_target_headers_and_body() {
    let (host, seen) = mirror();
    let plugin = built::<ProxyMirror>(json!({"host": host}));
    let head = "POST /a%20b?c=1 HTTP/1.1\nHost: a.test\nX-Own: 1\nConnection: keep-alive\nTransfer-Encoding: chunked";
    through(&*plugin, head, &[b"one", b"two"]).await;
    let (head, body) = seen.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /a%20b?c=1 HTTP/1.1\r\n"), "{head}");
    let lower = head.to_ascii_lowercase();
    assert!(
        lower.contains("x-own: 1\r\n") && lower.contains("host: a.test\r\n"),
        "{head}"
    );
    assert!(
        !lower.contains("transfer-encoding") && !lower.contains("connection: keep-alive"),
        "{head}"
    );
    assert_eq!(body, "onetwo");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_is_replaced_or_goes_before() {
    let (host, seen) = mirror();
    for (more, expected) in [
        (json!({"path": "/m"}), "GET /m?c=1 HTTP/1.1"),
        (
            json!({"path": "/m", "path_concat_mode": "prefix"}),
            "GET /m/a?c=1 HTTP/1.1",
        ),
    ] {
        let mut config = json!({"host": host});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        through(
            &*built::<ProxyMirror>(config),
            "GET /a?c=1 HTTP/1.1\nHost: a.test",
            &[],
        )
        .await;
        let (head, _) = seen.recv_timeout(PATIENCE).unwrap();
        assert!(head.starts_with(expected), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_upgrades_is_not_copied() {
    static LARGE: [u8; LARGEST_BODY] = [b'x'; LARGEST_BODY];
    let (host, seen) = mirror();
    let plugin = built::<ProxyMirror>(json!({"host": host}));
    through(
        &*plugin,
        "POST /large HTTP/1.1\nHost: a\nContent-Length: 1",
        &[&LARGE, b"x"],
    )
    .await;
    let upgrade = "GET /up HTTP/1.1\nHost: a\nConnection: upgrade\nUpgrade: websocket";
    through(&*plugin, upgrade, &[]).await;
    through(&*plugin, "GET /last HTTP/1.1\nHost: a", &[]).await;
    let (head, _) = seen.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("GET /last "), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_mirror_harms_nobody() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let plugin = built::<ProxyMirror>(json!({"host": format!("http://{free}")}));
    for _ in 0..10 {
        through(&*plugin, "GET /a HTTP/1.1\nHost: a.test", &[]).await;
    }
}

/// Requests do not wait for their copies, whatever becomes of these.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_silent_or_talks_nonsense_harms_nobody() {
    for nonsense in [None, Some(&b"\xff\0 nonsense\r\n\r\n"[..])] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                if let Some(nonsense) = nonsense {
                    stream.write_all(nonsense).ok();
                }
                held.push(stream);
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        let plugin = built::<ProxyMirror>(json!({"host": format!("http://{address}")}));
        let began = std::time::Instant::now();
        for _ in 0..10 {
            through(&*plugin, "GET /a HTTP/1.1\nHost: a.test", &[]).await;
        }
        assert!(began.elapsed() < PATIENCE);
        asked.recv_timeout(PATIENCE).unwrap();
    }
}

#[test]
fn times_are_read_as_nginx_reads_them() {
    let of = |timeout: Value| config::timeout(Some(&json!({"timeout": timeout})));
    assert_eq!(config::timeout(None), Ok(Duration::from_secs(60)));
    assert_eq!(
        of(json!({"connect": "500ms", "read": "2s"})),
        Ok(Duration::from_secs(2))
    );
    assert_eq!(of(json!({"read": "1m"})), Ok(Duration::from_secs(60)));
    assert!(of(json!({"read": "soon"})).is_err());
    assert!(of(json!({"write": "1s"})).is_err());
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (json!({}), "property \"host\" is required"),
        (json!({"host": "a.test"}), "/host"),
        (json!({"host": "http://a.test/path"}), "/host"),
        (json!({"host": "ftp://a.test"}), "/host"),
        (
            json!({"host": "grpc://a.test"}),
            "requests of gRPC are not mirrored: expected http:// or https:// (at /host)",
        ),
        (json!({"host": "http://a.test", "path": "m"}), "/path"),
        (json!({"host": "http://a.test", "path": "/m?a=1"}), "/path"),
        (
            json!({"host": "http://a.test", "path": "/m n"}),
            "(at /path)",
        ),
        (
            json!({"host": "http://a.test", "sample_ratio": 0}),
            "/sample_ratio",
        ),
        (
            json!({"host": "http://a.test", "sample_ratio": 2}),
            "/sample_ratio",
        ),
        (
            json!({"host": "http://a.test", "path_concat_mode": "append"}),
            "/path_concat_mode",
        ),
    ] {
        let said = refused::<ProxyMirror>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
