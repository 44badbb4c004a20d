//! The request head as the upstream gets it: target, method, Host, and what the gateway says of the client.

use super::{InFlight, Options};
use crate::upstream::PassHost;
use http::{HeaderName, HeaderValue, header};
use pingora_core::Result;
use pingora_http::RequestHeader;
use smallvec::SmallVec;
use std::net::IpAddr;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Shapes the head. `client_head` is the client's request, after plugins edited it.
pub(super) fn shape(
    flight: &InFlight,
    options: &Options,
    client_host: Option<HeaderValue>,
    head: &mut RequestHeader,
) -> Result<()> {
    target(flight, head)?;
    if let Some(method) = &flight.request.rewritten.method {
        head.set_method(method.clone());
    }
    host(flight, client_host.is_some(), head)?;
    if flight
        .upstream
        .as_ref()
        .is_some_and(|u| u.spec().scheme.is_http2())
    {
        // Servers of gRPC ask for it, and Pingora takes it out (RFC 9110 §10.1.4: it speaks of one connection).
        head.insert_header(header::TE, HeaderValue::from_static("trailers"))?;
    }
    forwarded(flight, options, client_host, head)?;
    identity(flight, head)?;
    if !flight.route.as_ref().is_some_and(|route| route.websocket)
        && head.headers.contains_key(header::UPGRADE)
    {
        head.remove_header(&header::UPGRADE);
        head.remove_header(&header::CONNECTION);
    }
    Ok(())
}

/// A rewritten target; else the client's bytes, in origin form (RFC 9112 §3.2.1), without what plugins took out of them.
fn target(flight: &InFlight, head: &mut RequestHeader) -> Result<()> {
    if let Some(rewritten) = &flight.request.rewritten.target {
        return head.set_raw_path(rewritten);
    }
    let target = flight.request.target(head);
    if head.uri.scheme().is_none() && *target == *head.raw_path() {
        return Ok(());
    }
    let target = target.into_owned();
    head.set_raw_path(&target)
}

/// `pass_host` decides; a plugin's host counts only with `pass`. A client of HTTP/1.0 may have named no host, an upstream is to
/// get one in any case (RFC 9112 §3.2): the node's.
fn host(flight: &InFlight, named: bool, head: &mut RequestHeader) -> Result<()> {
    let of_node = || {
        let picked = flight.picked.as_ref();
        picked.map(|p| p.node().host_header().clone())
    };
    let chosen = match flight.upstream.as_ref().map(|u| &u.spec().pass_host) {
        Some(PassHost::Node) => of_node(),
        Some(PassHost::Rewrite(value)) => Some(value.clone()),
        _ => match &flight.request.rewritten.host {
            None if !named => of_node(),
            host => host.clone(),
        },
    };
    match chosen {
        Some(value) => head.insert_header(header::HOST, value),
        None => Ok(()),
    }
}

/// Who the client is. A trusted peer's own word is kept and continued, anybody else's is replaced.
fn forwarded(
    flight: &InFlight,
    options: &Options,
    client_host: Option<HeaderValue>,
    head: &mut RequestHeader,
) -> Result<()> {
    let request = &flight.request;
    let ip = ip_value(request.client.ip());
    let trusted = !options.trusted.is_empty() && options.trusted.contains(request.peer.ip());
    let known = |name: &HeaderName| trusted && head.headers.contains_key(name);
    let (keeps_proto, keeps_host, keeps_port) = (
        known(&X_FORWARDED_PROTO),
        known(&X_FORWARDED_HOST),
        known(&X_FORWARDED_PORT),
    );

    let chain = match trusted || options.trusted.is_empty() {
        true => continued(head, &ip),
        false => ip.clone(),
    };
    head.insert_header("X-Real-IP", ip)?;
    head.insert_header("X-Forwarded-For", chain)?;
    if !keeps_proto {
        head.insert_header(
            "X-Forwarded-Proto",
            HeaderValue::from_static(if request.tls { "https" } else { "http" }),
        )?;
    }
    if let (false, Some(host)) = (keeps_host, client_host) {
        head.insert_header("X-Forwarded-Host", host)?;
    }
    if !keeps_port {
        head.insert_header(
            "X-Forwarded-Port",
            port_value(request.server.port(), options),
        )?;
    }
    if !trusted && head.headers.contains_key(header::FORWARDED) {
        head.remove_header(&header::FORWARDED);
    }
    Ok(())
}

