//! What a request counts under: its labels, the labels that are disabled, and the key under which its series are found.

use super::config::{DisabledLabels, StatusLabel, TrafficLabel};
use crossway_sdk::{
    expr::{Lookup, Template},
    request::{Request, ResponseSource},
    stream::StreamSession,
};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Status that nginx notes when the client left before an answer was sent.
const CLIENT_LEFT: u16 = 499;

bitflags::bitflags! {
    /// Labels that can be disabled.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Disabled: u16 {
        const ROUTE = 1;
        const MATCHED_URI = 2;
        const MATCHED_HOST = 4;
        const SERVICE = 8;
        const CONSUMER = 16;
        const NODE = 32;
        const REQUEST_TYPE = 64;
        const SOURCE = 128;
        /// Labels that are empty outside of AI plugins, which this gateway lacks.
        const MODEL = 256;
    }
}

impl From<StatusLabel> for Disabled {
    fn from(label: StatusLabel) -> Self {
        match label {
            StatusLabel::Route => Self::ROUTE,
            StatusLabel::MatchedUri => Self::MATCHED_URI,
            StatusLabel::MatchedHost => Self::MATCHED_HOST,
            StatusLabel::Service => Self::SERVICE,
            StatusLabel::Consumer => Self::CONSUMER,
            StatusLabel::Node => Self::NODE,
            StatusLabel::RequestType => Self::REQUEST_TYPE,
            StatusLabel::RequestLlmModel | StatusLabel::LlmModel => Self::MODEL,
            StatusLabel::ResponseSource => Self::SOURCE,
        }
    }
}

impl From<TrafficLabel> for Disabled {
    fn from(label: TrafficLabel) -> Self {
        match label {
            TrafficLabel::Route => Self::ROUTE,
            TrafficLabel::Service => Self::SERVICE,
            TrafficLabel::Consumer => Self::CONSUMER,
            TrafficLabel::Node => Self::NODE,
            TrafficLabel::RequestType => Self::REQUEST_TYPE,
            TrafficLabel::RequestLlmModel | TrafficLabel::LlmModel => Self::MODEL,
        }
    }
}

/// The disabled labels of each metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct DisabledOf {
    pub(super) status: Disabled,
    pub(super) latency: Disabled,
    pub(super) bandwidth: Disabled,
    /// In none of the metrics, so that series need not be told apart by them.
    everywhere: Disabled,
}

impl From<&DisabledLabels> for DisabledOf {
    fn from(written: &DisabledLabels) -> Self {
        fn all<L: Copy + Into<Disabled>>(labels: &[L]) -> Disabled {
            labels
                .iter()
                .fold(Disabled::empty(), |all, l| all | (*l).into())
        }
        // Latency and bandwidth never had these.
        let absent = Disabled::MATCHED_URI | Disabled::MATCHED_HOST | Disabled::SOURCE;
        let (status, latency, bandwidth) = (
            all(&written.http_status),
            all(&written.http_latency),
            all(&written.bandwidth),
        );
        Self {
            everywhere: status & (latency | absent) & (bandwidth | absent),
            status,
            latency,
            bandwidth,
        }
    }
}

/// A request's labels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'r> {
    code: u16,
    source: &'static str,
    route: &'r str,
    matched_uri: &'r str,
    matched_host: &'r str,
    service: &'r str,
    consumer: &'r str,
    node: Node<'r>,
}

/// The node that a request was sent to last.
#[derive(Clone, Copy, Debug)]
enum Node<'r> {
    None,
    Address(IpAddr),
    Host(&'r str),
}

/// Labels in the order in which the metric declares them.
pub(super) type LabelValues = Vec<Box<str>>;

impl<'r> Labels<'r> {
    pub(super) fn of(request: &'r Request, prefer_name: bool) -> Self {
        let route = request.route.as_deref();
        let preferred = |id: Option<&'r str>, name: Option<&'r str>| {
            let name = name.filter(|_| prefer_name && id.is_some());
            name.or(id).unwrap_or("")
        };
        let matched = request.matched.as_ref();
        Self {
            code: match request.response.status {
                0 => CLIENT_LEFT,
                status => status,
            },
            source: match request.response.source {
                ResponseSource::Gateway => "apisix",
                ResponseSource::Proxy => "nginx",
                ResponseSource::Upstream => "upstream",
            },
            route: preferred(route.map(|r| &*r.id), route.and_then(|r| r.name.as_deref())),
            service: preferred(
                route.and_then(|r| r.service_id.as_deref()),
                route.and_then(|r| r.service_name.as_deref()),
            ),
            matched_uri: matched.map_or("", |m| &m.path),
            matched_host: matched.and_then(|m| m.host.as_deref()).unwrap_or(""),
            consumer: request.consumer_name().unwrap_or(""),
            node: match request.last_try() {
                None => Node::None,
                Some(tried) => match tried.address {
                    Some(address) => Node::Address(address.ip()),
                    None => Node::Host(&tried.host),
                },
            },
        }
    }

