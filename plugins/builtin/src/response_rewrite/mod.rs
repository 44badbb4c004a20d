//! `response-rewrite`: another status, other headers, another body for the client. It works on the upstream's responses
//! and on the gateway's own.

mod config;
mod encoding;

#[cfg(test)]
mod tests;

use crate::rewrite::{
    headers::{self, Edits, Text},
    substitution::Substitution,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use config::{Config, Filter, Headers, Scope};
use crossway_sdk::{
    expr::{Expression, Lookup, Pattern, Value as Answer, Variable},
    prelude::*,
    request::ResponseSource,
};
use encoding::Encoding;
use http::{HeaderValue, Method, StatusCode, header};

/// See the module.
pub struct ResponseRewrite {
    status: Option<StatusCode>,
    headers: Edits,
    body: Option<Bytes>,
    filters: Box<[(Substitution, Scope)]>,
    vars: Option<Expression>,
    most: u64,
}

/// What happens to the body of a response.
#[derive(Default)]
enum Work {
    /// It passes.
    #[default]
    Nothing,
    /// The configured body takes its place.
    Replace,
    /// The rest of it, or all, is left out.
    Drop,
    /// It is collected for the filters.
    Collect { body: BytesMut, encoding: Encoding },
}

/// The response in the header filter, beside the request.
struct Answered<'a, 's> {
    ex: &'a Exchange<'s>,
    head: &'a ResponseHeader,
}

impl Lookup for Answered<'_, '_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Answer<'a>> {
        match variable {
            Variable::Status => Some(Answer::Integer(self.head.status.as_u16().into())),
            Variable::SentHeader(name) => self
                .head
                .headers
                .get(name)
                .map(|value| Answer::text(value.as_bytes())),
            _ => self.ex.lookup(variable),
        }
    }
}

#[phases]
impl Plugin for ResponseRewrite {
    const NAME: &'static str = "response-rewrite";
    const PRIORITY: i32 = 899;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.body.is_some() && config.filters.is_some() {
            return Err(cx.error("/filters", "body and filters cannot be used together"));
        }
        let status = config.status_code.map(|code| {
            StatusCode::from_u16(code).map_err(|_| cx.error("/status_code", "not a status"))
        });
        let vars = config.vars.as_ref().map(|vars| {
            Expression::parse(vars).map_err(|e| {
                cx.error(
                    "/vars",
                    format!("failed to validate the 'vars' expression: {e}"),
                )
            })
        });
        let filters = config.filters.iter().flatten().enumerate();
        Ok(Self {
            status: status.transpose()?,
            headers: edits(&config.headers)?,
            body: body(&config, cx)?,
            filters: filters
                .map(|(i, f)| filter(i, f, cx))
                .collect::<Result<_, _>>()?,
            vars: vars.transpose()?,
            most: config.max_resp_body_size,
        })
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        let mut work = Work::Nothing;
        let applies = self
            .vars
            .as_ref()
            .is_none_or(|vars| vars.matches(&Answered { ex, head }));
        // A connection that changes its protocol has neither status nor body to be changed.
        if applies && head.status != StatusCode::SWITCHING_PROTOCOLS {
            let empty = ends_with_head(ex, head);
            if let Some(status) = self.status {
                head.set_status(status)?;
            }
            work = self.prepare(ex, head, empty)?;
        }
        // An earlier head of this request, e.g. that of an answer which an error page takes the place of, counts no more.
        if !matches!(work, Work::Nothing) || ex.existing_state::<Work>().is_some() {
            *ex.state::<Work>() = work;
        }
        if !applies {
            return Ok(());
        }
        self.edit(ex, head)
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        if ex.existing_state::<Work>().is_none() {
            return Ok(());
        }
        let work = ex.state::<Work>();
        match work {
            Work::Nothing => {}
            Work::Drop => *chunk = None,
            Work::Replace => {
                chunk.clone_from(&self.body);
                *work = Work::Drop;
            }
            Work::Collect { body, encoding } => {
                let piece = chunk.take().unwrap_or_default();
                if (body.len() + piece.len()) as u64 > self.most {
                    let most = self.most;
                    return Err(Error::new(format!(
                        "the response body is larger than {most} bytes"
                    )));
                }
                if !end {
                    body.extend_from_slice(&piece);
                    return Ok(());
                }
                let whole = match body.is_empty() {
                    true => piece,
                    false => {
                        body.extend_from_slice(&piece);
                        std::mem::take(body).freeze()
                    }
                };
                let encoding = *encoding;
                *work = Work::Drop;
                *chunk = Some(self.filtered(whole, encoding)?);
            }
        }
        Ok(())
    }
}

