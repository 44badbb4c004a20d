//! `grpc-web`: lets browsers call gRPC services. A request in gRPC-Web, binary or as text, becomes one in gRPC; the trailers of
//! the answer become the last frame of its body, for browsers cannot read trailers.

mod config;
#[cfg(test)]
mod tests;
mod text;

pub use config::Config;

use crate::rewrite::escape;
use crossway_sdk::{
    flow::{Error, Flow},
    prelude::*,
    request::ResponseSource,
};
use http::{HeaderMap, HeaderValue, Method, header};

/// What is said of an answer without a status.
const NO_STATUS: &[u8] = b"upstream grpc status not received";

/// See the module.
pub struct GrpcWeb {
    allow_headers: HeaderValue,
    limit: usize,
}

/// A call that was translated.
#[derive(Default)]
struct Call {
    /// Media type of the request, which the answer gets too; `None` for what is no call.
    media_type: Option<HeaderValue>,
    text: bool,
    /// Whether the answer is translated back.
    answered: bool,
    /// Whether the head of the answer has the status already: no frame follows.
    trailers_only: bool,
}

#[phases]
impl Plugin for GrpcWeb {
    const NAME: &'static str = "grpc-web";
    const PRIORITY: i32 = 505;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let allow_headers = HeaderValue::from_str(&config.cors_allow_headers)
            .map_err(|_| cx.error("/cors_allow_headers", "expected names of headers"))?;
        Ok(Self {
            allow_headers,
            limit: config.max_req_body_size,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let head = ex.session.req_header();
        if head.method == Method::OPTIONS {
            return Step::respond(Reply::status(204));
        }
        if head.method != Method::POST {
            return Step::respond(Reply::status(405));
        }
        let media_type = head.headers.get(header::CONTENT_TYPE);
        let text = match media_type.map(HeaderValue::as_bytes) {
            Some(b"application/grpc-web" | b"application/grpc-web+proto") => false,
            Some(b"application/grpc-web-text" | b"application/grpc-web-text+proto") => true,
            _ => return Step::respond(Reply::status(400)),
        };
        let call = Call {
            media_type: media_type.cloned(),
            text,
            ..Call::default()
        };
        Step::wait(self.translate(ex, call))
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        if ex.existing_state::<Call>().is_some() {
            // A gRPC server takes its absence for a proxy that loses trailers.
            head.insert_header("te", HeaderValue::from_static("trailers"))?;
        }
        Ok(())
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if ex.session.req_header().method == Method::OPTIONS {
            head.insert_header("Access-Control-Allow-Methods", "POST")?;
            head.insert_header("Access-Control-Allow-Headers", self.allow_headers.clone())?;
        }
        if !head
            .headers
            .contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN)
        {
            head.insert_header("Access-Control-Allow-Origin", "*")?;
        }
        head.insert_header("Access-Control-Expose-Headers", "grpc-message,grpc-status")?;
        if ex.existing_state::<Call>().is_none() {
            return Ok(());
        }
        let of_upstream = ex.request.response.source == ResponseSource::Upstream;
        let call = ex.state::<Call>();
        call.answered = of_upstream && is_grpc(&head.headers);
        if !call.answered {
            return Ok(());
        }
        call.trailers_only = head.headers.contains_key("grpc-status");
        if let Some(media_type) = &call.media_type {
            head.insert_header("Content-Type", media_type.clone())?;
        }
        head.remove_header(&header::CONTENT_LENGTH);
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        let Some(call) = ex.existing_state::<Call>().filter(|call| call.answered) else {
            return Ok(());
        };
        let frame = match end && !call.trailers_only {
            true => trailer(ex.request.response_trailers.as_ref()),
            false => Vec::new(),
        };
        if call.text {
            let piece = chunk.take().unwrap_or_default();
            let written = text::encode(&piece) + text::encode(&frame).as_str();
            *chunk = Some(Bytes::from(written));
        } else if !frame.is_empty() {
            let piece = chunk.take().unwrap_or_default();
            *chunk = Some(Bytes::from([&*piece, &*frame].concat()));
        }
        Ok(())
    }
}

impl GrpcWeb {
    async fn translate(&self, ex: &mut Exchange<'_>, call: Call) -> Result<Flow, Error> {
        let body = match ex.read_body(self.limit).await {
            Ok(body) => body,
            Err(error) => return Ok(Flow::Respond(error.reply())),
        };
        let body = match call.text {
            false => body,
            true => match text::decode(&body) {
                Some(decoded) => Bytes::from(decoded),
                None => return Ok(Flow::Respond(Reply::status(400))),
            },
        };
        if let Some(target) = target(ex.request, ex.session.req_header()) {
            ex.request.rewritten.target = Some(target);
        }
        ex.replace_body(body);
        let head = ex.session.req_header_mut();
        head.insert_header("Content-Type", HeaderValue::from_static("application/grpc"))?;
        *ex.state::<Call>() = call;
        Ok(Flow::Next)
    }
}

/// The path of the method: what the wildcard at the end of the route's path stands for.
fn target(request: &Request, head: &RequestHeader) -> Option<Bytes> {
    let params = request.path_params.iter();
    let (_, rest) = params.into_iter().find(|(name, _)| **name == *":ext")?;
    if rest.is_empty() {
        return None;
    }
    let mut target = Vec::with_capacity(rest.len() + 1);
    if !rest.starts_with('/') {
        target.push(b'/');
    }
    escape::path(rest.as_bytes(), &mut target);
    if let Some(query) = request.query(head) {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    Some(target.into())
}

fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The frame that stands for the trailers: a flag, the length, the fields.
fn trailer(trailers: Option<&HeaderMap>) -> Vec<u8> {
    let field = |name| {
        trailers
            .and_then(|t| t.get(name))
            .map(HeaderValue::as_bytes)
    };
    let status = field("grpc-status").filter(|status| !status.is_empty());
    let (status, message) = match status {
        Some(status) => (status, field("grpc-message").unwrap_or_default()),
        None => (&b"2"[..], NO_STATUS),
    };
    let fields = [
        b"grpc-status:",
        status,
        b"\r\ngrpc-message:",
        message,
        b"\r\n",
    ]
    .concat();
    let length = u32::try_from(fields.len()).unwrap_or(u32::MAX);
    [&[0x80][..], &length.to_be_bytes(), &fields].concat()
}
