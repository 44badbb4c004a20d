//! Settings of TCP, TLS and UDP: where sessions come in, how long they may be silent, what they may hold.

use super::value::{Addresses, Seconds, address};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error, ser::SerializeMap};
use std::{borrow::Cow, net::SocketAddr, time::Duration};

/// TCP, TLS and UDP sessions, which stream routes lead to upstreams. Without a listener here there are none, and the Admin API
/// takes no stream routes.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Where TCP connections come in: an IP address and a port, or a mapping with the keys `addr` (the same), `tls` (whether the
    /// gateway speaks TLS, with the certificate that an `ssl` has for the server name), `tls_passthrough` (whether the server
    /// name in the client's hello decides and the bytes go on as they are) and `proxy_protocol` (whether each connection begins
    /// with a PROXY protocol header of one of `listen.proxy_protocol.trusted`, which then names the client); or a list of them.
    #[schemars(extend("x-applies" = "restart"))]
    pub tcp: TcpListeners,
    /// Where UDP datagrams come in: an IP address and a port, or a list of them. `server_addr` of a route is compared with the
    /// address written here: write one of the machine's own, not 0.0.0.0, where routes are to tell addresses apart.
    #[schemars(extend("x-applies" = "restart"))]
    pub udp: Option<Addresses>,
    /// Seconds without a byte in either direction after which a TCP session is closed. An upstream with a `timeout` has its own:
    /// the longer one of `send` and `read`.
    #[schemars(range(min = 0.001))]
    #[schemars(extend("x-applies" = "live"))]
    pub idle_timeout: Seconds,
    /// Seconds without a datagram in either direction after which a UDP session ends. An upstream with a `timeout` has its own.
    #[schemars(range(min = 0.001))]
    #[schemars(extend("x-applies" = "live"))]
    pub udp_idle_timeout: Seconds,
    /// UDP sessions at once, for each listener. Datagrams of further clients are dropped and counted. Each session holds a
    /// socket: keep it below the process's limit of open files.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("x-applies" = "live"))]
    pub udp_sessions: usize,
    /// Seconds that a client has for its TLS hello on a listener with `tls_passthrough`.
    #[schemars(range(min = 0.001))]
    #[schemars(extend("x-applies" = "live"))]
    pub hello_timeout: Seconds,
    /// Bytes that a TCP session may hold in each direction.
    #[schemars(range(min = 1024, max = 1_048_576))]
    #[schemars(extend("x-applies" = "live"))]
    pub buffer: usize,
    /// Whether TCP connections to nodes begin with a PROXY protocol header (version 1) that names the client. An upstream with
    /// `proxy_protocol` has its own.
    #[schemars(extend("x-applies" = "live"))]
    pub proxy_protocol_to_upstream: bool,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            tcp: TcpListeners::default(),
            udp: None,
            idle_timeout: Seconds(Duration::from_secs(600)),
            udp_idle_timeout: Seconds(Duration::from_secs(60)),
            udp_sessions: 8192,
            hello_timeout: Seconds(Duration::from_secs(30)),
            buffer: 16384,
            proxy_protocol_to_upstream: false,
        }
    }
}

impl Stream {
    /// Whether sessions come in anywhere.
    pub fn enabled(&self) -> bool {
        !self.tcp.0.is_empty() || self.udp.is_some()
    }
}

/// Listeners for TCP; none unless written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcpListeners(Vec<TcpListener>);

/// A listener for TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpListener {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it does with TLS.
    pub tls: StreamTls,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
}

/// What a listener does with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamTls {
    /// Nothing: bytes are bytes.
    Off,
    /// The gateway speaks it.
    Terminate,
    /// The hello is read and everything is passed on.
    Passthrough,
}

impl TcpListeners {
    /// In the order as written.
    pub fn iter(&self) -> impl Iterator<Item = &TcpListener> {
        self.0.iter()
    }
}