impl ResponseRewrite {
    /// Makes the head fit for another body, and says what is to be done with the one that comes.
    fn prepare(
        &self,
        ex: &Exchange<'_>,
        head: &mut ResponseHeader,
        empty: bool,
    ) -> Result<Work, Error> {
        if self.body.is_some() {
            clear(head);
        }
        if is_bodiless(head.status) {
            if self.status.is_some() {
                head.remove_header(&header::CONTENT_LENGTH);
                head.remove_header(&header::TRANSFER_ENCODING);
            }
            return Ok(Work::Drop);
        }
        // The gateway does not send a body after a head that ended the upstream's response.
        if empty {
            head.remove_header(&header::TRANSFER_ENCODING);
            head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(0))?;
            return Ok(Work::Drop);
        }
        let to_head = ex.session.req_header().method == Method::HEAD;
        if let Some(body) = &self.body {
            head.remove_header(&header::TRANSFER_ENCODING);
            head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
            return Ok(if to_head { Work::Drop } else { Work::Replace });
        }
        if self.filters.is_empty() {
            return Ok(Work::Nothing);
        }
        let encoding = match Encoding::of(&head.headers) {
            Ok(encoding) => encoding,
            Err(unsupported) => {
                let (route, encoding) = (
                    ex.request.route.as_ref().map_or("", |r| &*r.id),
                    unsupported.0,
                );
                tracing::warn!(
                    route,
                    encoding,
                    "response-rewrite cannot filter bodies in this encoding"
                );
                return Ok(Work::Nothing);
            }
        };
        clear(head);
        Ok(if to_head {
            Work::Drop
        } else {
            Work::Collect {
                body: BytesMut::new(),
                encoding,
            }
        })
    }

    fn edit(&self, ex: &Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        for (name, text) in &self.headers.add {
            if let Some(value) = text.render(&Answered { ex, head }, &[]) {
                head.append_header(name.spelling.clone(), value)?;
            }
        }
        for (name, text) in &self.headers.set {
            match text.render(&Answered { ex, head }, &[]) {
                Some(value) => head.insert_header(name.spelling.clone(), value)?,
                None => drop(head.remove_header(&name.name)),
            }
        }
        for name in &self.headers.remove {
            head.remove_header(&name.name);
        }
        Ok(())
    }

    fn filtered(&self, body: Bytes, encoding: Encoding) -> Result<Bytes, Error> {
        let failed = |e: &dyn std::fmt::Display| Error::new(e.to_string());
        let mut body = encoding.decode(body, self.most).map_err(|e| failed(&e))?;
        for (substitution, scope) in &self.filters {
            let replaced = substitution.replace(&body, *scope == Scope::Global);
            if let std::borrow::Cow::Owned(text) = replaced.map_err(|e| failed(&e))? {
                body = text.into();
            }
        }
        Ok(body)
    }
}

/// Takes away what was true of the body that came only.
pub(crate) fn clear(head: &mut ResponseHeader) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::LAST_MODIFIED,
        header::ETAG,
    ] {
        head.remove_header(&name);
    }
}

/// Statuses that have no body (RFC 9110 §6.4.1).
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Whether the upstream's response ends with its head by its status, whatever the client is told.
fn ends_with_head(ex: &Exchange<'_>, head: &ResponseHeader) -> bool {
    ex.request.response.source == ResponseSource::Upstream && is_bodiless(head.status)
}

fn body(config: &Config, cx: &BuildCx<'_>) -> Result<Option<Bytes>, BuildError> {
    match &config.body {
        Some(text) if config.body_base64 && !text.is_empty() => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(_) => Err(cx.error("/body", "invalid base64 content")),
        },
        _ if config.body_base64 => Err(cx.error("/body", "invalid base64 content")),
        Some(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        None => Ok(None),
    }
}

fn filter(
    index: usize,
    config: &Filter,
    cx: &BuildCx<'_>,
) -> Result<(Substitution, Scope), BuildError> {
    let path = |field: &str| format!("/filters/{index}/{field}");
    let mut flags = String::new();
    let mut ignore_case = false;
    for option in config.options.chars() {
        match option {
            'i' => ignore_case = true,
            's' | 'm' | 'x' => flags.push(option),
            'j' | 'o' | 'u' | 'U' | 'd' | 'J' => {}
            _ => {
                let expected = format!("unknown option {option:?}: expected letters of ismxjouUdJ");
                return Err(cx.error(path("options"), expected));
            }
        }
    }
    let regex = &config.regex;
    let flagged = if flags.is_empty() {
        regex.clone()
    } else {
        format!("(?{flags}){regex}")
    };
    let pattern = Pattern::new(&flagged, ignore_case).map_err(|e| {
        cx.error(
            path("regex"),
            format!("regex \"{regex}\" validation failed: {e}"),
        )
    })?;
    let substitution = Substitution::new(pattern, &config.replace)
        .map_err(|e| cx.error(path("replace"), e.to_string()))?;
    Ok((substitution, config.scope))
}

fn edits(config: &Option<Headers>) -> Result<Edits, BuildError> {
    let config = match config {
        None => return Ok(Edits::default()),
        Some(Headers::Set(map)) => {
            let set = headers::compile(map, false, "/headers")?;
            return Ok(Edits {
                set,
                ..Edits::default()
            });
        }
        Some(Headers::Edits(config)) => config,
    };
    let add = config
        .add
        .iter()
        .flatten()
        .enumerate()
        .map(|(index, line)| {
            let path = format!("/headers/add/{index}");
            let Some((name, value)) = line.split_once(':') else {
                return Err(BuildError::new(path, "expected \"name: value\""));
            };
            Ok((
                headers::name(name.trim(), &path)?,
                Text::compile(value.trim(), false, &path)?,
            ))
        });
    let remove = config.remove.iter().flatten().enumerate();
    let remove = remove.map(|(i, name)| headers::name(name, &format!("/headers/remove/{i}")));
    Ok(Edits {
        add: add.collect::<Result<_, _>>()?,
        set: match &config.set {
            Some(map) => headers::compile(map, false, "/headers/set")?,
            None => Vec::new(),
        },
        remove: remove.collect::<Result<_, _>>()?,
    })
}
