//! `grpc-transcode`: turns requests with JSON, forms or arguments into calls of a gRPC service, and its answers into JSON.

mod answer;
mod config;
mod message;
mod service;
mod status;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::rewrite::form;
use answer::Manner;
use config::Id;
use crossway_sdk::{
    body::Gathered,
    flow::{Error, Flow},
    prelude::*,
    request::ResponseSource,
};
use http::{HeaderValue, Method, header};
use prost::Message;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::Map;

/// Bytes before each message: a flag and a length.
const PREFIX: usize = 5;

/// See the module.
pub struct GrpcTranscode {
    target: Bytes,
    input: MessageDescriptor,
    output: MessageDescriptor,
    details: Option<MessageDescriptor>,
    timeout: Option<HeaderValue>,
    manner: Manner,
    status_in_body: bool,
    most_in: usize,
    most_out: usize,
}

/// A call that was made of a request.
#[derive(Default)]
struct Call {
    made: bool,
    answer: Answer,
    body: Gathered,
}

/// What becomes of the answer's body.
#[derive(Default)]
enum Answer {
    /// It passes.
    #[default]
    Untouched,
    /// It is a message.
    Message,
    /// The call failed: this takes its place.
    Replaced(Bytes),
}

#[phases]
impl Plugin for GrpcTranscode {
    const NAME: &'static str = "grpc-transcode";
    const PRIORITY: i32 = 506;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let id = match config.proto_id {
            Id::Text(text) => text,
            Id::Number(number) => number.to_string(),
        };
        let document = cx
            .document("protos", &id)
            .ok_or_else(|| cx.error("/proto_id", format!("failed to find proto by id: {id}")))?;
        let content = document
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let pool = service::read(content)
            .map_err(|e| cx.error("/proto_id", format!("proto {id} cannot be read: {e}")))?;
        let (service, method) = (&config.service, &config.method);
        let described = pool
            .get_service_by_name(service)
            .ok_or_else(|| cx.error("/service", format!("proto {id} has no service {service}")))?;
        let found = described
            .methods()
            .find(|m| m.name() == method)
            .ok_or_else(|| {
                cx.error(
                    "/method",
                    format!("the service {service} has no method {method}"),
                )
            })?;
        let details = config.status_detail_type.as_deref().map(|name| {
            pool.get_message_by_name(name).ok_or_else(|| {
                cx.error(
                    "/status_detail_type",
                    format!("proto {id} has no message {name}"),
                )
            })
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the schema"
        )]
        let deadline = config.deadline.ceil() as u64;
        Ok(Self {
            target: format!("/{service}/{method}").into(),
            input: found.input(),
            output: found.output(),
            details: details.transpose()?,
            timeout: (deadline > 0)
                .then(|| HeaderValue::from_str(&format!("{deadline}m")))
                .transpose()
                .map_err(|e| cx.error("/deadline", e.to_string()))?,
            manner: Manner::of(&config.pb_option),
            status_in_body: config.show_status_in_body,
            most_in: config.max_req_body_size,
            most_out: config.max_resp_body_size,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(self.call(ex))
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        if ex.existing_state::<Call>().is_some() {
            // A gRPC server takes its absence for a proxy that loses trailers.
            head.insert_header("te", HeaderValue::from_static("trailers"))?;
        }
        Ok(())
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if !ex.existing_state::<Call>().is_some_and(|call| call.made) {
            return Ok(());
        }
        let of_upstream = ex.request.response.source == ResponseSource::Upstream;
        let call = ex.state::<Call>();
        call.answer = Answer::Untouched;
        if !of_upstream || head.status.as_u16() >= 300 {
            return Ok(());
        }
        head.insert_header("Content-Type", HeaderValue::from_static("application/json"))?;
        head.remove_header(&header::CONTENT_LENGTH);
        let failed = head.headers.get("grpc-status").map(HeaderValue::as_bytes);
        let Some(failed) = failed.filter(|status| *status != b"0") else {
            call.answer = Answer::Message;
            return Ok(());
        };
        let status = status::http(failed);
        head.set_status(status)?;
        let details = head.headers.get("grpc-status-details-bin");
        if let (true, Some(details)) = (self.status_in_body, details) {
            let shown = status::body(details.as_bytes(), self.details.as_ref(), self.manner);
            call.answer = Answer::Replaced(match shown {
                Ok(body) => body.to_string().into(),
                Err(why) => Bytes::from_static(why.as_bytes()),
            });
        }
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Call>().is_none() {
            return Ok(());
        }
        let call = ex.state::<Call>();
        match &mut call.answer {
            Answer::Untouched => {}
            Answer::Replaced(body) => *chunk = end.then(|| std::mem::take(body)),
            Answer::Message => {
                if let Some(body) = call.body.take(chunk, end, self.most_out)? {
                    *chunk = Some(self.decoded(&body));
                }
            }
        }
        Ok(())
    }
}

impl GrpcTranscode {
    async fn call(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let body = match ex.read_body(self.most_in).await {
            Ok(body) => body,
            Err(error) => return Ok(Flow::Respond(error.reply())),
        };
        let head = ex.session.req_header();
        let made = members(&head.method, head, ex.request.query(head), &body)
            .and_then(|members| message::encode(&self.input, &members));
        let message = match made {
            Ok(message) => message.encode_to_vec(),
            Err(why) => {
                let route = ex.request.route.as_ref().map_or("", |r| &*r.id);
                tracing::warn!(route, why, "a request cannot be transcoded to gRPC");
                return Ok(Flow::Respond(Reply::status(400)));
            }
        };
        let length = u32::try_from(message.len()).map_err(|e| Error::new(e.to_string()))?;
        ex.replace_body([&[0][..], &length.to_be_bytes(), &message].concat());
        ex.request.rewritten.target = Some(self.target.clone());
        ex.request.rewritten.method = Some(Method::POST);
        let head = ex.session.req_header_mut();
        head.insert_header("Content-Type", HeaderValue::from_static("application/grpc"))?;
        head.remove_header("grpc-timeout");
        if let Some(timeout) = &self.timeout {
            head.insert_header("grpc-timeout", timeout.clone())?;
        }
        ex.state::<Call>().made = true;
        Ok(Flow::Next)
    }

