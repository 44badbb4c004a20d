//! `opa`: asks Open Policy Agent whether a request may pass.

mod config;
mod decision;
mod input;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::remote::{self, Connections, MOST};
use crossway_sdk::{
    client::{Client, ClientOptions, target},
    prelude::*,
};
use decision::Decision;
use http::{HeaderName, HeaderValue, Method, Request as Call, Uri, header};
use serde_json::Map;
use std::{sync::Arc, time::Duration};

/// The plugin.
pub struct Opa {
    client: Arc<Client>,
    uri: Uri,
    timeout: Duration,
    with: OpaInput,
    send_upstream: Vec<HeaderName>,
}

/// Which documents a policy gets beside the request.
#[derive(Debug, Clone, Copy)]
struct OpaInput {
    route: bool,
    service: bool,
    consumer: bool,
}

#[phases]
impl Plugin for Opa {
    const NAME: &'static str = "opa";
    const PRIORITY: i32 = 2001;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        target("/host", &config.host)?;
        let endpoint = format!("{}/v1/data/{}", config.host, config.policy);
        let uri = target("/policy", &endpoint)?;
        if uri.query().is_some() {
            return Err(cx.error("/policy", "expected a path without a query"));
        }
        let connections = Connections {
            ssl_verify: config.ssl_verify,
            keepalive: config.keepalive,
            keepalive_timeout: config.keepalive_timeout,
            keepalive_pool: config.keepalive_pool,
        };
        let send_upstream = remote::names(&config.send_headers_upstream, "/send_headers_upstream")?;
        Ok(Self {
            client: Client::shared(cx, "/host", ClientOptions::from(connections))?,
            uri,
            timeout: Duration::from_millis(config.timeout),
            with: OpaInput {
                route: config.with_route,
                service: config.with_service,
                consumer: config.with_consumer,
            },
            send_upstream,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            let mut call = Call::new(Bytes::from(input::of(ex, self.with).to_string()));
            *call.method_mut() = Method::POST;
            *call.uri_mut() = self.uri.clone();
            let json = HeaderValue::from_static("application/json");
            call.headers_mut().insert(header::CONTENT_TYPE, json);
            let answer = match self.client.send(call, self.timeout, MOST).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(%error, "Open Policy Agent cannot be asked");
                    return Ok(Flow::Respond(Reply::status(403)));
                }
            };
            match decision::read(answer.body()) {
                Ok(decision) if decision.allow => self.pass(ex, decision),
                Ok(decision) => Ok(Flow::Respond(refusal(decision))),
                Err(error) => {
                    let status = answer.status().as_u16();
                    tracing::error!(%error, status, "Open Policy Agent gave no decision");
                    Ok(Flow::Respond(Reply::status(503)))
                }
            }
        })
    }
}

impl Opa {
    fn pass(&self, ex: &mut Exchange<'_>, decision: Decision) -> Result<Flow, Error> {
        let said: Map<_, _> = decision.headers.unwrap_or_default();
        let head = ex.session.req_header_mut();
        for name in &self.send_upstream {
            let named = said.iter().find(|(said, _)| name == said.as_str());
            let values = named.and_then(|(_, value)| decision::values(value));
            remote::put(head, name, values.into_iter().flatten())?;
        }
        Ok(Flow::Next)
    }
}

/// The answer that a policy wants the client to get.
fn refusal(decision: Decision) -> Reply {
    let status = decision.status_code.unwrap_or(403);
    let mut reply = match decision.reason {
        None | Some(Value::Null) => Reply::status(status),
        Some(Value::String(text)) => Reply::bytes(status, text),
        Some(document) => Reply::bytes(status, document.to_string()),
    };
    for (name, value) in decision.headers.iter().flatten() {
        let name = remote::name(name, "").ok();
        match (name, decision::values(value)) {
            (Some(name), Some(values)) => {
                reply
                    .headers
                    .extend(values.into_iter().map(|v| (name.clone(), v)));
            }
            _ => tracing::warn!("a header of a decision cannot be sent"),
        }
    }
    reply
}
