//! `cors`: answers every OPTIONS request before anything else decides, and tells browsers which origins may read what.
//! It decides what a browser may show to a page; it keeps no request from the upstream.

mod config;
mod origins;
#[cfg(test)]
mod tests;

pub use config::{Config, Metadata};

use crossway_sdk::prelude::*;
use http::{
    HeaderValue, Method,
    header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY},
};
use origins::{Allowed, Origins};

const EVERY_METHOD: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

/// The plugin.
pub struct Cors {
    /// Asked in this order; the first that allows answers.
    origins: Vec<Origins>,
    timing: Option<Origins>,
    /// Headers that are the same for all allowed origins.
    fixed: Vec<(&'static str, HeaderValue)>,
    /// `None` echoes what the browser asks for.
    headers: Option<HeaderValue>,
    /// Whether the response depends on the request's origin.
    varies: bool,
    options: Reply,
}

/// The client's origin, kept because a later plugin may change the request's header.
#[derive(Default)]
struct Asked(Option<HeaderValue>);

#[phases]
impl Plugin for Cors {
    const NAME: &'static str = "cors";
    const PRIORITY: i32 = 4000;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.allow_credential {
            check_credential(&config, cx)?;
        }
        let origins = allowed_origins(&config, cx)?;
        let timing = timing_origins(&config, cx)?;
        let depends = |origins: &Origins| !matches!(origins, Origins::All);
        Ok(Self {
            varies: origins.iter().any(depends) || timing.as_ref().is_some_and(depends),
            origins,
            timing,
            fixed: fixed_headers(&config, cx)?,
            headers: match &*config.allow_headers {
                "**" => None,
                list => Some(value(list, "/allow_headers", cx)?),
            },
            options: Reply::bytes(200, Bytes::new()),
        })
    }

    fn metadata_schema() -> Option<Value> {
        let settings = schemars::generate::SchemaSettings::draft07();
        let schema = settings.into_generator().into_root_schema_for::<Metadata>();
        Some(schema.to_value())
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let head = ex.session.req_header();
        let is_options = head.method == Method::OPTIONS;
        if let Some(origin) = origin_of(&head.headers).cloned() {
            ex.state::<Asked>().0 = Some(origin);
        }
        if is_options {
            Step::respond(self.options.clone())
        } else {
            Step::next()
        }
    }

    fn header_filter(
        &self,
        ex: &mut Exchange<'_>,
        head: &mut ResponseHeader,
    ) -> Result<(), crossway_sdk::flow::Error> {
        let request = &ex.session.req_header().headers;
        // Without a state the request was answered before `rewrite`, or had no origin.
        let asked = ex.existing_state::<Asked>().and_then(|a| a.0.as_ref());
        let origin = asked.or_else(|| origin_of(request));
        if self.varies {
            vary(head)?;
        }
        if let Some(allowed) = self.origins.iter().find_map(|o| o.allow(origin)) {
            self.tell(allowed, request, head)?;
        }
        if let Some(allowed) = self.timing.as_ref().and_then(|t| t.allow(origin)) {
            head.insert_header("Timing-Allow-Origin", allowed.value())?;
        }
        Ok(())
    }
}

impl Cors {
    fn tell(
        &self,
        allowed: Allowed<'_>,
        request: &http::HeaderMap,
        head: &mut ResponseHeader,
    ) -> Result<(), crossway_sdk::flow::Error> {
        head.insert_header("Access-Control-Allow-Origin", allowed.value())?;
        for (name, value) in &self.fixed {
            head.insert_header(*name, value.clone())?;
        }
        let asked = || request.get(ACCESS_CONTROL_REQUEST_HEADERS);
        match self.headers.as_ref().or_else(asked) {
            Some(headers) => head.insert_header("Access-Control-Allow-Headers", headers.clone())?,
            None => drop(head.remove_header(&ACCESS_CONTROL_ALLOW_HEADERS)),
        }
        Ok(())
    }
}

