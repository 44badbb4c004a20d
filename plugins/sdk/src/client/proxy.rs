//! Proxies between a client and its targets.

use crate::build::BuildError;
use http::HeaderValue;
use std::{fmt, sync::Arc};

/// Proxies that a client goes through: `http` targets are asked for in the absolute form, to `https` targets a tunnel is made
/// (CONNECT), so that TLS is with the target itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Proxies {
    /// For `http` targets.
    pub http: Option<Proxy>,
    /// For `https` targets.
    pub https: Option<Proxy>,
    /// Targets that are reached directly, separated by commas: a name stands for itself and all below it, an address or a network
    /// such as `10.0.0.0/8` for itself, `*` for all.
    pub except: Option<Arc<str>>,
}

/// One proxy.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// `http://host:port` or `https://host:port`.
    pub address: Arc<str>,
    /// What it gets as `Proxy-Authorization`.
    pub authorization: Option<Arc<str>>,
}

/// The address may hold a password too.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proxy")
    }
}

impl Proxies {
    /// Judges the texts.
    ///
    /// # Errors
    /// What is wrong, at `path`.
    pub fn check(&self, path: &str) -> Result<(), BuildError> {
        self.compiled()
            .map(drop)
            .map_err(|message| BuildError::new(path, message))
    }

    /// As the pool takes them.
    pub(super) fn compiled(&self) -> Result<Vec<reqwest::Proxy>, &'static str> {
        let one = |proxy: &Proxy, https: bool| {
            super::target("", &proxy.address)
                .map_err(|_| "expected proxies such as http://host:port")?;
            let address = &*proxy.address;
            let made = match https {
                true => reqwest::Proxy::https(address),
                false => reqwest::Proxy::http(address),
            };
            let made = made.map_err(|_| "expected proxies such as http://host:port")?;
            let except = self.except.as_deref();
            let made = made.no_proxy(except.and_then(reqwest::NoProxy::from_string));
            let Some(authorization) = &proxy.authorization else {
                return Ok(made);
            };
            let mut value = HeaderValue::try_from(&**authorization)
                .map_err(|_| "expected an authorization that can stand in a header")?;
            value.set_sensitive(true);
            Ok(made.custom_http_auth(value))
        };
        let http = self.http.iter().map(|proxy| one(proxy, false));
        let https = self.https.iter().map(|proxy| one(proxy, true));
        http.chain(https).collect()
    }
}
