//! Entries that leave by HTTP.

use super::json::excerpt;
use bytes::Bytes;
use crossway_sdk::{
    batch::SinkError,
    build::{BuildCx, BuildError},
    client::{self, Client, ClientOptions},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri},
};
use rand::seq::IndexedRandom as _;
use std::{sync::Arc, time::Duration};

/// More than a service that takes entries has to say, in bytes.
const MAX_ANSWER: usize = 1024 * 1024;

/// A service, at one or several addresses of which any will do.
pub(crate) struct Post {
    client: Arc<Client>,
    targets: Vec<Uri>,
    pub(crate) headers: HeaderMap,
    timeout: Duration,
}

impl Post {
    /// `targets` are addresses and the places where they stand in the configuration.
    ///
    /// # Errors
    /// An address is none.
    pub(crate) fn new<'t>(
        cx: &BuildCx<'_>,
        targets: impl IntoIterator<Item = (String, &'t str)>,
        options: ClientOptions,
        timeout: Duration,
    ) -> Result<Self, BuildError> {
        let targets = targets
            .into_iter()
            .map(|(path, target)| client::target(&path, target))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            client: Client::shared(cx, "", options)?,
            targets,
            headers: HeaderMap::new(),
            timeout,
        })
    }

    /// One of the addresses.
    pub(crate) fn target(&self) -> Option<&Uri> {
        self.targets.choose(&mut rand::rng())
    }

    /// Sends to one of the addresses, whatever the answer.
    ///
    /// # Errors
    /// There was no answer.
    pub(crate) async fn send(&self, body: Vec<u8>) -> Result<Response<Bytes>, SinkError> {
        let Some(target) = self.target() else {
            return Err(SinkError::new("there is no address to send to"));
        };
        self.exchange(Method::POST, target.clone(), self.headers.clone(), body)
            .await
    }

    /// Sends to `target`.
    ///
    /// # Errors
    /// There was no answer.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        target: Uri,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<Bytes>, SinkError> {
        let place = target.authority().map(ToString::to_string);
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = method;
        *request.uri_mut() = target;
        *request.headers_mut() = headers;
        let sent = self.client.send(request, self.timeout, MAX_ANSWER).await;
        sent.map_err(|error| {
            // Credentials before an `@` are not for the log.
            let place = place.unwrap_or_default();
            let place = place.rsplit('@').next().unwrap_or_default();
            SinkError::new(format!("{place}: {error}"))
        })
    }
}

/// What to do with an answer whose status says that the entries were not taken.
pub(crate) fn plain(answer: &Response<Bytes>, taken: bool) -> Result<(), SinkError> {
    match taken {
        true => Ok(()),
        false => Err(SinkError::new(format!(
            "the server answered {}: {}",
            answer.status().as_u16(),
            excerpt(answer.body())
        ))),
    }
}

/// The addresses of `endpoint_addr` or `endpoint_addrs`, each with its place in the configuration.
///
/// # Errors
/// There are both, or none.
pub(crate) fn endpoints(
    cx: &BuildCx<'_>,
    one: Option<String>,
    many: Option<Vec<String>>,
) -> Result<Vec<(String, String)>, BuildError> {
    match (one, many) {
        (Some(one), None) => Ok(vec![("/endpoint_addr".to_owned(), one)]),
        (None, Some(many)) => {
            let place = |(n, address)| (format!("/endpoint_addrs/{n}"), address);
            Ok(many.into_iter().enumerate().map(place).collect())
        }
        _ => Err(cx.error("", "expected either endpoint_addrs or endpoint_addr")),
    }
}

/// A header of the configuration, hidden from debug output.
///
/// # Errors
/// It cannot be sent; the error is at `path` and does not tell the value.
pub(crate) fn header(
    path: &str,
    name: &str,
    value: &str,
) -> Result<(HeaderName, HeaderValue), BuildError> {
    let refuse = |what: &str| BuildError::new(path, format!("expected {what} that can be sent"));
    let name = HeaderName::try_from(name).map_err(|_| refuse("the name of a header"))?;
    let mut value = HeaderValue::try_from(value).map_err(|_| refuse("the value of a header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}
