//! HTTP requests that plugins make themselves, over pools that places of use share.
//!
//! A [`Client`] does what is asked and nothing else: it follows no redirect, heeds no proxy of the environment, keeps no
//! cookie and unpacks no body. Every call has a time within which it ends and a size beyond which an answer is given up.

mod error;
mod proxy;
#[cfg(all(test, feature = "testing"))]
mod tests;

pub use error::CallError;
pub use proxy::{Proxies, Proxy};

use crate::{
    build::{BuildCx, BuildError},
    tls::TlsOptions,
};
use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// How a client connects. Places with equal options share one client and its pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientOptions {
    /// TLS of `https` targets.
    pub tls: TlsOptions,
    /// After so long an idle connection is closed; `None` closes none.
    pub idle_timeout: Option<Duration>,
    /// Idle connections that are kept for a host; 0 makes a connection for each call.
    pub idle_per_host: usize,
    /// Proxies on the way. Those of the environment are never heeded.
    pub proxies: Proxies,
}

impl Default for ClientOptions {
    /// Verified, and as APISIX's `keepalive_timeout` and `keepalive_pool` say: 60 s, 5 connections.
    fn default() -> Self {
        Self {
            tls: TlsOptions::default(),
            idle_timeout: Some(Duration::from_secs(60)),
            idle_per_host: 5,
            proxies: Proxies::default(),
        }
    }
}

impl ClientOptions {
    /// The default, with or without verification of certificates: the `ssl_verify` of APISIX.
    pub fn verifying(verify: bool) -> Self {
        let mut options = Self::default();
        options.tls.verify = verify;
        options
    }

    /// The name of the client in [`BuildCx::shared`]: the options, digested, for they may hold secrets.
    fn identity(&self) -> String {
        use std::hash::{BuildHasher as _, Hasher as _};
        // Two independent digests make 128 bits, under keys that nobody outside of the process knows.
        static KEYS: std::sync::OnceLock<[std::hash::RandomState; 2]> = std::sync::OnceLock::new();
        let keys = KEYS.get_or_init(Default::default);
        let digest = keys.each_ref().map(|key| {
            let mut hasher = key.build_hasher();
            std::hash::Hash::hash(self, &mut hasher);
            hasher.finish()
        });
        format!("{digest:x?}")
    }
}

/// A pool of connections.
pub struct Client {
    options: ClientOptions,
    pool: OnceCell<reqwest::Client>,
}

impl Client {
    /// The client with these options; the pool is made when the first request needs it.
    ///
    /// # Errors
    /// A certificate, a key or a proxy of the options cannot be used; the error is at `path`.
    pub fn shared(
        cx: &BuildCx<'_>,
        path: &str,
        options: ClientOptions,
    ) -> Result<Arc<Self>, BuildError> {
        options.tls.check(path)?;
        options.proxies.check(path)?;
        let identity = options.identity();
        Ok(cx.shared(&identity, || Self::new(options)))
    }

    /// A client of its own, for work that no configuration stands for.
    pub fn new(options: ClientOptions) -> Self {
        Self {
            options,
            pool: OnceCell::new(),
        }
    }

    /// Sends a request and reads the whole answer, whatever its status. The target is absolute: `http://…` or `https://…`.
    /// A dropped future gives the call up.
    ///
    /// # Errors
    /// Nothing of the kind came within `timeout`, or it has more than `max_body` bytes.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        max_body: usize,
    ) -> Result<Response<Bytes>, CallError> {
        tokio::time::timeout(timeout, self.exchange(request, max_body))
            .await
            .unwrap_or(Err(CallError::Timeout(timeout)))
    }

    async fn exchange(
        &self,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Result<Response<Bytes>, CallError> {
        let request = reqwest::Request::try_from(request).map_err(CallError::of)?;
        let pool = self.pool.get_or_try_init(|| self.make()).await?;
        let mut answer = pool.execute(request).await.map_err(CallError::of)?;
        let announced = answer.content_length().unwrap_or(0);
        if usize::try_from(announced).unwrap_or(usize::MAX) > max_body {
            return Err(CallError::TooLarge(max_body));
        }
        let mut body = BytesMut::new();
        while let Some(piece) = answer.chunk().await.map_err(CallError::of)? {
            if body.len() + piece.len() > max_body {
                return Err(CallError::TooLarge(max_body));
            }
            body.extend_from_slice(&piece);
        }
        let mut response = Response::new(body.freeze());
        *response.status_mut() = answer.status();
        *response.version_mut() = answer.version();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        Ok(response)
    }

    async fn make(&self) -> Result<reqwest::Client, CallError> {
        let options = self.options.clone();
        let tls = move || options.tls.client_config();
        let mut tls = tokio::task::spawn_blocking(tls)
            .await
            .map_err(|e| CallError::Setup(e.to_string()))?
            .map_err(|e| CallError::Setup(e.to_string()))?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(self.options.idle_timeout)
            .pool_max_idle_per_host(self.options.idle_per_host);
        let proxies = self.options.proxies.compiled();
        for proxy in proxies.map_err(|e| CallError::Setup(e.to_owned()))? {
            builder = builder.proxy(proxy);
        }
        builder
            .build()
            .map_err(|e| CallError::Setup(error::root(&e)))
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Reads the address of a service out of a configuration.
///
/// # Errors
/// It is not `http://host…` or `https://host…`; the error is at `path`.
pub fn target(path: &str, text: &str) -> Result<Uri, BuildError> {
    let refuse = || {
        let message = "expected an address such as https://host:port/path";
        BuildError::new(path, message)
    };
    let uri: Uri = text.parse().map_err(|_| refuse())?;
    let spoken = matches!(uri.scheme_str(), Some("http" | "https"));
    let named = uri.host().is_some_and(|host| !host.is_empty());
    match spoken && named {
        true => Ok(uri),
        false => Err(refuse()),
    }
}
