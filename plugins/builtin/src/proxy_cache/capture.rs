//! Whether a response is kept, and keeping it while it passes.

use super::{
    directives::{self, Directives},
    entry::{self, Body, Response},
    key::{self, Key, Texts},
};
use bytes::{Bytes, BytesMut};
use crossway_sdk::prelude::*;
use http::{HeaderName, HeaderValue, header};
use std::time::Duration;

/// Which responses are kept.
pub(crate) struct Rules {
    pub(crate) statuses: Box<[u16]>,
    pub(crate) no_cache: Option<Texts>,
    pub(crate) ttl: Ttl,
    pub(crate) set_cookie: bool,
    /// In bytes.
    pub(crate) max_body: u64,
    /// Whether the key holds what `Authorization` says.
    pub(crate) key_has_credentials: bool,
}

/// How long a response is fresh.
#[derive(Clone, Copy)]
pub(crate) enum Ttl {
    /// So many seconds, whatever the upstream says.
    Fixed(u64),
    /// As the upstream says, else so many seconds; 0 keeps nothing of which the upstream does not say.
    Upstream(u64),
}

/// A response that is being kept.
pub(crate) struct Capture {
    head: Head,
    /// The headers that it varies by, and its key then.
    variant: (Vec<HeaderName>, Key),
    chunks: Vec<Bytes>,
    length: u64,
    /// What the upstream promised.
    promised: Option<u64>,
}

/// A response without its body.
pub(crate) struct Head {
    status: http::StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    age: u64,
    ttl: Duration,
}

impl Rules {
    /// Begins to keep a response; `None` when it is not kept.
    pub(crate) fn capture(
        &self,
        key: &Key,
        head: &ResponseHeader,
        ex: &Exchange<'_>,
    ) -> Option<Capture> {
        let headers = &head.headers;
        if !self.statuses.contains(&head.status.as_u16()) || head.status == 206 {
            return None;
        }
        let said = Directives::of(headers);
        let private = said.private || said.no_store || said.no_cache;
        let cookie = !self.set_cookie && headers.contains_key(header::SET_COOKIE);
        let refused = self.no_cache.as_ref().is_some_and(|t| t.say_yes(ex));
        if private || cookie || refused || !self.is_shared(said, ex) {
            return None;
        }
        let names = directives::vary(headers)?;
        let (kept, age) = entry::kept(headers);
        let upstream = directives::lifetime(headers, said, directives::now());
        let ttl = match self.ttl {
            Ttl::Fixed(seconds) => seconds,
            Ttl::Upstream(otherwise) => upstream.unwrap_or(otherwise).saturating_sub(age),
        };
        let promised = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        if ttl == 0 || promised.is_some_and(|length: u64| length > self.max_body) {
            return None;
        }
        let variant = key::variant(key, &names, ex);
        Some(Capture {
            head: Head {
                status: head.status,
                headers: kept,
                age,
                ttl: Duration::from_secs(ttl),
            },
            variant: (names, variant),
            chunks: Vec::new(),
            length: 0,
            promised,
        })
    }

    /// A response to one who showed credentials is for nobody else, unless the upstream says so (RFC 9111 §3.5), or the
    /// gateway knows who it is and the configuration says who shares.
    fn is_shared(&self, said: Directives, ex: &Exchange<'_>) -> bool {
        let head = ex.session.req_header();
        !head.headers.contains_key(header::AUTHORIZATION)
            || ex.request.identity.is_some()
            || self.key_has_credentials
            || said.public
            || said.must_revalidate
            || said.s_maxage.is_some()
    }
}

impl Capture {
    /// Whether the upstream said that there is no body.
    pub(crate) fn is_empty(&self) -> bool {
        self.promised == Some(0)
    }

    /// Adds a piece of the body; false when it is longer than `most` bytes now.
    pub(crate) fn add(&mut self, chunk: &Bytes, most: u64) -> bool {
        self.length += chunk.len() as u64;
        if self.length > most {
            return false;
        }
        if !chunk.is_empty() {
            self.chunks.push(chunk.clone());
        }
        true
    }

    /// The whole body, in one piece, and out of buffers that are larger than what is in them; `None` when it is not as
    /// long as the upstream promised.
    pub(crate) fn body(&self) -> Option<Bytes> {
        if self.promised.is_some_and(|length| length != self.length) {
            return None;
        }
        let mut body = BytesMut::with_capacity(usize::try_from(self.length).unwrap_or(0));
        for chunk in &self.chunks {
            body.extend_from_slice(chunk);
        }
        Some(body.freeze())
    }

    /// What is left when the body was taken.
    pub(crate) fn into_parts(self) -> (Head, (Vec<HeaderName>, Key)) {
        (self.head, self.variant)
    }
}

impl Head {
    /// The response with its body, as of now.
    pub(crate) fn with(self, body: Body) -> Response {
        Response {
            status: self.status,
            headers: self.headers,
            body,
            stored: directives::now(),
            age: self.age,
            ttl: self.ttl,
        }
    }
}
