//! `proxy-mirror`: a copy of the request goes to another server. Nobody waits for it, and its answer is thrown away.

mod config;

#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use config::{Concat, Config};
use crossway_sdk::{
    client::{Client, ClientOptions},
    prelude::*,
};
use http::{HeaderMap, HeaderName, header};
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, sync::Semaphore};

/// The largest body that is copied, in bytes. A request with a larger one is not copied.
const LARGEST_BODY: usize = 1024 * 1024;

/// What copies under way may hold in memory, in KiB: over all places of use.
const BUDGET: usize = 64 * 1024;

/// What a copy takes of the budget besides its body, in KiB.
const OVERHEAD: usize = 16;

/// Of an answer so much is read before the connection is closed, in bytes.
const MOST_OF_ANSWER: usize = 64 * 1024;

/// Fields that belong to the client's connection.
const NOT_COPIED: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// See the module.
pub struct ProxyMirror {
    /// Scheme, host and port.
    server: Box<str>,
    path: Option<Box<str>>,
    prefix: bool,
    ratio: f64,
    timeout: Duration,
    client: Arc<Client>,
    budget: Arc<Budget>,
    runtime: Handle,
}

struct Budget(Arc<Semaphore>);

/// The copy of a request, while it is made.
#[derive(Default)]
struct Copy {
    /// `None` when the request is not copied, or was.
    target: Option<String>,
    head: Option<(http::Method, HeaderMap)>,
    body: Vec<Bytes>,
    length: usize,
}

#[phases]
impl Plugin for ProxyMirror {
    const NAME: &'static str = "proxy-mirror";
    const PRIORITY: i32 = 1010;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.host.starts_with("grpc") {
            return Err(cx.error(
                "/host",
                "requests of gRPC are not mirrored: expected http:// or https://",
            ));
        }
        let uri: http::Uri = config
            .host
            .parse()
            .map_err(|_| cx.error("/host", "expected an address such as http://host:port"))?;
        if uri.host().is_none_or(str::is_empty) {
            return Err(cx.error("/host", "expected an address such as http://host:port"));
        }
        let unusable = |c: char| c.is_ascii_control() || c == ' ' || c == '#';
        if config
            .path
            .as_deref()
            .is_some_and(|p| p.contains(unusable) || !p.is_ascii())
        {
            return Err(cx.error("/path", "expected a path without spaces and fragments"));
        }
        Ok(Self {
            server: config.host.into(),
            path: config.path.map(Into::into),
            prefix: config.path_concat_mode == Concat::Prefix,
            ratio: config.sample_ratio,
            timeout: config::timeout(cx.attribute()).map_err(|e| cx.error("", e))?,
            // As nginx does by default.
            client: Client::shared(cx, "/host", ClientOptions::verifying(false))?,
            budget: cx.shared("proxy-mirror", || Budget(Arc::new(Semaphore::new(BUDGET)))),
            runtime: cx.runtime(),
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let upgrades = ex
            .session
            .req_header()
            .headers
            .contains_key(header::UPGRADE);
        let chosen = self.ratio >= 1.0 || rand::random::<f64>() < self.ratio;
        if chosen && !upgrades {
            let target = self.target(ex);
            ex.state::<Copy>().target = target;
        }
        Step::next()
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        if ex
            .existing_state::<Copy>()
            .is_some_and(|copy| copy.target.is_some())
        {
            let mut headers = head.headers.clone();
            for name in NOT_COPIED {
                headers.remove(name);
            }
            let copy = ex.state::<Copy>();
            copy.head = Some((head.method.clone(), headers));
            // Another attempt begins the body anew.
            copy.body.clear();
            copy.length = 0;
        }
        Ok(())
    }

    fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex
            .existing_state::<Copy>()
            .is_none_or(|copy| copy.target.is_none())
        {
            return Ok(());
        }
        let copy = ex.state::<Copy>();
        if let Some(chunk) = chunk.as_ref().filter(|chunk| !chunk.is_empty()) {
            copy.length += chunk.len();
            if copy.length > LARGEST_BODY {
                tracing::debug!("a request is not mirrored: its body is too large");
                *copy = Copy::default();
                return Ok(());
            }
            copy.body.push(chunk.clone());
        }
        if end {
            let copy = std::mem::take(copy);
            self.send(copy);
        }
        Ok(())
    }
}

impl ProxyMirror {
    /// Where the copy goes; `None` when the client's target cannot be sent on.
    fn target(&self, ex: &Exchange<'_>) -> Option<String> {
        let target = ex.request.target(ex.session.req_header());
        let target = std::str::from_utf8(&target).ok()?;
        if !target.starts_with('/') {
            return None;
        }
        let query = target.split_once('?').map(|(_, query)| query);
        Some(match (&self.path, query) {
            (None, _) => format!("{}{target}", self.server),
            (Some(path), _) if self.prefix => format!("{}{path}{target}", self.server),
            (Some(path), Some(query)) => format!("{}{path}?{query}", self.server),
            (Some(path), None) => format!("{}{path}", self.server),
        })
    }

    fn send(&self, copy: Copy) {
        let (Some(target), Some((method, headers))) = (copy.target, copy.head) else {
            return;
        };
        let taken = u32::try_from(copy.length / 1024 + OVERHEAD).unwrap_or(u32::MAX);
        let Ok(permit) = self.budget.0.clone().try_acquire_many_owned(taken) else {
            tracing::debug!("a request is not mirrored: too many copies are under way");
            return;
        };
        let mut body = BytesMut::with_capacity(copy.length);
        for chunk in &copy.body {
            body.extend_from_slice(chunk);
        }
        let mut request = http::Request::new(body.freeze());
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        match target.parse() {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => {
                tracing::debug!(%error, "a request is not mirrored");
                return;
            }
        }
        let (client, timeout) = (self.client.clone(), self.timeout);
        self.runtime.spawn(async move {
            if let Err(error) = client.send(request, timeout, MOST_OF_ANSWER).await {
                tracing::debug!(%error, "the copy of a request got no answer");
            }
            drop(permit);
        });
    }
}