impl JsonSchema for TcpListeners {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "TcpListeners".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": ["string", "array", "object"]})
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an address such as 0.0.0.0:9100, a mapping with addr, tls, tls_passthrough and proxy_protocol, or a list of them"
)]
enum Written {
    One(String),
    Item(Item),
    Many(Vec<WrittenItem>),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an address such as 0.0.0.0:9100, or a mapping with addr, tls, tls_passthrough and proxy_protocol"
)]
enum WrittenItem {
    One(String),
    Item(Item),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    addr: String,
    #[serde(default)]
    tls: bool,
    #[serde(default)]
    tls_passthrough: bool,
    #[serde(default)]
    proxy_protocol: bool,
}

impl Item {
    fn read<E: Error>(self) -> Result<TcpListener, E> {
        let tls = match (self.tls, self.tls_passthrough) {
            (false, false) => StreamTls::Off,
            (true, false) => StreamTls::Terminate,
            (false, true) => StreamTls::Passthrough,
            (true, true) => {
                return Err(E::custom(format!(
                    "{}: either tls or tls_passthrough, not both",
                    self.addr
                )));
            }
        };
        Ok(TcpListener {
            address: address(&self.addr)?,
            tls,
            proxy_protocol: self.proxy_protocol,
        })
    }
}

fn plain<E: Error>(text: &str) -> Result<TcpListener, E> {
    Ok(TcpListener {
        address: address(text)?,
        tls: StreamTls::Off,
        proxy_protocol: false,
    })
}

impl<'de> Deserialize<'de> for TcpListeners {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let read = |item| match item {
            WrittenItem::One(text) => plain(&text),
            WrittenItem::Item(item) => item.read(),
        };
        let list = match Written::deserialize(from)? {
            Written::One(text) => vec![plain(&text)?],
            Written::Item(item) => vec![item.read()?],
            Written::Many(items) => items.into_iter().map(read).collect::<Result<_, _>>()?,
        };
        for (at, one) in list.iter().enumerate() {
            if list.iter().take(at).any(|o| o.address == one.address) {
                return Err(Error::custom(format!("{} is listed twice", one.address)));
            }
        }
        Ok(Self(list))
    }
}

impl Serialize for TcpListeners {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(&self.0)
    }
}

impl Serialize for TcpListener {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(4))?;
        map.serialize_entry("addr", &self.address)?;
        map.serialize_entry("tls", &(self.tls == StreamTls::Terminate))?;
        map.serialize_entry("tls_passthrough", &(self.tls == StreamTls::Passthrough))?;
        map.serialize_entry("proxy_protocol", &self.proxy_protocol)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn read(tcp: Value) -> Result<Vec<TcpListener>, String> {
        let stream: Result<Stream, _> = serde_json::from_value(json!({ "tcp": tcp }));
        stream.map(|s| s.tcp.0).map_err(|e| e.to_string())
    }

    #[test]
    fn listeners_are_written_short_or_long() {
        assert!(!Stream::default().enabled());
        let one = read(json!("127.0.0.1:9100")).unwrap();
        assert_eq!(one, [plain::<serde_json::Error>("127.0.0.1:9100").unwrap()]);
        let several = json!(["[::]:9100", {"addr": "0.0.0.0:9101", "tls": true},
            {"addr": "0.0.0.0:9102", "tls_passthrough": true, "proxy_protocol": true}]);
        let several = read(several).unwrap();
        let tls: Vec<_> = several.iter().map(|l| l.tls).collect();
        assert_eq!(
            tls,
            [StreamTls::Off, StreamTls::Terminate, StreamTls::Passthrough]
        );
        assert_eq!(several.last().map(|l| l.proxy_protocol), Some(true));
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        for (tcp, said) in [
            (json!(9100), "expected an address"),
            (json!("9100"), "is not an IP address and a port"),
            (json!({"tls": true}), "expected an address"),
            (
                json!([{"addr": "0.0.0.0:1", "tsl": true}]),
                "expected an address",
            ),
            (
                json!(["0.0.0.0:1", "0.0.0.0:1"]),
                "0.0.0.0:1 is listed twice",
            ),
            (
                json!({"addr": "0.0.0.0:1", "tls": true, "tls_passthrough": true}),
                "not both",
            ),
        ] {
            let error = read(tcp.clone()).unwrap_err();
            assert!(error.contains(said), "{tcp}: {error}");
        }
    }
}
