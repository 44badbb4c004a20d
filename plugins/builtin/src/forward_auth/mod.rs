//! `forward-auth`: asks a service whether a request may pass.
//!
//! The service's request is made anew: no field that frames the client's message or belongs to its connection is in it, so that
//! client, gateway and service cannot differ about where it ends.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Config, Method};

use crate::{
    remote::{self, Connections, MOST},
    request_body,
    rewrite::headers::Text,
};
use crossway_sdk::{
    client::{CallError, Client, ClientOptions, target},
    flow::ReplyBody,
    prelude::*,
    schema::member,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request as Call, Response, Uri, header};
use std::{sync::Arc, time::Duration};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The plugin.
pub struct ForwardAuth {
    client: Arc<Client>,
    uri: Uri,
    timeout: Duration,
    /// The largest body that the service gets; `None`: it gets none.
    body: Option<usize>,
    request_headers: Vec<HeaderName>,
    upstream_headers: Vec<HeaderName>,
    client_headers: Vec<HeaderName>,
    extra_headers: Vec<(HeaderName, Text)>,
    needs_body: bool,
    degrade: bool,
    status_on_error: u16,
}

#[phases]
impl Plugin for ForwardAuth {
    const NAME: &'static str = "forward-auth";
    const PRIORITY: i32 = 2002;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let connections = Connections {
            ssl_verify: config.ssl_verify,
            keepalive: config.keepalive,
            keepalive_timeout: config.keepalive_timeout,
            keepalive_pool: config.keepalive_pool,
        };
        let options = ClientOptions::from(connections);
        let extra = config.extra_headers.iter().flatten();
        let extra_headers = extra
            .map(|(name, value)| {
                let path = member("/extra_headers", name);
                Ok((
                    remote::name(name, &path)?,
                    Text::compile(value, false, &path)?,
                ))
            })
            .collect::<Result<Vec<_>, BuildError>>()?;
        let limit = usize::try_from(config.max_req_body_size).unwrap_or(usize::MAX);
        let upstream_headers = remote::names(&config.upstream_headers, "/upstream_headers")?;
        if let Some(i) = upstream_headers
            .iter()
            .position(|name| name == header::HOST)
        {
            let message =
                "Host of the upstream's request is for proxy-rewrite and pass_host to say";
            return Err(cx.error(format!("/upstream_headers/{i}"), message));
        }
        Ok(Self {
            client: Client::shared(cx, "/uri", options)?,
            uri: target("/uri", &config.uri)?,
            timeout: Duration::from_millis(config.timeout),
            body: (config.request_method == Method::Post).then_some(limit),
            request_headers: remote::names(&config.request_headers, "/request_headers")?,
            upstream_headers,
            client_headers: remote::names(&config.client_headers, "/client_headers")?,
            needs_body: extra_headers.iter().any(|(_, text)| text.needs_body()),
            extra_headers,
            degrade: config.allow_degradation,
            status_on_error: config.status_on_error,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            let body = match self.body {
                Some(limit) => match ex.read_body(limit).await {
                    Ok(body) => body,
                    Err(error) => return Ok(Flow::Respond(error.reply())),
                },
                None => Bytes::new(),
            };
            if self.needs_body
                && ex.request.body.is_none()
                && let Err(end) = request_body::read(ex).await
            {
                return end;
            }
            let call = self.call(ex, body)?;
            let answer = self.client.send(call, self.timeout, MOST).await;
            self.conclude(ex, answer)
        })
    }
}

impl ForwardAuth {
    /// What the service is asked.
    fn call(&self, ex: &Exchange<'_>, body: Bytes) -> Result<Call<Bytes>, Error> {
        let head = ex.session.req_header();
        let mut headers = HeaderMap::new();
        let mut say = |name, value: Result<HeaderValue, _>| {
            let value =
                value.map_err(|e: http::header::InvalidHeaderValue| Error(e.to_string()))?;
            headers.insert(name, value);
            Ok::<_, Error>(())
        };
        let scheme = if ex.request.tls { "https" } else { "http" };
        say(X_FORWARDED_PROTO, Ok(HeaderValue::from_static(scheme)))?;
        say(
            X_FORWARDED_METHOD,
            HeaderValue::from_str(head.method.as_str()),
        )?;
        say(X_FORWARDED_HOST, HeaderValue::from_str(&ex.request.host))?;
        say(
            X_FORWARDED_URI,
            HeaderValue::from_bytes(&ex.request.target(head)),
        )?;
        let client = ex.request.client.ip().to_string();
        say(X_FORWARDED_FOR, HeaderValue::from_str(&client))?;
        for (name, text) in &self.extra_headers {
            match text.render(ex, &[][..]) {
                Some(value) => drop(headers.insert(name.clone(), value)),
                None => drop(headers.remove(name)),
            }
        }
        let of_client = self.body.map(|_| &header::CONTENT_ENCODING);
        for name in of_client.into_iter().chain(&self.request_headers) {
            // What the gateway says, a client cannot replace.
            if !headers.contains_key(name) {
                for value in head.headers.get_all(name) {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        let mut call = Call::new(body);
        *call.uri_mut() = self.uri.clone();
        *call.method_mut() = match self.body {
            Some(_) => http::Method::POST,
            None => http::Method::GET,
        };
        *call.headers_mut() = headers;
        Ok(call)
    }

    fn conclude(
        &self,
        ex: &mut Exchange<'_>,
        answer: Result<Response<Bytes>, CallError>,
    ) -> Result<Flow, Error> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "the authorization service cannot be asked");
                if !self.degrade {
                    return Ok(Flow::Respond(Reply::status(self.status_on_error)));
                }
                // Nobody vouches for what the client wrote there.
                self.tell_upstream(ex, &HeaderMap::new())?;
                return Ok(Flow::Next);
            }
        };
        if answer.status().as_u16() < 300 {
            self.tell_upstream(ex, answer.headers())?;
            return Ok(Flow::Next);
        }
        let mut reply = Reply::status(answer.status().as_u16());
        for name in &self.client_headers {
            let values = answer.headers().get_all(name);
            reply
                .headers
                .extend(values.iter().map(|v| (name.clone(), v.clone())));
        }
        reply.body = ReplyBody::Bytes(answer.into_body());
        Ok(Flow::Respond(reply))
    }

    fn tell_upstream(&self, ex: &mut Exchange<'_>, said: &HeaderMap) -> Result<(), Error> {
        let head = ex.session.req_header_mut();
        for name in &self.upstream_headers {
            remote::put(head, name, said.get_all(name).iter().cloned())?;
        }
        Ok(())
    }
}
