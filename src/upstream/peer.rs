//! Peers: what Pingora connects to.

use super::{
    place::Place,
    spec::{PassHost, Scheme, Sni, Spec},
};
use pingora_core::upstreams::peer::HttpPeer;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{Ipv4Addr, SocketAddr},
};

/// Requests at a time on one HTTP/2 connection. Pingora's own default is one.
const MAX_HTTP2_STREAMS: usize = 128;

/// The peer of a node, but for what a request may change: the address of a node given by name, and the name to ask for
/// in TLS where that follows the client's `Host`.
pub(super) fn template(spec: &Spec, host: &str, place: &Place) -> HttpPeer {
    let tls = spec.scheme.is_tls();
    let sni = if tls {
        server_name(spec, host).to_owned()
    } else {
        String::new()
    };
    let mut peer = at(place, tls, sni);
    spec.timeouts.apply(&mut peer.options);
    let idle = spec.keepalive.idle_timeout;
    peer.options.idle_timeout = (!idle.is_zero()).then_some(idle);
    let version = if spec.scheme.is_http2() { 2 } else { 1 };
    peer.options.set_http_version(version, version);
    if version == 2 {
        peer.options.max_h2_streams = MAX_HTTP2_STREAMS;
    }
    if tls {
        peer.client_cert_key.clone_from(&spec.tls.client_cert);
        peer.options.ca.clone_from(&spec.tls.ca);
        peer.options.verify_cert = spec.tls.verify;
        peer.options.verify_hostname = spec.tls.verify;
    }
    peer.group_key = group_key(spec);
    peer
}

/// A peer with Pingora's defaults.
pub(super) fn at(place: &Place, tls: bool, sni: String) -> HttpPeer {
    // Given an address, `new` neither resolves nor panics.
    let nowhere = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let mut peer = HttpPeer::new(nowhere, tls, sni);
    peer._address = place.for_pingora();
    peer
}

/// Upstreams whose keys differ never share a connection: the key covers whom they trust, whom they say they are, and
/// the protocol. Pingora by itself compares neither authorities nor ALPN, and of certificates only serial numbers.
fn group_key(spec: &Spec) -> u64 {
    if spec.scheme == Scheme::Http {
        return 0;
    }
    let mut hasher = DefaultHasher::new();
    spec.scheme.hash(&mut hasher);
    if spec.scheme.is_tls() {
        spec.tls.verify.hash(&mut hasher);
        spec.tls.ca.is_some().hash(&mut hasher);
        for authority in spec.tls.ca.iter().flat_map(|ca| ca.iter()) {
            authority.borrow_raw_cert().hash(&mut hasher);
        }
        if let Some(cert) = &spec.tls.client_cert {
            cert.leaf().borrow_raw_cert().hash(&mut hasher);
            for cert in cert.intermediates() {
                cert.borrow_raw_cert().hash(&mut hasher);
            }
            cert.key().hash(&mut hasher);
        }
    }
    hasher.finish()
}

/// The name to ask for. It is never empty: Pingora takes an empty one as leave to verify nothing. An address stands for
/// itself: it is verified, but not sent.
fn server_name<'a>(spec: &'a Spec, host: &'a str) -> &'a str {
    let own = match (&spec.tls.sni, &spec.pass_host) {
        (Sni::Name(name), _) => Some(&**name),
        (Sni::Host, PassHost::Rewrite(host)) => host.to_str().ok().and_then(name_of),
        _ => None,
    };
    own.unwrap_or(bare(host))
}

