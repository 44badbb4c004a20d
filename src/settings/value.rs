//! The types of settings that are more than a number or a text. Each refuses what it cannot use, in words for an operator.

use crossway_sdk::expr::IpSet;
use http::HeaderValue;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    borrow::Cow,
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

macro_rules! schema {
    ($type:ty, $json:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($json)
            }
        }
    };
}

/// An IP address and a port: `127.0.0.1:9180`, `[::1]:9180`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Address(pub SocketAddr);

schema!(Address, {"type": "string"});

pub(super) fn address<E: Error>(text: &str) -> Result<SocketAddr, E> {
    text.parse().map_err(|_| {
        E::custom(format!(
            "\"{text}\" is not an IP address and a port such as 127.0.0.1:9080 or \"[::]:9080\""
        ))
    })
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        address(&String::deserialize(from)?).map(Self)
    }
}

/// One address or a list of several different ones; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Addresses(Vec<SocketAddr>);

schema!(Addresses, {"type": ["string", "array"], "items": {"type": "string"}});

impl Addresses {
    /// In the order as written.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().copied()
    }
}

impl From<SocketAddr> for Addresses {
    fn from(one: SocketAddr) -> Self {
        Self(vec![one])
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected an address such as 0.0.0.0:9080 or a list of them"
)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = match OneOrMany::deserialize(from)? {
            OneOrMany::One(text) => vec![text],
            OneOrMany::Many(texts) => texts,
        };
        let mut list = Vec::with_capacity(texts.len());
        for text in texts {
            let one = address(&text)?;
            if list.contains(&one) {
                return Err(Error::custom(format!("{one} is listed twice")));
            }
            list.push(one);
        }
        if list.is_empty() {
            return Err(Error::custom("at least one address is needed"));
        }
        Ok(Self(list))
    }
}

/// A listener: an IP address and a port, or the path of a Unix socket, which begins with `/` or `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

schema!(Endpoint, {"type": "string"});

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.starts_with(['/', '.']) {
            return Ok(Self::Unix(text.into()));
        }
        address(&text).map(Self::Tcp)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Name servers: IP addresses, with port 53 unless written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NameServers(Vec<SocketAddr>);

schema!(NameServers, {"type": "array", "items": {"type": "string"}});

impl NameServers {
    /// In the order as written; empty when the system's are to be used.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().copied()
    }
}

impl<'de> Deserialize<'de> for NameServers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let one = |text: String| match text.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, 53)),
            Err(_) => text.parse().map_err(|_| {
                Error::custom(format!(
                    "\"{text}\" is not an IP address, with or without a port"
                ))
            }),
        };
        Vec::<String>::deserialize(from)?
            .into_iter()
            .map(one)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// IP addresses and networks such as `10.0.0.0/8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    written: Vec<String>,
    set: IpSet,
}

schema!(Networks, {"type": "array", "items": {"type": "string"}});

impl Networks {
    /// The loopback networks of both families.
    pub(super) fn loopback() -> Self {
        let written = ["127.0.0.0/8", "::1/128"].map(str::to_owned).to_vec();
        let set = IpSet::parse(&written).unwrap_or_default();
        Self { written, set }
    }

    /// Whether the address is in one of the networks.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.set.contains(address)
    }

    /// Whether there is no network at all.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// The compiled set, for those who keep it.
    pub fn set(&self) -> &IpSet {
        &self.set
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = Vec::<String>::deserialize(from)?;
        let set = IpSet::parse(&written).map_err(Error::custom)?;
        Ok(Self { written, set })
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(to)
    }
}

/// A text that must not show up in logs. `Debug` hides it, and it cannot be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

schema!(Secret, {"type": "string", "minLength": 1, "writeOnly": true});

impl Secret {
    /// Of a text that came from somewhere else than the settings.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text. Compare it in constant time.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // Not `String::deserialize`: its error would quote what came.
        let serde_json::Value::String(text) = serde_json::Value::deserialize(from)? else {
            return Err(Error::custom("expected a text; put it in quotes"));
        };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::custom(
                "expected visible ASCII characters without spaces, as it travels in a header",
            ));
        }
        Ok(Self(text))
    }
}

/// The value of a response header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderText(HeaderValue);

schema!(HeaderText, {"type": "string"});

impl HeaderText {
    /// Of a text that is known to fit.
    pub(super) fn from_static(text: &'static str) -> Self {
        Self(HeaderValue::from_static(text))
    }

    /// As it is sent.
    pub fn value(&self) -> &HeaderValue {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match HeaderValue::from_str(&text) {
            Ok(value) if !text.is_empty() && text.is_ascii() => Ok(Self(value)),
            _ => Err(Error::custom(format!(
                "{text:?} cannot be the value of a header"
            ))),
        }
    }
}

impl Serialize for HeaderText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.to_str().unwrap_or_default().serialize(to)
    }
}

/// A length of time, written in seconds; fractions are allowed. At most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub Duration);

schema!(Seconds, {"type": "number", "minimum": 0, "maximum": 86400});

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds)
            .map(Self)
            .map_err(|_| Error::custom(format!("{seconds} is not a number of seconds")))
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.0.subsec_nanos() == 0 {
            to.serialize_u64(self.0.as_secs())
        } else {
            to.serialize_f64(self.0.as_secs_f64())
        }
    }
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file; appended to, made when missing.
    File(PathBuf),
}

schema!(LogTarget, {"type": "string", "minLength": 1});

impl<'de> Deserialize<'de> for LogTarget {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Ok(match text.as_str() {
            "off" => Self::Off,
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            _ => Self::File(text.into()),
        })
    }
}

impl Serialize for LogTarget {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => to.serialize_str("off"),
            Self::Stdout => to.serialize_str("stdout"),
            Self::Stderr => to.serialize_str("stderr"),
            Self::File(path) => path.serialize(to),
        }
    }
}