    /// Labels of `http_status`.
    pub(super) fn status(&self, disabled: DisabledOf) -> LabelValues {
        let text = texts(disabled.status);
        let mut values = vec![
            self.code.to_string().into(),
            text(Disabled::ROUTE, self.route),
            text(Disabled::MATCHED_URI, self.matched_uri),
            text(Disabled::MATCHED_HOST, self.matched_host),
        ];
        self.write_common(disabled.status, &mut values);
        values.push(text(Disabled::SOURCE, self.source));
        values
    }

    /// Labels of `http_latency` or `bandwidth`.
    pub(super) fn traffic(&self, kind: &str, disabled: Disabled) -> LabelValues {
        let mut values = vec![kind.into(), texts(disabled)(Disabled::ROUTE, self.route)];
        self.write_common(disabled, &mut values);
        values
    }

    fn write_common(&self, disabled: Disabled, values: &mut LabelValues) {
        let text = texts(disabled);
        values.extend([
            text(Disabled::SERVICE, self.service),
            text(Disabled::CONSUMER, self.consumer),
            match self.node {
                Node::None => "".into(),
                Node::Address(ip) => text(Disabled::NODE, &ip.to_string()),
                Node::Host(host) => text(Disabled::NODE, host),
            },
            text(Disabled::REQUEST_TYPE, "traditional_http"),
            "".into(),
            "".into(),
        ]);
    }

    /// What tells the series of this request apart from those of others.
    pub(super) fn key(&self, disabled: DisabledOf) -> Key {
        let mut key = Key(SmallVec::new());
        key.0.extend_from_slice(&self.code.to_be_bytes());
        // The first letters differ.
        key.0.extend(self.source.bytes().take(1));
        for (label, text) in [
            (Disabled::ROUTE, self.route),
            (Disabled::MATCHED_URI, self.matched_uri),
            (Disabled::MATCHED_HOST, self.matched_host),
            (Disabled::SERVICE, self.service),
            (Disabled::CONSUMER, self.consumer),
        ] {
            let enabled = !disabled.everywhere.contains(label);
            key.part(if enabled { text.as_bytes() } else { b"" });
        }
        match self.node {
            Node::None => key.0.push(b'-'),
            // Whether there was a node also says whether there is an upstream latency.
            _ if disabled.everywhere.contains(Disabled::NODE) => key.0.push(b'+'),
            Node::Address(IpAddr::V4(ip)) => key.part(&ip.octets()),
            Node::Address(IpAddr::V6(ip)) => key.part(&ip.octets()),
            Node::Host(host) => {
                key.0.push(b'h');
                key.part(host.as_bytes());
            }
        }
        key
    }

    /// Whether the request was sent to a node.
    pub(super) fn has_node(&self) -> bool {
        !matches!(self.node, Node::None)
    }
}

/// Labels of `stream_connection_total` and of `stream_status`.
pub(super) fn of_session(session: &StreamSession, prefer_name: bool) -> (LabelValues, LabelValues) {
    let route = session.route.as_deref();
    let name = route.and_then(|r| r.name.as_deref());
    let id = route.map_or("", |r| &*r.id);
    let node = match session.last_try() {
        None => String::new(),
        Some(tried) => match tried.address {
            Some(address) => address.to_string(),
            None => format!("{}:{}", tried.host, tried.port),
        },
    };
    let route = name.filter(|_| prefer_name).unwrap_or(id);
    let code = session.status.to_string();
    let status = vec![code.into(), (&*session.listener).into(), node.into()];
    (vec![route.into()], status)
}

fn texts(disabled: Disabled) -> impl Fn(Disabled, &str) -> Box<str> {
    move |label, text| {
        if disabled.contains(label) {
            "".into()
        } else {
            text.into()
        }
    }
}

/// Bytes that differ whenever a label differs. Long enough for most requests not to leave the stack.
pub(super) struct Key(pub(super) SmallVec<[u8; 192]>);

impl Key {
    /// Appends a part in such a way that its end is known.
    fn part(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Appends the values of further labels, and returns them.
    pub(super) fn extra(
        &mut self,
        labels: &[(String, Template)],
        from: &dyn Lookup,
    ) -> LabelValues {
        let mut text = Vec::new();
        let render = labels.iter().map(|(_, template)| {
            text.clear();
            template.render(from, &mut text);
            self.part(&text);
            String::from_utf8_lossy(&text).into()
        });
        render.collect()
    }
}
