//! `redirect`: answers with a `Location` in place of the upstream.

mod config;

#[cfg(test)]
mod tests;

use crate::{
    request_body,
    rewrite::{
        escape,
        substitution::{NoVariables, Substitution},
    },
};
use config::Config;
use crossway_sdk::{
    expr::{Pattern, Template},
    prelude::*,
};
use http::{HeaderName, HeaderValue, Method, header};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// See the module.
pub struct Redirect {
    goal: Goal,
    status: u16,
    encode: bool,
    append_query: bool,
}

/// Where requests are sent.
enum Goal {
    /// Nowhere: `http_to_https` is false.
    Nowhere,
    /// To a URI with variables.
    Text(Template),
    /// To what a substitution makes of the path.
    Regex(Substitution),
    /// To the same URI by https; a template with the port in it.
    Https(Template),
}

#[phases]
impl Plugin for Redirect {
    const NAME: &'static str = "redirect";
    const PRIORITY: i32 = 900;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let goal = match (&config.uri, &config.regex_uri, config.http_to_https) {
            (Some(uri), None, None) => {
                Goal::Text(Template::parse(uri).map_err(|e| cx.error("/uri", e.to_string()))?)
            }
            (None, Some(pair), None) => Goal::Regex(substitution(pair, cx)?),
            (None, None, Some(true)) if config.append_query_string => {
                let both =
                    "only one of `http_to_https` and `append_query_string` can be configured.";
                return Err(cx.error("/append_query_string", both));
            }
            (None, None, Some(true)) => {
                let port = https_port(cx)?.map_or(String::new(), |port| format!(":{port}"));
                let text = format!("https://${{host}}{port}${{request_uri}}");
                Goal::Https(Template::parse(&text).map_err(|e| cx.error("", e.to_string()))?)
            }
            (None, None, Some(false)) => Goal::Nowhere,
            _ => {
                let expected = "expected exactly one of uri, regex_uri and http_to_https";
                return Err(cx.error("", expected));
            }
        };
        Ok(Self {
            goal,
            status: config.ret_code,
            encode: config.encode_uri,
            append_query: config.append_query_string,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if matches!(&self.goal, Goal::Text(t) if t.needs_body()) && ex.request.body.is_none() {
            return Step::wait(async move {
                match request_body::read(ex).await {
                    Ok(()) => self.answer(ex),
                    Err(end) => end,
                }
            });
        }
        Step::Done(self.answer(ex))
    }
}

impl Redirect {
    fn answer(&self, ex: &Exchange<'_>) -> Result<Flow, Error> {
        let head = ex.session.req_header();
        let mut status = self.status;
        let mut uri = Vec::with_capacity(128);
        match &self.goal {
            Goal::Nowhere => return Ok(Flow::Next),
            Goal::Https(_) if !is_http(ex) => return Ok(Flow::Next),
            Goal::Https(template) => {
                template.render(ex, &mut uri);
                status = match head.method {
                    Method::GET | Method::HEAD => 301,
                    _ => 308,
                };
            }
            Goal::Text(template) => drop(template.render(ex, &mut uri)),
            Goal::Regex(substitution) => {
                let path = ex.request.path(head).as_bytes();
                let found = substitution.first(path, &NoVariables);
                match found.map_err(|e| Error::new(e.to_string()))? {
                    Some(found) => uri = found.text,
                    None => return Ok(Flow::Next),
                }
            }
        }
        let query = ex.request.query(head).filter(|_| self.append_query);
        let value = HeaderValue::from_maybe_shared(self.location(&uri, query))
            .map_err(|e| Error::new(e.to_string()))?;
        Ok(Flow::Respond(
            Reply::status(status).header(header::LOCATION, value),
        ))
    }

    /// The URI as it stands in the header, with nothing in it that could end the header.
    fn location(&self, uri: &[u8], query: Option<&[u8]>) -> Bytes {
        let at = uri.iter().position(|b| *b == b'?');
        let (path, own_query) = uri.split_at(at.unwrap_or(uri.len()));
        let mut location = Vec::with_capacity(uri.len() + 16);
        if self.encode {
            escape::path(path, &mut location);
        } else {
            escape::location(path, &mut location);
        }
        escape::location(own_query, &mut location);
        if let Some(query) = query.filter(|q| !q.is_empty()) {
            location.push(if at.is_some() { b'&' } else { b'?' });
            escape::location(query, &mut location);
        }
        location.into()
    }
}

/// Whether the client speaks http, by the word of the proxy before the gateway when there is one.
fn is_http(ex: &Exchange<'_>) -> bool {
    match ex.session.req_header().headers.get(X_FORWARDED_PROTO) {
        Some(proto) => proto == "http",
        None => !ex.request.tls,
    }
}

/// `plugin_attr.redirect.https_port`, else that of the gateway's own listener; the default port of https is left out.
fn https_port(cx: &BuildCx<'_>) -> Result<Option<u16>, BuildError> {
    let Some(port) = cx
        .attribute()
        .and_then(|a| a.get("https_port"))
        .filter(|p| !p.is_null())
    else {
        return Ok(cx.https_port().filter(|port| *port != 443));
    };
    match port.as_u64().and_then(|port| u16::try_from(port).ok()) {
        Some(443) => Ok(None),
        Some(port) if port > 0 => Ok(Some(port)),
        _ => Err(cx.error(
            "",
            "plugin_attr.redirect.https_port: expected a port from 1 to 65535",
        )),
    }
}

fn substitution(pair: &[String], cx: &BuildCx<'_>) -> Result<Substitution, BuildError> {
    let [regex, to] = pair else {
        return Err(cx.error(
            "/regex_uri",
            "expected a regular expression and a replacement",
        ));
    };
    let refused = |at: usize, why: String| {
        cx.error(
            format!("/regex_uri/{at}"),
            format!("invalid regex_uri ({regex}, {to}), err:{why}"),
        )
    };
    let pattern = Pattern::new(regex, false).map_err(|e| refused(0, e.to_string()))?;
    Substitution::new(pattern, to).map_err(|e| refused(1, e.to_string()))
}