/// The origin that asks. Several `Origin` headers are none: no browser sends them.
fn origin_of(headers: &http::HeaderMap) -> Option<&HeaderValue> {
    let mut values = headers.get_all(ORIGIN).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// Adds `Vary: Origin` unless it is there.
fn vary(head: &mut ResponseHeader) -> Result<(), crossway_sdk::flow::Error> {
    let mut tokens = head
        .headers
        .get_all(VARY)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|b| *b == b','));
    if !tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"origin")) {
        head.append_header("Vary", HeaderValue::from_static("Origin"))?;
    }
    Ok(())
}

fn check_credential(config: &Config, cx: &BuildCx<'_>) -> Result<(), BuildError> {
    let all = Some("*");
    let open = config.allow_origins == "*"
        || config.allow_methods == "*"
        || config.allow_headers == "*"
        || config.expose_headers.as_deref() == all
        || config.timing_allow_origins.as_deref() == all;
    if open {
        let message = "you can not set '*' for other option when 'allow_credential' is true";
        return Err(cx.error("/allow_credential", message));
    }
    Ok(())
}

/// The lists that decide. Expressions take the place of `allow_origins`. Metadata takes the place of an `allow_origins` that
/// is `*`, which it may have by default, and stands beside anything else.
fn allowed_origins(config: &Config, cx: &BuildCx<'_>) -> Result<Vec<Origins>, BuildError> {
    let mut origins = Vec::new();
    let own = match &config.allow_origins_by_regex {
        Some(patterns) => matching(patterns, "/allow_origins_by_regex", cx)?,
        None => Origins::parse(&config.allow_origins),
    };
    let Some(names) = &config.allow_origins_by_metadata else {
        return Ok(vec![own]);
    };
    let metadata: Metadata = match cx.metadata() {
        Some(document) => {
            Metadata::deserialize(document).map_err(|e| cx.error("", e.to_string()))?
        }
        None => Metadata::default(),
    };
    for written in names
        .iter()
        .filter_map(|name| metadata.allow_origins.get(name))
    {
        origins.push(match Origins::parse(written) {
            // From metadata the answer is always the origin that asks.
            Origins::All => Origins::Echo,
            listed => listed,
        });
    }
    if !matches!(own, Origins::All) {
        origins.push(own);
    }
    Ok(origins)
}

fn timing_origins(config: &Config, cx: &BuildCx<'_>) -> Result<Option<Origins>, BuildError> {
    match &config.timing_allow_origins_by_regex {
        Some(patterns) => matching(patterns, "/timing_allow_origins_by_regex", cx).map(Some),
        None => Ok(config.timing_allow_origins.as_deref().map(Origins::parse)),
    }
}

fn matching(patterns: &[String], path: &str, cx: &BuildCx<'_>) -> Result<Origins, BuildError> {
    Origins::matching(patterns)
        .map_err(|(at, error)| cx.error(format!("{path}/{at}"), error.to_string()))
}

fn fixed_headers(
    config: &Config,
    cx: &BuildCx<'_>,
) -> Result<Vec<(&'static str, HeaderValue)>, BuildError> {
    let methods = match &*config.allow_methods {
        "**" => EVERY_METHOD,
        methods => methods,
    };
    let mut fixed = vec![
        (
            "Access-Control-Allow-Methods",
            value(methods, "/allow_methods", cx)?,
        ),
        ("Access-Control-Max-Age", HeaderValue::from(config.max_age)),
    ];
    if let Some(expose) = config.expose_headers.as_deref().filter(|e| !e.is_empty()) {
        fixed.push((
            "Access-Control-Expose-Headers",
            value(expose, "/expose_headers", cx)?,
        ));
    }
    if config.allow_credential {
        fixed.push((
            "Access-Control-Allow-Credentials",
            HeaderValue::from_static("true"),
        ));
    }
    Ok(fixed)
}

fn value(text: &str, path: &str, cx: &BuildCx<'_>) -> Result<HeaderValue, BuildError> {
    text.parse()
        .map_err(|_| cx.error(path, "expected text that can stand in a header"))
}