/// What the client said before it, on however many lines, and then its own address.
fn continued(head: &RequestHeader, ip: &HeaderValue) -> HeaderValue {
    let mut lines = head.headers.get_all(&X_FORWARDED_FOR).iter();
    let Some(first) = lines.next() else {
        return ip.clone();
    };
    let mut joined = first.as_bytes().to_vec();
    for next in lines.chain([ip]) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(next.as_bytes());
    }
    HeaderValue::from_maybe_shared(bytes::Bytes::from(joined)).unwrap_or_else(|_| ip.clone())
}

/// An address as text. That of IPv4 is written by hand: each request has one, and the formatter costs ten times as much.
fn ip_value(ip: IpAddr) -> HeaderValue {
    // The longest form of an IPv6 address has 45 bytes.
    let mut text: SmallVec<[u8; 48]> = SmallVec::new();
    match ip {
        IpAddr::V4(ip) => {
            for (i, octet) in ip.octets().into_iter().enumerate() {
                if i > 0 {
                    text.push(b'.');
                }
                text.extend_from_slice(itoa::Buffer::new().format(octet).as_bytes());
            }
        }
        IpAddr::V6(ip) => text.extend_from_slice(ip.to_string().as_bytes()),
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0.0.0.0"))
}

/// The port as text; that of a listener was made when it was opened.
fn port_value(port: u16, options: &Options) -> HeaderValue {
    let known = options.ports.iter().find(|(known, _)| *known == port);
    known.map_or_else(|| HeaderValue::from(port), |(_, value)| value.clone())
}

/// Who the consumer is.
fn identity(flight: &InFlight, head: &mut RequestHeader) -> Result<()> {
    let Some(identity) = &flight.request.identity else {
        return Ok(());
    };
    head.insert_header(
        "X-Consumer-Username",
        identity.consumer.username_header.clone(),
    )?;
    if let Some(id) = &identity.credential {
        head.insert_header("X-Credential-Identifier", id.clone())?;
    }
    if let Some(id) = &identity.consumer.custom_id {
        head.insert_header("X-Consumer-Custom-ID", id.clone())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::Chain,
        matcher::{Matcher, Mode},
        snapshot::{Consumers, Snapshot},
    };
    use crossway_sdk::{
        consumer::{Consumer, Identity},
        expr::IpSet,
        slots::ChainOf,
    };
    use std::sync::Arc;

    fn flight() -> InFlight {
        let mut flight = InFlight::new(Arc::new(Snapshot {
            streams: Arc::default(),
            certificates: Default::default(),
            revision: 0,
            routes: Arc::new(Matcher::new(Mode::HostThenPath, [])),
            global: Arc::new(Chain::compile(ChainOf::Global, Vec::new())),
            consumers: Arc::new(Consumers::default()),
            documents: Default::default(),
            metadata: imbl::OrdMap::new(),
        }));
        flight.request.client = ([192, 0, 2, 1], 40000).into();
        flight.request.peer = flight.request.client;
        flight.request.server = ([192, 0, 2, 2], 9080).into();
        flight
    }

    fn options(trusted: &[&str]) -> Options {
        Options {
            server: None,
            trusted: IpSet::parse(trusted).unwrap(),
            target: Default::default(),
            max_target: 8192,
            max_header_bytes: 8192,
            max_headers: 100,
            max_body: None,
            show_upstream_status: false,
            client_write_timeout: std::time::Duration::from_secs(1),
            ports: vec![(9080, HeaderValue::from(9080))],
        }
    }

    /// The head as the upstream gets it, in sorted lines behind the target.
    fn sent(
        flight: &InFlight,
        options: &Options,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Vec<String> {
        let mut head = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            head.append_header((*name).to_owned(), *value).unwrap();
        }
        let host = head.headers.get(header::HOST).cloned();
        shape(flight, options, host, &mut head).unwrap();
        let mut wire = Vec::new();
        head.header_to_h1_wire(&mut wire);
        let mut lines: Vec<String> = String::from_utf8(wire)
            .unwrap()
            .lines()
            .map(Into::into)
            .collect();
        lines.sort();
        lines.insert(0, String::from_utf8(head.raw_path().to_vec()).unwrap());
        lines
    }

    #[test]
    fn headers_are_spelled_as_nginx_and_apisix_spell_them() {
        let mut flight = flight();
        flight.request.identity = Some(Identity {
            consumer: Arc::new(Consumer {
                serial: 0,
                username: "jack".into(),
                group_id: None,
                labels: Default::default(),
                username_header: HeaderValue::from_static("jack"),
                custom_id: Some(HeaderValue::from_static("7")),
            }),
            credential: Some(HeaderValue::from_static("c1")),
        });
        let headers = [
            ("hOST", "a.test"),
            ("x-real-ip", "6.6.6.6"),
            ("x-forwarded-for", "10.0.0.9"),
            ("x-Mine", "1"),
        ];
        assert_eq!(
            sent(&flight, &options(&[]), "/", &headers),
            [
                "/",
                "X-Consumer-Custom-ID: 7",
                "X-Consumer-Username: jack",
                "X-Credential-Identifier: c1",
                "X-Forwarded-For: 10.0.0.9, 192.0.2.1",
                "X-Forwarded-Host: a.test",
                "X-Forwarded-Port: 9080",
                "X-Forwarded-Proto: http",
                "X-Real-IP: 192.0.2.1",
                "hOST: a.test",
                "x-Mine: 1",
            ]
        );
        // A trusted peer's word stays as it wrote it.
        let headers = [("x-forwarded-proto", "https"), ("x-forwarded-port", "1")];
        assert_eq!(
            sent(&flight, &options(&["192.0.2.1"]), "/", &headers)
                .iter()
                .filter(|line| line.contains("-p"))
                .collect::<Vec<_>>(),
            ["x-forwarded-port: 1", "x-forwarded-proto: https"]
        );
    }

    #[test]
    fn a_client_that_a_plugin_found_out_is_passed_on_and_the_peer_is_who_is_trusted() {
        let mut flight = flight();
        flight.request.client = ([10, 0, 0, 9], 0).into();
        let headers = [
            ("x-forwarded-for", "10.0.0.9"),
            ("x-forwarded-proto", "https"),
        ];
        let said = |trusted: &[&str], start: &str| -> Vec<String> {
            let lines = sent(&flight, &options(trusted), "/", &headers);
            let mut lines = lines
                .into_iter()
                .filter(|l| l.to_lowercase().starts_with(start));
            lines.next().into_iter().collect()
        };
        assert_eq!(said(&["192.0.2.1"], "x-real-ip"), ["X-Real-IP: 10.0.0.9"]);
        assert_eq!(
            said(&["192.0.2.1"], "x-forwarded-for"),
            ["X-Forwarded-For: 10.0.0.9, 10.0.0.9"]
        );
        assert_eq!(
            said(&["192.0.2.1"], "x-forwarded-proto"),
            ["x-forwarded-proto: https"]
        );
        // An address that the peer only claims for its client makes nobody trusted.
        assert_eq!(
            said(&["10.0.0.9"], "x-forwarded-for"),
            ["X-Forwarded-For: 10.0.0.9"]
        );
        assert_eq!(
            said(&["10.0.0.9"], "x-forwarded-proto"),
            ["X-Forwarded-Proto: http"]
        );
    }

    #[test]
    fn the_target_is_the_clients_less_what_is_hidden_unless_it_was_rewritten() {
        let mut flight = flight();
        let options = options(&[]);
        let target =
            |flight: &InFlight, written: &str| sent(flight, &options, written, &[]).remove(0);
        assert_eq!(target(&flight, "/%41//b?x=%41"), "/%41//b?x=%41");
        assert_eq!(target(&flight, "http://a.test/b?x"), "/b?x");
        flight.request.query = Some("y=1".into());
        assert_eq!(target(&flight, "/%41?key=s&y=1"), "/%41?y=1");
        flight.request.query = Some(bytes::Bytes::new());
        assert_eq!(target(&flight, "/%41?key=s"), "/%41");
        flight.request.rewritten.target = Some("/new?z".into());
        assert_eq!(target(&flight, "/%41?key=s"), "/new?z");
    }
}
