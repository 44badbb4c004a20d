//! TLS by server name: which certificate a client gets, in which version, and how soon a change is live.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ProtocolVersion, SignatureScheme};
use serde_json::{Value, json};

use crate::support::{
    Authority, Connection, Gateway, Http2, Interface, Leaf, PATIENCE, Request, Upstream, eventually,
};

/// A gateway that listens over TLS and sends everything to an upstream that echoes.
async fn gateway(settings: &str) -> (Gateway, Upstream) {
    let builder = Gateway::builder().with_https().with_settings(settings);
    let gateway = builder.start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

/// An `ssls` document.
fn ssl(names: &[&str], leaf: &Leaf) -> Value {
    json!({ "snis": names, "cert": leaf.certificate_pem, "key": leaf.key_pem })
}

fn get(host: &str) -> Request {
    let nowhere = ([127, 0, 0, 1], 1).into();
    Request::new(nowhere, "GET", "/").host(host)
}

/// Connects, and asks for `/` on that connection.
async fn ask(gateway: &Gateway, name: &str, client: &ClientConfig) -> io::Result<Connection> {
    let mut connection = gateway.connect_tls(name, client.clone()).await?;
    let answer = connection.send(&get(name)).await?;
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    Ok(connection)
}

async fn certificate(gateway: &Gateway, name: &str, client: &ClientConfig) -> Vec<u8> {
    let connection = ask(gateway, name, client).await.expect("an answer");
    connection.handshake.expect("a handshake").certificate
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_certificate_of_the_name_that_it_asks_for() {
    let (gateway, _upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let exact = authority.issue(&["x.a.test"]);
    let wild = authority.issue(&["*.a.test"]);
    let other = authority.issue(&["b.test", "c.test"]);
    let off = authority.issue(&["off.test"]);
    let mut disabled = ssl(&["off.test"], &off);
    disabled["status"] = json!(0);
    gateway
        .put_all([
            ("/ssls/wild", ssl(&["*.a.test"], &wild)),
            ("/ssls/exact", ssl(&["X.a.test"], &exact)),
            ("/ssls/other", ssl(&["b.test", "c.test"], &other)),
            ("/ssls/off", disabled),
        ])
        .await;
    let client = authority.client();
    for (name, leaf) in [
        ("x.a.test", &exact),
        ("y.a.test", &wild),
        ("b.test", &other),
        ("c.test", &other),
    ] {
        let got = certificate(&gateway, name, &client).await;
        assert_eq!(got, *leaf.chain[0], "{name}");
    }
    for name in ["a.test", "z.y.a.test", "d.test", "off.test", "127.0.0.1"] {
        let refused = gateway.connect_tls(name, client.clone()).await;
        assert!(refused.is_err(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_serves_clients_that_name_nobody_and_no_others() {
    let (gateway, _upstream) = gateway("tls: {fallback_sni: A.test}").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test", "127.0.0.1"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &leaf)).await;
    let client = authority.client();
    // An address is never sent as a name.
    assert!(ask(&gateway, "127.0.0.1", &client).await.is_ok());
    assert!(gateway.connect_tls("b.test", client).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_tls_are_https_for_upstreams_and_variables() {
    let (gateway, upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    let header = "$scheme $https $ssl_protocol $ssl_server_name $ssl_cipher $ssl_client_verify";
    let route = json!({
        "uri": "/*", "upstream": upstream.document(),
        "plugins": { "proxy-rewrite": { "headers": { "set": { "X-Tls": header } } } },
    });
    gateway
        .put_all([("/ssls/1", ssl(&["a.test"], &leaf)), ("/routes/1", route)])
        .await;
    let mut connection = gateway
        .connect_tls("a.test", authority.client())
        .await
        .unwrap();
    let answer = connection.send(&get("a.test")).await.unwrap();
    let port = gateway.addr(Interface::Https).port().to_string();
    assert_eq!(answer.echoed_header("X-Forwarded-Proto").unwrap(), "https");
    assert_eq!(answer.echoed_header("X-Forwarded-Port").unwrap(), port);
    let said = answer.echoed_header("X-Tls").unwrap();
    assert!(said.starts_with("https on TLSv1.3 a.test TLS_"), "{said}");
    assert!(said.ends_with(" NONE"), "{said}");
    let plain = gateway.get("/").await.echoed_header("X-Tls").unwrap();
    assert_eq!(plain.trim(), "http");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_the_algorithm_that_it_can_verify() {
    let (gateway, _upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let (rsa, ecdsa) = (
        authority.issue_rsa(&["a.test"]),
        authority.issue(&["a.test"]),
    );
    let mut both = ssl(&["a.test"], &rsa);
    both["certs"] = json!([ecdsa.certificate_pem]);
    both["keys"] = json!([ecdsa.key_pem]);
    gateway.put("/ssls/1", both).await;
    use SignatureScheme as S;
    for (schemes, leaf) in [
        (vec![S::RSA_PSS_SHA256, S::RSA_PKCS1_SHA256], &rsa),
        (vec![S::ECDSA_NISTP256_SHA256], &ecdsa),
    ] {
        let (client, seen) = noting(authority.client(), Some(schemes.clone()));
        ask(&gateway, "a.test", &client).await.unwrap();
        assert_eq!(seen.certificate(), *leaf.chain[0], "{schemes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_name_has_its_versions() {
    let (gateway, _upstream) = gateway("tls: {protocols: [TLSv1.3]}").await;
    let authority = Authority::new("servers");
    let mut old = ssl(&["old.test"], &authority.issue(&["old.test"]));
    old["ssl_protocols"] = json!(["TLSv1.2"]);
    let new = ssl(&["new.test"], &authority.issue(&["new.test"]));
    gateway
        .put_all([("/ssls/old", old), ("/ssls/new", new)])
        .await;
    let client = authority.client();
    for (name, version) in [
        ("old.test", ProtocolVersion::TLSv1_2),
        ("new.test", ProtocolVersion::TLSv1_3),
    ] {
        let connection = ask(&gateway, name, &client).await.unwrap();
        assert_eq!(
            connection.handshake.unwrap().version,
            Some(version),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_live_for_new_connections_and_drops_none() {
    let (gateway, _upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let client = authority.client();
    let first = authority.issue(&["a.test"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &first)).await;
    let mut open = ask(&gateway, "a.test", &client).await.unwrap();
    let mut open2 = Http2::open(gateway.addr(Interface::Https), "a.test", client.clone())
        .await
        .unwrap();
    assert_eq!(open2.get("a.test", "/").await.unwrap().0, 200);
    for _ in 0..3 {
        let next = authority.issue(&["a.test"]);
        gateway.put("/ssls/1", ssl(&["a.test"], &next)).await;
        // A client without sessions, so that every handshake is a whole one.
        let got = certificate(&gateway, "a.test", &authority.client()).await;
        assert_eq!(got, *next.chain[0]);
        assert_eq!(open.send(&get("a.test")).await.unwrap().status, 200);
        assert_eq!(open2.get("a.test", "/").await.unwrap().0, 200);
    }
    gateway.patch("/ssls/1", json!({ "status": 0 })).await;
    assert!(
        gateway
            .connect_tls("a.test", authority.client())
            .await
            .is_err()
    );
    gateway.patch("/ssls/1", json!({ "status": 1 })).await;
    assert!(ask(&gateway, "a.test", &authority.client()).await.is_ok());
    gateway.remove("/ssls/1").await;
    assert!(
        gateway
            .connect_tls("a.test", authority.client())
            .await
            .is_err()
    );
    assert_eq!(open.send(&get("a.test")).await.unwrap().status, 200);
    assert_eq!(open2.get("a.test", "/").await.unwrap().0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_may_hold_the_certificates() {
    let authority = Authority::new("servers");
    let upstream = Upstream::start().await;
    // JSON is YAML.
    let file = |leaf: &Leaf| {
        let mut item = ssl(&["a.test"], leaf);
        item["id"] = json!("1");
        let route = json!({ "id": "1", "uri": "/*", "upstream": upstream.document() });
        format!("{}\n#END\n", json!({ "routes": [route], "ssls": [item] }))
    };
    let first = authority.issue(&["a.test"]);
    let builder = Gateway::builder().with_https().with_file(&file(&first));
    let gateway = builder.start().await;
    let client = || authority.client();
    assert_eq!(
        certificate(&gateway, "a.test", &client()).await,
        *first.chain[0]
    );
    let next = authority.issue(&["a.test"]);
    gateway.write_file(&file(&next));
    eventually("the next certificate is live", PATIENCE, async || {
        certificate(&gateway, "a.test", &client()).await == *next.chain[0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_resumed() {
    for tickets in [true, false] {
        let (gateway, _upstream) = gateway(&format!("tls: {{session_tickets: {tickets}}}")).await;
        let authority = Authority::new("servers");
        for (id, version) in [("2", "TLSv1.2"), ("3", "TLSv1.3")] {
            let name = format!("v{id}.test");
            let mut document = ssl(&[&name], &authority.issue(&[&name]));
            document["ssl_protocols"] = json!([version]);
            gateway.put(&format!("/ssls/{id}"), document).await;
            let client = Arc::new(authority.client());
            let mut resumed = Vec::new();
            for _ in 0..2 {
                let mut connection = gateway.connect_tls(&name, client.clone()).await.unwrap();
                // TLS 1.3 hands out tickets after the handshake.
                assert_eq!(connection.send(&get(&name)).await.unwrap().status, 200);
                resumed.push(connection.handshake.unwrap().resumed);
            }
            assert_eq!(resumed, [false, true], "tickets: {tickets}, {version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken_with_clients_that_offer_it() {
    let (gateway, upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &leaf)).await;
    let to = gateway.addr(Interface::Https);
    let mut http2 = Http2::open(to, "a.test", authority.client()).await.unwrap();
    for target in ["/one", "/two"] {
        let (status, _) = http2.get("a.test", target).await.unwrap();
        assert_eq!(
            (status, upstream.last_request().target),
            (200, target.to_owned())
        );
    }
    for (offer, agreed) in [
        (vec!["h2", "http/1.1"], Some("h2")),
        (vec!["http/1.1"], Some("http/1.1")),
        (vec![], None),
    ] {
        let mut client = authority.client();
        client.alpn_protocols = offer.iter().map(|p| p.as_bytes().to_vec()).collect();
        let connection = gateway.connect_tls("a.test", client).await.unwrap();
        let alpn = connection.handshake.unwrap().alpn;
        assert_eq!(alpn.as_deref(), agreed.map(str::as_bytes), "{offer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ocsp_response_is_stapled_as_soon_as_its_file_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display();
    let (gateway, _upstream) = gateway(&format!(
        "tls: {{ocsp_dir: \"{directory}\", ocsp_reload: 1}}"
    ))
    .await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &leaf)).await;
    let stapled = async || {
        let (client, seen) = noting(authority.client(), None);
        ask(&gateway, "a.test", &client).await.unwrap();
        seen.staple()
    };
    assert_eq!(stapled().await, b"");
    let response = ocsp_response(&leaf);
    std::fs::write(folder.path().join("a.ocsp"), &response).unwrap();
    eventually("the response is stapled", PATIENCE, async || {
        stapled().await == response
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_sent_to_the_port_of_https() {
    let (gateway, _upstream) = gateway("").await;
    let route = json!({ "uri": "/r", "plugins": { "redirect": { "http_to_https": true } } });
    gateway.put("/routes/2", route).await;
    let answer = gateway.get("/r").host("a.test").await.expect_status(301);
    let port = gateway.addr(Interface::Https).port();
    let expected = format!("https://a.test:{port}/r");
    assert_eq!(answer.header("Location"), Some(expected.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_no_tls_or_never_finishes_disturbs_nobody() {
    let (gateway, _upstream) = gateway("").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &leaf)).await;
    let mut silent = Vec::new();
    for begin in [
        &b""[..],
        &[22, 3, 1, 2, 0, 1],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut connection = Connection::open(gateway.addr(Interface::Https))
            .await
            .unwrap();
        connection.write(begin).await.unwrap();
        silent.push(connection);
    }
    let mut plain = silent.pop().unwrap();
    assert!(plain.closes_within(Duration::from_secs(10)).await);
    assert!(ask(&gateway, "a.test", &authority.client()).await.is_ok());
}

/// Trusts everybody, and notes what it is shown.
#[derive(Debug, Default)]
struct Noting {
    schemes: Option<Vec<SignatureScheme>>,
    seen: Mutex<(Vec<u8>, Vec<u8>)>,
}

impl Noting {
    fn certificate(&self) -> Vec<u8> {
        self.seen.lock().unwrap().0.clone()
    }

    fn staple(&self) -> Vec<u8> {
        self.seen.lock().unwrap().1.clone()
    }
}

fn noting(
    mut client: ClientConfig,
    schemes: Option<Vec<SignatureScheme>>,
) -> (ClientConfig, Arc<Noting>) {
    let noting = Arc::new(Noting {
        schemes,
        ..Noting::default()
    });
    client.dangerous().set_certificate_verifier(noting.clone());
    (client, noting)
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.seen.lock().unwrap() = (own.to_vec(), ocsp.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let every = || {
            rustls::crypto::ring::default_provider()
                .signature_verification_algorithms
                .supported_schemes()
        };
        self.schemes.clone().unwrap_or_else(every)
    }
}

/// An OCSP response (RFC 6960) that says that a certificate is good until 2099. Nobody signed it: a server staples what
/// it is given.
fn ocsp_response(leaf: &Leaf) -> Vec<u8> {
    let (_, own) = x509_parser::parse_x509_certificate(&leaf.chain[0]).unwrap();
    let name = ring::digest::digest(&ring::digest::SHA256, own.issuer().as_raw());
    let sha256 = der(0x30, &der(6, &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]));
    let now = der(0x18, b"20260101000000Z");
    let id = [
        sha256.clone(),
        der(4, name.as_ref()),
        der(4, &[7; 32]),
        der(2, own.raw_serial()),
    ];
    let single = [
        der(0x30, &id.concat()),
        der(0x80, &[]),
        now.clone(),
        der(0xa0, &der(0x18, b"20990101000000Z")),
    ];
    let data = [
        der(0xa2, &der(4, &[9; 20])),
        now,
        der(0x30, &der(0x30, &single.concat())),
    ];
    let basic = [der(0x30, &data.concat()), sha256, der(3, &[0; 65])];
    let bytes = [
        der(6, &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]),
        der(4, &der(0x30, &basic.concat())),
    ];
    let whole = [der(10, &[0]), der(0xa0, &der(0x30, &bytes.concat()))];
    der(0x30, &whole.concat())
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[tag, 0x82, length[0], length[1]], content].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preface_of_http_2_over_a_handshake_that_did_not_agree_on_it_is_refused_at_once() {
    let (gateway, _upstream) = gateway("listen: {h2c: true}\n").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test"]);
    gateway.put("/ssls/1", ssl(&["a.test"], &leaf)).await;
    let mut connection = gateway
        .connect_tls("a.test", authority.client())
        .await
        .unwrap();
    // What follows it would be kept for as long as a head may take.
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.resize(256 * 1024, b'x');
    connection.write(&bytes).await.ok();
    let answer = connection
        .read_until_quiet(std::time::Duration::from_secs(1))
        .await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
