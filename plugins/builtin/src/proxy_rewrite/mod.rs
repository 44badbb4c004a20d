//! `proxy-rewrite`: another path, method, host or headers for the upstream than the client sent.

mod config;
mod target;

#[cfg(test)]
mod tests;

use crate::{
    request_body,
    rewrite::{
        headers::{self, Edits},
        substitution::Substitution,
    },
};
use config::{Config, Headers};
use crossway_sdk::{
    expr::{Pattern, Template},
    prelude::*,
};
use http::{HeaderValue, Method};
use target::Source;

/// See the module.
pub struct ProxyRewrite {
    source: Source,
    raw: bool,
    method: Option<Method>,
    host: Option<HeaderValue>,
    headers: Edits,
    needs_body: bool,
}

#[phases]
impl Plugin for ProxyRewrite {
    const NAME: &'static str = "proxy-rewrite";
    const PRIORITY: i32 = 1008;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let source = match (&config.uri, &config.regex_uri) {
            (Some(uri), _) => {
                Source::Text(Template::parse(uri).map_err(|e| cx.error("/uri", e.to_string()))?)
            }
            (None, Some(pairs)) => Source::Regex(substitutions(pairs, cx)?),
            (None, None) => Source::Client,
        };
        // Also judged when `uri` wins, so that nothing wrong stays unseen.
        if let Some(pairs) = &config.regex_uri {
            substitutions(pairs, cx)?;
        }
        let method = config.method.map(|name| {
            Method::from_bytes(name.as_str().as_bytes())
                .map_err(|_| cx.error("/method", "not a method"))
        });
        let host = config
            .host
            .as_deref()
            .map(|host| HeaderValue::from_str(host).map_err(|_| cx.error("/host", "not a host")));
        let headers = edits(&config.headers)?;
        Ok(Self {
            needs_body: source.needs_body() || headers.needs_body(),
            source,
            raw: config.use_real_request_uri_unsafe,
            method: method.transpose()?,
            host: host.transpose()?,
            headers,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                match request_body::read(ex).await {
                    Ok(()) => self.apply(ex),
                    Err(end) => end,
                }
            });
        }
        Step::Done(self.apply(ex))
    }
}

impl ProxyRewrite {
    fn apply(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let found = self
            .source
            .target(ex, self.raw)
            .map_err(|e| Error::new(e.to_string()))?;
        if found.target.is_some() {
            ex.request.rewritten.target = found.target;
        }
        if let Some(host) = &self.host {
            ex.request.rewritten.host = Some(host.clone());
        }
        if let Some(method) = &self.method {
            ex.request.rewritten.method = Some(method.clone());
        }
        let groups: Vec<&[u8]> = found.groups.iter().map(Vec::as_slice).collect();
        for (name, text) in &self.headers.add {
            if let Some(value) = text.render(ex, &groups) {
                let head = ex.session.req_header_mut();
                head.append_header(name.spelling.clone(), value)?;
            }
        }
        for (name, text) in &self.headers.set {
            let value = text.render(ex, &groups);
            let head = ex.session.req_header_mut();
            match value {
                Some(value) => head.insert_header(name.spelling.clone(), value)?,
                None => drop(head.remove_header(&name.name)),
            }
        }
        for name in &self.headers.remove {
            ex.session.req_header_mut().remove_header(&name.name);
        }
        Ok(Flow::Next)
    }
}

fn substitutions(pairs: &[String], cx: &BuildCx<'_>) -> Result<Box<[Substitution]>, BuildError> {
    let mut list = Vec::new();
    for (index, pair) in pairs.chunks(2).enumerate() {
        let [regex, to] = pair else {
            let expected = "The length of regex_uri should be an even number";
            return Err(cx.error("/regex_uri", expected));
        };
        let refused = |at: usize, why: String| {
            cx.error(
                format!("/regex_uri/{at}"),
                format!("invalid regex_uri({regex}, {to}): {why}"),
            )
        };
        let pattern = Pattern::new(regex, false).map_err(|e| refused(2 * index, e.to_string()))?;
        list.push(
            Substitution::with_variables(pattern, to)
                .map_err(|e| refused(2 * index + 1, e.to_string()))?,
        );
    }
    Ok(list.into())
}

fn edits(config: &Option<Headers>) -> Result<Edits, BuildError> {
    let config = match config {
        None => return Ok(Edits::default()),
        Some(Headers::Set(map)) => {
            return Ok(Edits {
                set: headers::compile(map, true, "/headers")?,
                ..Edits::default()
            });
        }
        Some(Headers::Edits(config)) => config,
    };
    let map = |map: &Option<headers::WrittenMap>, path| match map {
        Some(map) => headers::compile(map, true, path),
        None => Ok(Vec::new()),
    };
    let remove = config.remove.iter().flatten().enumerate();
    let remove = remove.map(|(i, name)| headers::name(name, &format!("/headers/remove/{i}")));
    Ok(Edits {
        add: map(&config.add, "/headers/add")?,
        set: map(&config.set, "/headers/set")?,
        remove: remove.collect::<Result<_, _>>()?,
    })
}
