//! `proxy-cache`: keeps responses of the upstream, in memory or on disk, and answers with them.
//!
//! What is kept is the response as the upstream sent it. The plugins that run after this one see a response from the cache
//! as they would see the upstream's. Of many requests for a response that is not there, one fetches it.

mod capture;
pub(crate) mod config;
mod directives;
mod disk;
mod entry;
mod key;
mod store;
mod zones;

#[cfg(test)]
mod tests;

use crate::request_body;
use bytes::Bytes;
use capture::{Capture, Rules, Ttl};
use config::{Config, Method as Cached, Strategy};
use crossway_sdk::prelude::*;
use directives::Directives;
use entry::{Body, Response};
use http::{HeaderName, HeaderValue, Method, header};
use key::{Key, Texts};
use std::{sync::Arc, time::Duration};
use store::{Fetch, Lead, Zone};
use zones::Place;

/// Tells what the cache had to say.
pub(crate) const STATUS: HeaderName = HeaderName::from_static("apisix-cache-status");

/// How long a request waits for another one that fetches the same response.
const PATIENCE: Duration = Duration::from_secs(5);

/// Fields of a response that go with a 304 (RFC 9110 §15.4.5).
const WITH_NOT_MODIFIED: [HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_LOCATION,
    header::DATE,
    header::ETAG,
    header::EXPIRES,
    header::VARY,
];

/// See the module.
pub struct ProxyCache {
    zone: Arc<Zone>,
    key: Texts,
    bypass: Option<Texts>,
    methods: Box<[Cached]>,
    rules: Rules,
    control: bool,
    hide_headers: bool,
    isolation: bool,
    needs_body: bool,
}

/// What a request is about to do with the cache.
#[derive(Default)]
struct Turn {
    fetching: Option<Fetching>,
}

/// A response that is fetched and may be kept.
struct Fetching {
    key: Key,
    lead: Option<Lead>,
    capture: Option<Capture>,
}

#[phases]
impl Plugin for ProxyCache {
    const NAME: &'static str = "proxy-cache";
    const PRIORITY: i32 = 1085;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let place = zones::find(
            cx.attribute_of("proxy-cache"),
            &config.cache_zone,
            config.cache_strategy,
        )
        .map_err(|e| cx.error("/cache_zone", e))?;
        if let Some(index) = config.cache_key.iter().position(|k| k == "$request_method") {
            let path = format!("/cache_key/{index}");
            return Err(cx.error(path, "cache_key variable $request_method unsupported"));
        }
        let texts = |name: &str, texts: &[String]| {
            Texts::compile(texts).map_err(|(i, e)| cx.error(format!("/{name}/{i}"), e))
        };
        let optional = |name: &str, list: &Option<Vec<String>>| {
            list.as_deref().map(|list| texts(name, list)).transpose()
        };
        let key = texts("cache_key", &config.cache_key)?;
        let bypass = optional("cache_bypass", &config.cache_bypass)?;
        let no_cache = optional("no_cache", &config.no_cache)?;
        let ttl = match (&place, config.cache_control) {
            (_, true) => Ttl::Upstream(0),
            (Place::Memory(_), false) => Ttl::Fixed(config.cache_ttl),
            (Place::Disk { ttl, .. }, false) => Ttl::Upstream(ttl.as_secs()),
        };
        let strategy = match config.cache_strategy {
            Strategy::Disk => "disk",
            Strategy::Memory => "memory",
        };
        let identity = format!("proxy-cache/{strategy}/{}/{place:?}", config.cache_zone);
        let all = [Some(&key), bypass.as_ref(), no_cache.as_ref()];
        let needs_body = all.into_iter().flatten().any(Texts::needs_body);
        Ok(Self {
            zone: cx.shared(&identity, || Zone::new(&place)),
            needs_body,
            key,
            bypass,
            methods: config.cache_method.into(),
            rules: Rules {
                statuses: config.cache_http_status.into(),
                no_cache,
                ttl,
                set_cookie: config.cache_set_cookie,
                max_body: config.max_resp_body_size,
                key_has_credentials: config.cache_key.iter().any(|k| k == "$http_authorization"),
            },
            control: config.cache_control,
            hide_headers: config.hide_cache_headers,
            isolation: config.consumer_isolation,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                match request_body::read(ex).await {
                    Ok(()) => self.decide(ex).await,
                    Err(end) => end,
                }
            });
        }
        match self.at_once(ex) {
            Asked::Settled(flow) => Step::Done(Ok(flow)),
            asked => Step::wait(self.later(ex, asked)),
        }
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if ex.existing_state::<Turn>().is_none() {
            return Ok(());
        }
        if let Some(mut fetching) = ex.state::<Turn>().fetching.take() {
            let upstream = ex.request.upstream_head.take();
            match upstream.and_then(|upstream| self.rules.capture(&fetching.key, &upstream, ex)) {
                Some(capture) => {
                    let empty = capture.is_empty();
                    fetching.capture = Some(capture);
                    // Of a body that is not there nobody tells the end.
                    match empty {
                        true => self.keep(fetching),
                        false => ex.state::<Turn>().fetching = Some(fetching),
                    }
                }
                // Whoever waits need not wait for the body.
                None => self.zone.pass(fetching.key),
            }
        }
        if self.hide_headers {
            head.remove_header(&header::EXPIRES);
            head.remove_header(&header::CACHE_CONTROL);
        }
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Turn>().is_none() {
            return Ok(());
        }
        let turn = ex.state::<Turn>();
        let Some(capture) = turn.fetching.as_mut().and_then(|f| f.capture.as_mut()) else {
            return Ok(());
        };
        if let Some(chunk) = chunk
            && !capture.add(chunk, self.rules.max_body)
        {
            if let Some(fetching) = turn.fetching.take() {
                self.zone.pass(fetching.key);
            }
            return Ok(());
        }
        if end && let Some(fetching) = turn.fetching.take() {
            self.keep(fetching);
        }
        Ok(())
    }
}

