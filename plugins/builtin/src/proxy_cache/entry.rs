//! A response that is kept.

use super::{directives, disk::File, key::Key};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::{sync::Arc, time::Duration};

/// Fields that belong to one connection or to one delivery, and are not kept.
const NOT_KEPT: [HeaderName; 12] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::AGE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    super::STATUS,
];

/// Bytes that an entry takes besides its headers and its body.
const OVERHEAD: u64 = 512;

/// What is found under a key.
#[derive(Clone)]
pub(crate) enum Item {
    Response(Arc<Response>),
    /// There are several, by headers of the request.
    Variants(Arc<Variants>),
}

/// The headers that a response varies by, and the keys of its variants, the oldest first.
pub(crate) struct Variants {
    pub(crate) names: Vec<HeaderName>,
    pub(crate) keys: Vec<Key>,
}

/// A response.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Body,
    /// When it was stored, in seconds since 1970.
    pub(crate) stored: i64,
    /// How old it was then, in seconds.
    pub(crate) age: u64,
    /// How long it is fresh from then on.
    pub(crate) ttl: Duration,
}

/// Where the body is.
pub(crate) enum Body {
    Memory(Bytes),
    File(File),
}

impl Body {
    /// In bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.length,
        }
    }
}

impl Response {
    /// How long ago it was stored, in seconds.
    pub(crate) fn held(&self, now: i64) -> u64 {
        u64::try_from(now.saturating_sub(self.stored)).unwrap_or(0)
    }

    pub(crate) fn is_fresh(&self, now: i64) -> bool {
        self.held(now) < self.ttl.as_secs()
    }

    /// The value of the first field of that name.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&HeaderValue> {
        let found = self.headers.iter().find(|(n, _)| n == name)?;
        Some(&found.1)
    }

    fn size_of_head(&self) -> u64 {
        let fields = self.headers.iter();
        fields
            .map(|(name, value)| (name.as_str().len() + value.len()) as u64 + 64)
            .sum()
    }
}

impl Item {
    /// Bytes of memory, without a body in a file.
    pub(crate) fn memory(&self) -> u64 {
        let more = match self {
            Self::Response(response) => {
                let body = match &response.body {
                    Body::Memory(bytes) => bytes.len() as u64,
                    Body::File(_) => 0,
                };
                body + response.size_of_head()
            }
            Self::Variants(variants) => (variants.keys.len() * 32) as u64,
        };
        OVERHEAD + more
    }
}

/// The fields of an upstream's response that are kept, and its age.
pub(crate) fn kept(headers: &HeaderMap) -> (Vec<(HeaderName, HeaderValue)>, u64) {
    // What Connection names belongs to the connection (RFC 9110 §7.6.1).
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
            text.split(',')
                .map(|name| name.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let fields = headers
        .iter()
        .filter(|(name, _)| !NOT_KEPT.contains(name) && !named.iter().any(|n| n == name.as_str()));
    let age = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok());
    (
        fields.map(|(n, v)| (n.clone(), copied(v))).collect(),
        age.and_then(|text| text.trim().parse().ok()).unwrap_or(0),
    )
}

/// A copy that does not hold on to the buffer that the whole head was read into.
fn copied(value: &HeaderValue) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone())
}

/// Whether the client has this very response already (RFC 9110 §13.2.2).
pub(crate) fn client_has(response: &Response, request: &HeaderMap) -> bool {
    let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if request.contains_key(header::IF_NONE_MATCH) {
        let Some(tag) = response.header(&header::ETAG).and_then(|v| v.to_str().ok()) else {
            return false;
        };
        let asked = request.get_all(header::IF_NONE_MATCH).iter();
        return asked.filter_map(|v| v.to_str().ok()).any(|value| {
            value.trim() == "*" || value.split(',').any(|one| weak(one) == weak(tag))
        });
    }
    let of = |value: Option<&HeaderValue>| value.and_then(|v| directives::date(v.to_str().ok()?));
    let changed = of(response.header(&header::LAST_MODIFIED));
    let since = of(request.get(header::IF_MODIFIED_SINCE));
    matches!((changed, since), (Some(changed), Some(since)) if changed <= since)
}
