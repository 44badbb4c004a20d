//! Handshakes in memory, as a listener would make them.

use super::{ocsp::tests::response, *};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ProtocolVersion,
    ServerConnection, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::ring,
    server::Acceptor,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex};

/// An RSA key, since `ring` makes none.
const RSA_KEY: &str = include_str!("testdata/test-only-rsa.key");

struct Authority(CertifiedIssuer<'static, KeyPair>);

struct Identity {
    pem: String,
    key: String,
    chain: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(ca_params(name), key).unwrap())
    }

    fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(ca_params(name), key, &self.0).unwrap())
    }

    fn issues(&self, name: &str) -> Identity {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        self.issues_with(name, key)
    }

    fn issues_with(&self, name: &str, key: KeyPair) -> Identity {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let issuer: &Issuer<'static, KeyPair> = &self.0;
        let cert = params.signed_by(&key, issuer).unwrap();
        Identity {
            pem: cert.pem(),
            key: key.serialize_pem(),
            chain: vec![cert.der().clone()],
            key_der: key.serialize_der(),
        }
    }

    fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }
}

impl Identity {
    fn with(mut self, intermediates: &[&Authority]) -> Self {
        self.chain.extend(intermediates.iter().map(|a| a.der()));
        self
    }
}

struct Bench {
    environment: Environment,
    certificates: Certificates,
    authority: Authority,
}

impl Bench {
    fn new(options: Options) -> Self {
        Self::stapling(options, Staples::none())
    }

    fn stapling(options: Options, staples: Arc<Staples>) -> Self {
        let environment = Environment::new(options, staples).unwrap();
        Self {
            certificates: Certificates::new(&environment),
            environment,
            authority: Authority::new("servers"),
        }
    }

    fn serve(&mut self, id: &str, names: &[&str], change: impl FnOnce(&mut Spec)) {
        let own = self.authority.issues(&names[0].replace('*', "wild"));
        let mut spec = Spec {
            pairs: vec![Pair::from_pem(&own.pem, &own.key).unwrap()],
            client: None,
            protocols: Vec::new(),
        };
        change(&mut spec);
        let previous = self.certificates.get(id).cloned();
        let site = Site::new(spec, previous.as_deref(), &self.environment).unwrap();
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        self.certificates
            .insert(&Arc::from(id), &names, Arc::new(site));
    }

    fn client(&self) -> ClientConfig {
        self.client_of(None)
    }

    fn client_of(&self, identity: Option<&Identity>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Noting::default()));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.key_der.clone()));
                builder
                    .with_client_auth_cert(own.chain.clone(), key)
                    .unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    /// A handshake; the server's side of it, or what went wrong.
    fn shake(&self, client: &ClientConfig, name: &str) -> Result<ServerConnection, String> {
        self.shake_with(&Arc::new(client.clone()), name)
    }

    fn shake_with(
        &self,
        client: &Arc<ClientConfig>,
        name: &str,
    ) -> Result<ServerConnection, String> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(client.clone(), name).unwrap();
        let mut acceptor = Acceptor::default();
        let mut flight = Vec::new();
        client.write_tls(&mut flight).unwrap();
        acceptor.read_tls(&mut flight.as_slice()).unwrap();
        let accepted = acceptor.accept().map_err(|(e, _)| e.to_string())?.unwrap();
        let hello = accepted.client_hello();
        let site = self.certificates.for_client(hello.server_name());
        let config = site.ok_or("nobody has this name")?.config().clone();
        let mut server = accepted
            .into_connection(config)
            .map_err(|(e, _)| e.to_string())?;
        for _ in 0..8 {
            let mut down = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut down).unwrap();
            }
            let mut down = down.as_slice();
            while !down.is_empty() {
                client.read_tls(&mut down).unwrap();
                client.process_new_packets().map_err(|e| e.to_string())?;
            }
            let mut up = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut up).unwrap();
            }
            let mut up = up.as_slice();
            while !up.is_empty() {
                server.read_tls(&mut up).unwrap();
                server.process_new_packets().map_err(|e| e.to_string())?;
            }
        }
        assert!(!server.is_handshaking() && !client.is_handshaking());
        Ok(server)
    }
}