/// What the cache says to a request.
enum Asked {
    /// The request goes on or is answered.
    Settled(Flow),
    /// The body has to be read from a file.
    Read(Arc<Response>),
    /// Another request fetches the response.
    Wait(Key, tokio::sync::watch::Receiver<()>),
}

impl ProxyCache {
    async fn decide(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let asked = self.at_once(ex);
        self.later(ex, asked).await
    }

    async fn later(&self, ex: &mut Exchange<'_>, asked: Asked) -> Result<Flow, Error> {
        let found = match asked {
            Asked::Settled(flow) => return Ok(flow),
            Asked::Read(response) => Some(response),
            Asked::Wait(key, done) => {
                store::wait(done, PATIENCE).await;
                let now = directives::now();
                match self
                    .find(&key, ex)
                    .filter(|response| response.is_fresh(now))
                {
                    Some(response) => Some(response),
                    None => {
                        self.go_on(ex, key, None);
                        None
                    }
                }
            }
        };
        let Some(response) = found else {
            return Ok(Flow::Next);
        };
        let body = match &response.body {
            Body::Memory(bytes) => Ok(bytes.clone()),
            Body::File(file) => file.read().await,
        };
        match body {
            Ok(body) => Ok(Flow::Respond(self.hit(ex, &response, body))),
            Err(error) => {
                // The file is gone, or not what was written: the upstream answers.
                tracing::warn!(%error, "a response could not be read from the cache");
                self.say(ex, "MISS");
                Ok(Flow::Next)
            }
        }
    }