/// Whether the name to ask for in TLS is that of the client's `Host`.
pub(super) fn follows_client(spec: &Spec) -> bool {
    spec.scheme.is_tls() && spec.tls.sni == Sni::Host && spec.pass_host == PassHost::Pass
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// The host of a `Host` header, without port and brackets; `None` when it is not one that TLS could ask for.
pub(super) fn name_of(header: &str) -> Option<&str> {
    let host = match header.strip_prefix('[') {
        Some(address) => address.split_once(']')?.0,
        None => header.split(':').next()?,
    };
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    (!host.is_empty() && host.bytes().all(fit)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::{bare, name_of, template};
    use crate::upstream::{
        Place,
        spec::{PassHost, Scheme, Sni, Spec, Tls},
    };
    use http::HeaderValue;
    use pingora_core::upstreams::peer::{ALPN, Peer};
    use std::time::Duration;

    fn address() -> Place {
        Place::Inet("10.0.0.1:443".parse().unwrap())
    }

    fn spec(scheme: Scheme) -> Spec {
        Spec {
            scheme,
            ..Spec::new("upstreams/1", Vec::new())
        }
    }

    #[test]
    fn names_of_hosts() {
        assert_eq!(name_of("a.test:8080"), Some("a.test"));
        assert_eq!(name_of("[::1]:80"), Some("::1"));
        for unfit in ["", ":80", "[::1", "a b", "a/b", "\u{e4}.test"] {
            assert_eq!(name_of(unfit), None, "{unfit}");
        }
        assert_eq!(["[::1]", "::1", "a"].map(bare), ["::1", "::1", "a"]);
    }

    #[test]
    fn a_tls_peer_always_has_a_name() {
        let mut spec = spec(Scheme::Https);
        assert_eq!(template(&spec, "10.0.0.1", &address()).sni, "10.0.0.1");
        assert_eq!(template(&spec, "[::1]", &address()).sni, "::1");
        spec.pass_host = PassHost::Rewrite(HeaderValue::from_static("a.test:8443"));
        assert_eq!(template(&spec, "node.test", &address()).sni, "a.test");
        spec.tls.sni = Sni::Node;
        assert_eq!(template(&spec, "node.test", &address()).sni, "node.test");
        spec.tls.sni = Sni::Name("b.test".into());
        assert_eq!(template(&spec, "node.test", &address()).sni, "b.test");
    }

    #[test]
    fn a_peer_has_the_times_and_the_protocol_of_its_upstream() {
        let mut spec = spec(Scheme::Grpc);
        spec.timeouts.connect = Duration::from_secs(3);
        spec.timeouts.read = Duration::from_secs(4);
        let peer = template(&spec, "a", &address());
        assert_eq!(
            peer.options.connection_timeout,
            Some(Duration::from_secs(3))
        );
        assert_eq!(peer.options.read_timeout, Some(Duration::from_secs(4)));
        assert_eq!(peer.options.write_timeout, Some(Duration::from_secs(60)));
        assert_eq!(peer.options.idle_timeout, Some(Duration::from_secs(60)));
        assert_eq!(peer.options.alpn, ALPN::H2);
        assert!(peer.options.max_h2_streams >= 100);
        assert!(!peer.is_tls());
        spec.keepalive.idle_timeout = Duration::ZERO;
        assert_eq!(template(&spec, "a", &address()).options.idle_timeout, None);
    }

    #[test]
    fn upstreams_that_trust_differently_share_no_connection() {
        let of = |scheme, verify, ca: bool| {
            let ca = ca.then(|| std::sync::Arc::from(Vec::new()));
            let spec = Spec {
                tls: Tls {
                    verify,
                    ca,
                    ..Tls::default()
                },
                ..spec(scheme)
            };
            template(&spec, "a", &address()).reuse_hash()
        };
        let hashes = [
            of(Scheme::Http, false, false),
            of(Scheme::Grpc, false, false),
            of(Scheme::Https, false, false),
            of(Scheme::Https, true, false),
            of(Scheme::Https, true, true),
            of(Scheme::Grpcs, true, true),
        ];
        for (index, hash) in hashes.iter().enumerate() {
            assert!(
                !hashes.iter().skip(index + 1).any(|other| other == hash),
                "{index}"
            );
        }
        assert_eq!(of(Scheme::Http, false, false), of(Scheme::Http, true, true));
    }
}