/// Trusts everybody, and notes what it was shown.
#[derive(Debug, Default)]
struct Noting {
    seen: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
    schemes: Option<Vec<SignatureScheme>>,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap();
        seen.push((own.to_vec(), ocsp.to_vec()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let all = || {
            let provider = ring::default_provider();
            provider
                .signature_verification_algorithms
                .supported_schemes()
        };
        self.schemes.clone().unwrap_or_else(all)
    }
}

fn noting(client: &mut ClientConfig, schemes: Option<Vec<SignatureScheme>>) -> Arc<Noting> {
    let noting = Arc::new(Noting {
        schemes,
        ..Noting::default()
    });
    client.dangerous().set_certificate_verifier(noting.clone());
    noting
}

fn demanding(ca: &Authority, depth: u32, skip: &[&str]) -> Option<ClientSpec> {
    Some(ClientSpec {
        ca: ca.0.pem(),
        depth,
        skip: skip.iter().map(|s| (*s).to_owned()).collect(),
    })
}

#[test]
fn a_name_gets_its_certificate_and_an_unknown_one_none() {
    let mut bench = Bench::new(Options::default());
    bench.serve("1", &["a.test", "b.test"], |_| {});
    bench.serve("2", &["*.c.test"], |_| {});
    let client = bench.client();
    for name in ["a.test", "b.test", "x.c.test"] {
        let server = bench.shake(&client, name).unwrap();
        assert_eq!(server.alpn_protocol(), Some(&b"h2"[..]), "{name}");
    }
    for name in ["c.test", "y.x.c.test", "d.test"] {
        assert!(bench.shake(&client, name).is_err(), "{name}");
    }
    bench.certificates.remove("1");
    assert!(bench.shake(&client, "a.test").is_err());
    assert!(bench.shake(&client, "x.c.test").is_ok());
}

#[test]
fn the_fallback_is_for_clients_that_name_nobody() {
    let mut bench = Bench::new(Options {
        fallback_sni: Some("a.test".into()),
        ..Options::default()
    });
    bench.serve("1", &["a.test"], |_| {});
    let client = bench.client();
    // An address is never sent as a name (RFC 6066 §3).
    assert!(bench.shake(&client, "127.0.0.1").is_ok());
    assert!(bench.shake(&client, "unknown.test").is_err());
    assert!(
        Bench::new(Options::default())
            .shake(&client, "127.0.0.1")
            .is_err()
    );
}

#[test]
fn a_client_gets_the_certificate_that_it_can_verify() {
    let mut bench = Bench::new(Options::default());
    let key = KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).unwrap();
    let rsa = bench.authority.issues_with("a.test", key);
    let rsa_pair = Pair::from_pem(&rsa.pem, &rsa.key).unwrap();
    bench.serve("1", &["a.test"], |spec| spec.pairs.insert(0, rsa_pair));
    for (schemes, is_rsa) in [
        (vec![SignatureScheme::ECDSA_NISTP256_SHA256], false),
        (
            vec![
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::RSA_PKCS1_SHA256,
            ],
            true,
        ),
        (
            vec![
                SignatureScheme::RSA_PSS_SHA256,
                SignatureScheme::ECDSA_NISTP256_SHA256,
            ],
            false,
        ),
    ] {
        let mut client = bench.client();
        let seen = noting(&mut client, Some(schemes.clone()));
        bench.shake(&client, "a.test").unwrap();
        let seen = seen.seen.lock().unwrap();
        assert_eq!(seen[0].0 == *rsa.chain[0], is_rsa, "{schemes:?}");
    }
    let mut client = bench.client();
    noting(&mut client, Some(vec![SignatureScheme::ED25519]));
    assert!(bench.shake(&client, "a.test").is_err());
}