    /// All that needs no waiting.
    fn at_once(&self, ex: &mut Exchange<'_>) -> Asked {
        let method = ex.session.req_header().method.clone();
        if method.as_str() == "PURGE" {
            return Asked::Settled(Flow::Respond(self.purge(ex)));
        }
        let on = |flow| Asked::Settled(flow);
        if !self.takes(&method) {
            self.say(ex, "MISS");
            return on(Flow::Next);
        }
        let wishes = match self.control {
            true => Directives::of(&ex.session.req_header().headers),
            false => Directives::default(),
        };
        let bypass = self.bypass.as_ref().is_some_and(|texts| texts.say_yes(ex));
        if bypass || wishes.no_store || wishes.no_cache {
            self.say(ex, "BYPASS");
            return on(Flow::Next);
        }
        let key = key::key(&self.key, ex, self.isolation, &method);
        let now = directives::now();
        match self.find(&key, ex) {
            Some(response) if !response.is_fresh(now) => self.say(ex, "EXPIRED"),
            Some(response) if !suits(&response, wishes, now) => self.say(ex, "STALE"),
            Some(response) => {
                return match &response.body {
                    Body::Memory(body) => {
                        let body = body.clone();
                        on(Flow::Respond(self.hit(ex, &response, body)))
                    }
                    Body::File(_) => Asked::Read(response),
                };
            }
            None if wishes.only_if_cached => {
                self.say(ex, "MISS");
                return on(Flow::Respond(Reply::status(504)));
            }
            None => self.say(ex, "MISS"),
        }
        // A response to HEAD has no body, and one to a part of a document is a part: neither is kept.
        let whole = !ex.session.req_header().headers.contains_key(header::RANGE);
        if method == Method::HEAD || !whole {
            return on(Flow::Next);
        }
        match self.zone.fetch(key, now) {
            Fetch::Lead(lead) => self.go_on(ex, key, Some(lead)),
            Fetch::Alone => self.go_on(ex, key, None),
            Fetch::Wait(done) => return Asked::Wait(key, done),
        }
        on(Flow::Next)
    }

    /// Has the response kept that the upstream is about to give.
    fn go_on(&self, ex: &mut Exchange<'_>, key: Key, lead: Option<Lead>) {
        ex.request.keep_upstream_head = true;
        ex.state::<Turn>().fetching = Some(Fetching {
            key,
            lead,
            capture: None,
        });
    }

    fn keep(&self, fetching: Fetching) {
        let Some(capture) = fetching.capture else {
            return;
        };
        if let Some(body) = capture.body() {
            let (head, variant) = capture.into_parts();
            let response = move |body| head.with(body);
            self.zone
                .keep(fetching.key, variant, body, response, fetching.lead);
        }
    }

    fn takes(&self, method: &Method) -> bool {
        let method = match *method {
            Method::GET => Cached::Get,
            Method::HEAD => Cached::Head,
            Method::POST => Cached::Post,
            _ => return false,
        };
        self.methods.contains(&method)
    }

    fn find(&self, key: &Key, ex: &Exchange<'_>) -> Option<Arc<Response>> {
        self.zone.find(key, |names| key::variant(key, names, ex))
    }

    /// Tells the client what the cache had to say.
    pub(crate) fn say(&self, ex: &mut Exchange<'_>, status: &'static str) {
        ex.set_response_header(STATUS, HeaderValue::from_static(status));
        // For `header_filter`, which hides headers of responses that were not kept too.
        ex.state::<Turn>();
    }

    fn purge(&self, ex: &Exchange<'_>) -> Reply {
        let keys = [Method::GET, Method::POST]
            .map(|method| key::key(&self.key, ex, self.isolation, &method));
        // Both, whether the first was there or not.
        let purged = keys.map(|key| self.zone.purge(&key));
        match purged.contains(&true) {
            true => Reply::status(200),
            false => Reply::status(404),
        }
    }

    fn hit(&self, ex: &mut Exchange<'_>, response: &Response, body: Bytes) -> Reply {
        self.say(ex, "HIT");
        let request = &ex.session.req_header().headers;
        let unchanged =
            response.status == http::StatusCode::OK && entry::client_has(response, request);
        let mut reply = match unchanged {
            true => Reply::bytes(304, Bytes::new()),
            false => Reply::bytes(response.status.as_u16(), body),
        };
        let fields = response.headers.iter();
        reply.headers = fields
            .filter(|(name, _)| !unchanged || WITH_NOT_MODIFIED.contains(name))
            .cloned()
            .collect();
        let age = response
            .age
            .saturating_add(response.held(directives::now()));
        reply.header(header::AGE, HeaderValue::from(age))
    }
}

/// Whether a fresh response is what the client wishes for.
fn suits(response: &Response, wishes: Directives, now: i64) -> bool {
    let held = response.held(now);
    let left = response.ttl.as_secs().saturating_sub(held);
    wishes
        .max_age
        .is_none_or(|most| response.age.saturating_add(held) <= most)
        && wishes.min_fresh.is_none_or(|least| left >= least)
}
