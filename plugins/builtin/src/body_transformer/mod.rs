//! `body-transformer`: makes another body of a request's or a response's, by a template.

mod config;
mod input;
mod template;
#[cfg(test)]
mod tests;
mod xml;

pub use config::Config;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use config::{Format, Transform};
use crossway_sdk::{
    body::Gathered,
    flow::{Error, Flow},
    prelude::*,
};
use http::{HeaderValue, Method, header};
use std::sync::Arc;
use template::{Scope, Template};

/// As OpenResty reads base64: padding may be missing.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// See the module.
pub struct BodyTransformer {
    request: Option<Direction>,
    response: Option<Direction>,
    most_in: usize,
    most_out: usize,
}

/// What becomes of the bodies of one direction.
struct Direction {
    format: Option<Format>,
    /// As it is written.
    plain: Arc<Template>,
    /// As it reads when it is taken for base64.
    decoded: Arc<Template>,
}

/// The response in the making.
#[derive(Default)]
struct Work {
    active: bool,
    format: Option<Format>,
    content_type: Bytes,
    body: Gathered,
}

/// A body that could not be made.
struct Failed {
    status: u16,
    message: String,
}

#[phases]
impl Plugin for BodyTransformer {
    const NAME: &'static str = "body-transformer";
    const PRIORITY: i32 = 1080;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.request.is_none() && config.response.is_none() {
            return Err(cx.error("", "expected request or response, or both"));
        }
        let direction = |written: &Option<Transform>, path: &str| {
            written
                .as_ref()
                .map(|t| Direction::new(t, path, cx))
                .transpose()
        };
        Ok(Self {
            request: direction(&config.request, "/request")?,
            response: direction(&config.response, "/response")?,
            most_in: config.max_req_body_size,
            most_out: config.max_resp_body_size,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match &self.request {
            Some(direction) => Step::wait(self.transform_request(direction, ex)),
            None => Step::next(),
        }
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        let Some(direction) = &self.response else {
            return Ok(());
        };
        let switching = head.status == http::StatusCode::SWITCHING_PROTOCOLS;
        let bodiless = matches!(head.status.as_u16(), 204 | 304)
            || ex.session.req_header().method == Method::HEAD;
        if switching {
            return Ok(());
        }
        for name in [
            header::CONTENT_LENGTH,
            header::CONTENT_ENCODING,
            header::LAST_MODIFIED,
            header::ETAG,
        ] {
            head.remove_header(&name);
        }
        let content_type = head.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.map(HeaderValue::as_bytes).unwrap_or_default();
        *ex.state::<Work>() = Work {
            active: !bodiless,
            format: direction.format.or_else(|| input::detect(content_type)),
            content_type: Bytes::copy_from_slice(content_type),
            body: Gathered::default(),
        };
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        let Some(direction) = &self.response else {
            return Ok(());
        };
        if !ex.existing_state::<Work>().is_some_and(|work| work.active) {
            return Ok(());
        }
        let work = ex.state::<Work>();
        let Some(body) = work.body.take(chunk, end, self.most_out)? else {
            return Ok(());
        };
        let format = work.format;
        let content_type = std::mem::take(&mut work.content_type);
        let made = direction.transform(ex, Some(&body), format, &content_type, "response");
        *chunk = Some(match made {
            Ok(made) => made,
            Err(failed) => {
                let route = ex.request.route.as_ref().map_or("", |r| &*r.id);
                let why = failed.message;
                tracing::error!(
                    route,
                    why,
                    "body-transformer left a response body as it was"
                );
                body
            }
        });
        Ok(())
    }
}

impl BodyTransformer {
    async fn transform_request(
        &self,
        direction: &Direction,
        ex: &mut Exchange<'_>,
    ) -> Result<Flow, Error> {
        let body = match ex.read_body(self.most_in).await {
            Ok(body) => body,
            Err(error) => return Ok(Flow::Respond(error.reply())),
        };
        let head = ex.session.req_header();
        let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
        let content_type = content_type
            .as_ref()
            .map(HeaderValue::as_bytes)
            .unwrap_or_default();
        let get = head.method == Method::GET;
        let format = match get {
            true => Some(Format::Args),
            false => direction.format.or_else(|| input::detect(content_type)),
        };
        let body = (!body.is_empty()).then_some(&body);
        match direction.transform(ex, body, format, content_type, "request") {
            Ok(made) => ex.replace_body(made),
            Err(Failed { status, message }) => {
                return Ok(Flow::Respond(Reply::message(status, &message)));
            }
        }
        Ok(Flow::Next)
    }
}

impl Direction {
    fn new(config: &Transform, path: &str, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let parse = |text: &str| {
            Template::parse(text)
                .map(Arc::new)
                .map_err(|e| cx.error(format!("{path}/template"), format!("template: {e}")))
        };
        let written = &config.template;
        let decoded = BASE64.decode(written).ok();
        let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        let decoded = decoded.as_deref().map(parse).transpose()?;
        let plain = match &decoded {
            Some(decoded) if config.template_is_base64 => decoded.clone(),
            _ => parse(written)?,
        };
        Ok(Self {
            format: config.input_format,
            decoded: decoded.unwrap_or_else(|| plain.clone()),
            plain,
        })
    }

    fn transform(
        &self,
        ex: &Exchange<'_>,
        body: Option<&Bytes>,
        format: Option<Format>,
        content_type: &[u8],
        of: &str,
    ) -> Result<Bytes, Failed> {
        let head = ex.session.req_header();
        let empty = Bytes::new();
        let data = match format {
            Some(format) if body.is_some() || format == Format::Args => {
                let query = ex.request.query(head);
                let body = body.unwrap_or(&empty);
                input::decode(format, body, query, content_type).map_err(|why| Failed {
                    status: 400,
                    message: format!("{of} body decode: {why}"),
                })?
            }
            _ => Value::Null,
        };
        let template = match format {
            Some(Format::Encoded | Format::Args) | None => &self.plain,
            Some(_) => &self.decoded,
        };
        let scope = Scope {
            data: &data,
            body: body.map(|body| &**body),
            variables: ex,
        };
        template
            .render(&scope)
            .map(Bytes::from)
            .map_err(|why| Failed {
                status: 503,
                message: format!("{of} template rendering: {why}"),
            })
    }
}
