//! `batch-requests`: a client sends several requests in the body of one, and gets their responses in one.
//!
//! Each of them goes to the listener that the batch came in by, and is matched, authenticated and limited there like any
//! other. It speaks for the client of the batch, which only the gateway itself can say (`crossway_sdk::relay`).

mod batch;
mod config;

#[cfg(test)]
mod tests;

use batch::Batch;
use bytes::{Bytes, BytesMut};
use config::{Config, Metadata};
use crossway_sdk::{
    client::{CallError, Client, ClientOptions},
    endpoint::{Answer, Endpoint},
    expectation,
    prelude::*,
    relay,
};
use http::{Method, Request, Response};
use serde_json::{Map, json};
use std::{sync::Arc, time::Duration};

/// What all responses of a batch may have together, in bytes.
const MOST: usize = 64 * 1024 * 1024;

/// See the module.
pub struct BatchRequests;

#[phases]
impl Plugin for BatchRequests {
    const NAME: &'static str = "batch-requests";
    const PRIORITY: i32 = 4010;
    type Config = Config;

    fn build(_: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn metadata_schema() -> Option<Value> {
        Some(
            schemars::generate::SchemaSettings::draft07()
                .into_generator()
                .into_root_schema_for::<Metadata>()
                .to_value(),
        )
    }

    fn endpoints() -> Vec<Endpoint> {
        vec![Endpoint {
            method: Method::POST,
            path: "/apisix/batch-requests",
            // The certificate is the gateway's own, for names of its choice.
            answer: Arc::new(Pipeline(Client::new(ClientOptions::verifying(false)))),
        }]
    }
}

/// Runs batches.
struct Pipeline(Client);

impl Answer for Pipeline {
    fn answer<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            let reply = self.run(ex).await;
            Ok(Flow::Respond(reply.unwrap_or_else(|refusal| refusal)))
        })
    }
}

impl Pipeline {
    async fn run(&self, ex: &mut Exchange<'_>) -> Result<Reply, Reply> {
        if ex.request.relayed {
            return Err(Reply::error_msg(400, "a batch cannot hold another one"));
        }
        let metadata = match ex.request.configuration.metadata(BatchRequests::NAME) {
            Some(document) => Metadata::deserialize(document)
                .map_err(|e| Reply::error_msg(500, &format!("in the metadata: {e}")))?,
            None => Metadata::default(),
        };
        let body = read(ex, metadata.max_body_size).await?;
        if body.is_empty() {
            let message = "no request body, you should give at least one pipeline setting";
            return Err(Reply::error_msg(400, message));
        }
        let refuse = |message: String| Reply::error_msg(400, &message);
        let batch = Batch::read(&body, metadata.max_pipeline_items).map_err(refuse)?;
        let timeout = batch.timeout();
        let scheme = if ex.request.tls { "https" } else { "http" };
        let requests = batch
            .requests(scheme, ex.request.server, ex.session.req_header())
            .map_err(refuse)?;
        let Some(voucher) = relay::vouch(ex.request.client) else {
            return Err(Reply::status(500));
        };
        let mut answers = Vec::with_capacity(requests.len());
        let (mut left, mut late) = (MOST, false);
        for mut request in requests {
            if late {
                // As in a pipeline: behind a response that does not come there are no others.
                answers.push(failed(504, "upstream timeout"));
                continue;
            }
            request.headers_mut().insert(relay::HEADER, voucher.clone());
            let (answer, length) = self.one(request, timeout, left).await;
            late = answer.get("status") == Some(&json!(504)) && length == 0;
            left = left.saturating_sub(length);
            answers.push(answer);
        }
        Ok(Reply::json(200, &Value::Array(answers)))
    }

    /// The response to one request as JSON, and how long its body is.
    async fn one(&self, request: Request<Bytes>, timeout: Duration, most: usize) -> (Value, usize) {
        match self.0.send(request, timeout, most).await {
            Ok(response) => (described(&response), response.body().len()),
            Err(CallError::Timeout(_)) => (failed(504, "upstream timeout"), 0),
            Err(CallError::TooLarge(_)) => (failed(502, "response too large"), 0),
            Err(error) => {
                tracing::warn!(%error, "a request of a batch failed");
                (failed(502, "request failed"), 0)
            }
        }
    }
}

fn failed(status: u16, reason: &str) -> Value {
    json!({ "status": status, "reason": reason })
}

/// A response as APISIX describes it. A field that stands there several times is a list.
fn described(response: &Response<Bytes>) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in response.headers() {
        let text = Value::from(String::from_utf8_lossy(value.as_bytes()));
        match headers.get_mut(name.as_str()) {
            None => drop(headers.insert(name.as_str().to_owned(), text)),
            Some(Value::Array(all)) => all.push(text),
            Some(first) => *first = json!([first.take(), text]),
        }
    }
    let status = response.status();
    let mut described = json!({
        "status": status.as_u16(),
        "reason": status.canonical_reason().unwrap_or(""),
        "headers": headers,
    });
    if !response.body().is_empty() {
        described["body"] = Value::from(String::from_utf8_lossy(response.body()));
    }
    described
}

/// The body of the batch. It goes nowhere else, so that it may be larger than one that is sent on.
async fn read(ex: &mut Exchange<'_>, most: usize) -> Result<Bytes, Reply> {
    let too_large = || {
        let message = format!("the request body is larger than {most} bytes");
        Reply::error_msg(413, &message)
    };
    if let Some(body) = &ex.request.body {
        return match body.len() > most {
            true => Err(too_large()),
            false => Ok(body.clone()),
        };
    }
    let gone = |_| Reply::status(400);
    expectation::meet(ex.session).await.map_err(gone)?;
    let mut body = BytesMut::new();
    while let Some(chunk) = ex.session.read_request_body().await.map_err(gone)? {
        if body.len() + chunk.len() > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    let body = body.freeze();
    ex.request.body = Some(body.clone());
    Ok(body)
}