    /// The first message of the answer as JSON.
    fn decoded(&self, body: &Bytes) -> Bytes {
        let message = match body.split_at_checked(PREFIX) {
            // A call that ended without a message is answered with an empty one.
            None if body.is_empty() => Some(&b""[..]),
            Some(([0, length @ ..], rest)) => {
                let length = length
                    .try_into()
                    .map(u32::from_be_bytes)
                    .unwrap_or(u32::MAX);
                rest.get(..usize::try_from(length).unwrap_or(usize::MAX))
            }
            _ => None,
        };
        let decoded = message.and_then(|m| DynamicMessage::decode(self.output.clone(), m).ok());
        match decoded {
            Some(message) => self.manner.write(&message).to_string().into(),
            None => Bytes::from_static(b"failed to decode response data by protobuf"),
        }
    }
}

/// What a request says: JSON, a form, or the arguments of the query.
fn members(
    method: &Method,
    head: &RequestHeader,
    query: Option<&[u8]>,
    body: &Bytes,
) -> Result<Map<String, Value>, String> {
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let may_have_json =
        *method == Method::POST || *method == Method::PUT || *method == Method::PATCH;
    if may_have_json && content_type.contains("application/json") {
        return match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err("the body is no object".to_owned()),
            Err(error) => Err(format!("the body is not JSON: {error}")),
        };
    }
    let written: &[u8] = if *method == Method::POST {
        body
    } else {
        query.unwrap_or_default()
    };
    Ok(form::members(written))
}