#[test]
fn versions_are_those_of_the_name_or_of_the_settings() {
    let mut bench = Bench::new(Options {
        protocols: vec![Version::Tls13],
        ..Options::default()
    });
    bench.serve("1", &["new.test"], |_| {});
    bench.serve("2", &["old.test"], |spec| {
        spec.protocols = vec![Version::Tls12]
    });
    let client = bench.client();
    let version = |name| bench.shake(&client, name).unwrap().protocol_version();
    assert_eq!(version("new.test"), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(version("old.test"), Some(ProtocolVersion::TLSv1_2));
}

#[test]
fn a_client_shows_a_certificate_of_the_authority_within_the_depth() {
    let mut bench = Bench::new(Options::default());
    let root = Authority::new("root");
    let middle = root.below("middle");
    let low = middle.below("low");
    bench.serve("0", &["zero.test"], |s| s.client = demanding(&root, 0, &[]));
    bench.serve("1", &["one.test"], |s| s.client = demanding(&root, 1, &[]));
    bench.serve("2", &["two.test"], |s| s.client = demanding(&root, 2, &[]));
    let direct = root.issues("direct");
    let by_middle = middle.issues("middle").with(&[&middle, &root]);
    let by_low = low.issues("low").with(&[&middle, &low]);
    let foreign = Authority::new("foreign").issues("foreign");
    for (identity, served) in [
        (Some(&direct), vec!["zero.test", "one.test", "two.test"]),
        (Some(&by_middle), vec!["one.test", "two.test"]),
        (Some(&by_low), vec!["two.test"]),
        (Some(&foreign), vec![]),
        (None, vec![]),
    ] {
        let client = bench.client_of(identity);
        for name in ["zero.test", "one.test", "two.test"] {
            let got = bench.shake(&client, name);
            assert_eq!(
                got.is_ok(),
                served.contains(&name),
                "{name} {:?}",
                got.err()
            );
        }
    }
    // Another authority by the same name signs nothing that counts.
    let pretender = Authority::new("root").issues("direct");
    let client = bench.client_of(Some(&pretender));
    assert!(bench.shake(&client, "one.test").is_err());
}

#[test]
fn with_paths_to_skip_everybody_gets_in_and_requests_are_judged() {
    let mut bench = Bench::new(Options::default());
    let root = Authority::new("root");
    let skip = ["^/open/.*", "^/health$"];
    bench.serve("1", &["a.test"], |s| s.client = demanding(&root, 1, &skip));
    let verification = bench.certificates.find("a.test").unwrap().client().unwrap();
    assert!(verification.skips("/open/x") && verification.skips("/health"));
    assert!(!verification.skips("/x/open/") && !verification.skips("/healthy"));
    let (good, foreign) = (root.issues("a"), Authority::new("foreign").issues("a"));
    let judged = |identity: Option<&Identity>| {
        let server = bench.shake(&bench.client_of(identity), "a.test").unwrap();
        verification.judge(server.peer_certificates().unwrap_or_default())
    };
    assert_eq!(judged(Some(&good)), Ok(()));
    assert!(judged(Some(&foreign)).is_err());
    assert!(judged(None).is_err());
    assert!(bench.certificates.any_verifies());
    bench.certificates.remove("1");
    assert!(!bench.certificates.any_verifies());
}

#[test]
fn sessions_are_resumed_over_changes_but_never_around_a_verification() {
    for session_tickets in [true, false] {
        for protocols in [vec![Version::Tls12], vec![Version::Tls13]] {
            let mut bench = Bench::new(Options {
                session_tickets,
                protocols,
                ..Options::default()
            });
            let root = Authority::new("root");
            let own = root.issues("own");
            bench.serve("1", &["a.test"], |_| {});
            bench.serve("2", &["b.test"], |s| s.client = demanding(&root, 1, &[]));
            let resumed = |bench: &Bench, client: &Arc<ClientConfig>, name| {
                let server = bench.shake_with(client, name);
                server.map(|s| s.handshake_kind() == Some(HandshakeKind::Resumed))
            };
            let client = Arc::new(bench.client_of(Some(&own)));
            for name in ["a.test", "b.test"] {
                assert_eq!(resumed(&bench, &client, name), Ok(false));
                assert_eq!(resumed(&bench, &client, name), Ok(true));
            }
            // A new certificate for the name ends no session, also not one of a verified client.
            bench.serve("1", &["a.test"], |_| {});
            bench.serve("2", &["b.test"], |s| s.client = demanding(&root, 1, &[]));
            for name in ["a.test", "b.test"] {
                assert_eq!(resumed(&bench, &client, name), Ok(true), "{name}");
            }
            // What was begun without a verification is no way around one, and a new authority wants to see for itself.
            bench.serve("1", &["a.test"], |s| s.client = demanding(&root, 1, &[]));
            let other = Authority::new("other");
            bench.serve("2", &["b.test"], |s| s.client = demanding(&other, 1, &[]));
            assert_eq!(resumed(&bench, &client, "a.test"), Ok(false));
            assert!(resumed(&bench, &client, "b.test").is_err());
        }
    }
}

#[test]
fn a_response_in_the_directory_is_stapled_while_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let staples = Staples::open(folder.path()).unwrap();
    let mut bench = Bench::stapling(Options::default(), staples.clone());
    let own = bench.authority.issues("a.test");
    let pair = Pair::from_pem(&own.pem, &own.key).unwrap();
    bench.serve("1", &["a.test"], |spec| spec.pairs = vec![pair]);
    let stapled = |bench: &Bench| {
        let mut client = bench.client();
        let noting = noting(&mut client, None);
        bench.shake(&client, "a.test").unwrap();
        let seen = noting.seen.lock().unwrap();
        seen[0].1.clone()
    };
    assert!(stapled(&bench).is_empty());
    let (_, parsed) = x509_parser::parse_x509_certificate(&own.chain[0]).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let fresh = |serial: &[u8], until| response(parsed.issuer().as_raw(), serial, until);
    write("other.ocsp", &fresh(&[1], "20990101000000Z"));
    write("past.ocsp", &fresh(parsed.raw_serial(), "20200102000000Z"));
    write("broken.der", b"no response");
    write("ignored.txt", b"no response");
    let problems = staples.read(folder.path()).unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(stapled(&bench).is_empty());
    let good = fresh(parsed.raw_serial(), "20990101000000Z");
    write("good.der", &good);
    staples.read(folder.path()).unwrap();
    assert_eq!(stapled(&bench), good);
    assert_eq!(stapled(&bench), good);
    std::fs::remove_file(folder.path().join("good.der")).unwrap();
    staples.read(folder.path()).unwrap();
    assert!(stapled(&bench).is_empty());
    assert!(Staples::open(&folder.path().join("nowhere")).is_err());
}

#[test]
fn a_pair_is_read_and_belongs_together() {
    let authority = Authority::new("servers");
    let (one, other) = (authority.issues("a.test"), authority.issues("a.test"));
    let pair = Pair::from_pem(&one.pem, &one.key).unwrap();
    assert!(!pair.has_run_out(1_800_000_000) && pair.has_run_out(i64::MAX));
    assert_eq!(
        Pair::from_pem(&one.pem, &other.key).err(),
        Some(PairError::Mismatch)
    );
    assert!(matches!(
        Pair::from_pem("", &one.key),
        Err(PairError::Certificate(_))
    ));
    assert!(matches!(
        Pair::from_pem(&one.pem, ""),
        Err(PairError::Key(_))
    ));
    let key = KeyPair::from_pem_and_sign_algo(RSA_KEY, &PKCS_RSA_SHA256).unwrap();
    let rsa = authority.issues_with("a.test", key);
    assert_eq!(
        Pair::from_pem(&rsa.pem, &one.key).err(),
        Some(PairError::Mismatch)
    );
    assert!(Pair::from_pem(&rsa.pem, RSA_KEY).is_ok());
}
