//! `mocking`: answers in place of the upstream, with an example or with a document made up for a JSON Schema.

mod config;
pub(crate) mod format;
mod sample;
#[cfg(test)]
mod tests;

pub use config::{Config, Scalar};

use crate::request_body;
use crossway_sdk::{expr::Template, flow::ReplyBody, prelude::*, schema::member};
use format::Format;
use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use sample::Sample;
use std::time::Duration;

const MOCK_BY: HeaderName = HeaderName::from_static("x-mock-by");

/// The plugin.
pub struct Mocking {
    delay: Option<Duration>,
    /// Status and the headers that are the same for all requests.
    reply: Reply,
    headers: Vec<(HeaderName, Template)>,
    body: Body,
    format: Format,
    /// Whether the answer depends on the body of the request.
    needs_body: bool,
}

enum Body {
    Fixed(Bytes),
    Example(Template),
    Sample(Sample),
}

#[phases]
impl Plugin for Mocking {
    const NAME: &'static str = "mocking";
    const PRIORITY: i32 = 10900;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let format = Format::of(&config.content_type)
            .ok_or_else(|| cx.error("/content_type", "unsupported content type!"))?;
        let content_type = HeaderValue::try_from(&*config.content_type)
            .map_err(|_| cx.error("/content_type", "expected text that can stand in a header"))?;
        let mut reply =
            Reply::bytes(config.response_status, Bytes::new()).header(CONTENT_TYPE, content_type);
        if config.with_mock_header {
            let by = concat!("Crossway/", env!("CARGO_PKG_VERSION"));
            reply = reply.header(MOCK_BY, HeaderValue::from_static(by));
        }
        let mut headers = Vec::new();
        for (name, value) in config.response_headers.into_iter().flatten() {
            match header(&name, value.into_text(), cx)? {
                Header::Fixed(name, value) => reply = reply.header(name, value),
                Header::Filled(name, template) => headers.push((name, template)),
            }
        }
        let body = match (config.response_example, config.response_schema) {
            (Some(example), _) => example_body(&example, cx)?,
            (None, Some(schema)) => sample_body(&schema, format, cx)?,
            (None, None) => {
                let message = "expected at least one of response_example and response_schema";
                return Err(cx.error("", message));
            }
        };
        let in_body = match &body {
            Body::Fixed(_) => false,
            Body::Example(template) => template.needs_body(),
            Body::Sample(sample) => sample.needs_body(),
        };
        Ok(Self {
            needs_body: in_body || headers.iter().any(|(_, template)| template.needs_body()),
            delay: (config.delay > 0).then(|| Duration::from_secs(config.delay.into())),
            reply,
            headers,
            body,
            format,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let reply = self.answer(ex);
                tokio::time::sleep(self.delay.unwrap_or_default()).await;
                Ok(Flow::Respond(reply))
            });
        }
        let reply = self.answer(ex);
        match self.delay {
            None => Step::respond(reply),
            Some(delay) => Step::wait(async move {
                tokio::time::sleep(delay).await;
                Ok(Flow::Respond(reply))
            }),
        }
    }
}

impl Mocking {
    fn answer(&self, ex: &Exchange<'_>) -> Reply {
        let mut reply = self.reply.clone();
        for (name, template) in &self.headers {
            let mut text = Vec::new();
            template.render(ex, &mut text);
            // What a client sends may hold a line break, which no header can; the answer then goes without this header.
            if let Ok(value) = HeaderValue::from_bytes(&text) {
                reply.headers.push((name.clone(), value));
            }
        }
        reply.body = ReplyBody::Bytes(match &self.body {
            Body::Fixed(bytes) => bytes.clone(),
            Body::Example(template) => {
                let mut text = Vec::new();
                let escape = |plain: &[u8], out: &mut Vec<u8>| self.format.escape(plain, out);
                template.render_escaped(ex, escape, &mut text);
                text.into()
            }
            Body::Sample(sample) => self.format.write(&sample.fill(ex)).into(),
        });
        reply
    }
}

enum Header {
    Fixed(HeaderName, HeaderValue),
    Filled(HeaderName, Template),
}

fn header(name: &str, value: String, cx: &BuildCx<'_>) -> Result<Header, BuildError> {
    let at = || member("/response_headers", name);
    let parsed = name
        .parse()
        .map_err(|_| cx.error(at(), "expected the name of a header"))?;
    let template = Template::parse(&value).map_err(|e| cx.error(at(), e.to_string()))?;
    match template.is_constant().map(HeaderValue::from_bytes) {
        Some(Ok(value)) => Ok(Header::Fixed(parsed, value)),
        Some(Err(_)) => Err(cx.error(at(), "expected text that can stand in a header")),
        None => Ok(Header::Filled(parsed, template)),
    }
}

fn example_body(example: &str, cx: &BuildCx<'_>) -> Result<Body, BuildError> {
    let template =
        Template::parse(example).map_err(|e| cx.error("/response_example", e.to_string()))?;
    Ok(match template.is_constant() {
        Some(text) => Body::Fixed(Bytes::copy_from_slice(text)),
        None => Body::Example(template),
    })
}

fn sample_body(
    schema: &serde_json::Map<String, Value>,
    format: Format,
    cx: &BuildCx<'_>,
) -> Result<Body, BuildError> {
    let path = "/response_schema";
    if format == Format::Html {
        let message = "a schema can be filled as JSON, XML or plain text, not as text/html";
        return Err(cx.error(path, message));
    }
    let sample = Sample::read(schema, path)?;
    if format == Format::Xml
        && let Some(name) = sample.names().find(|name| !format::is_element_name(name))
    {
        return Err(cx.error(path, format!("{name} cannot be the name of an XML element")));
    }
    Ok(Body::Sample(sample))
}
