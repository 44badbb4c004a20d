//! From a request that is over to its entry.

use super::{
    bodies::Bodies,
    config::{BodyConfig, FormatConfig, Metadata},
    entry::Entry,
    format::{Format, Source},
    json::{Line, line},
};
use bytes::Bytes;
use crossway_sdk::{
    build::{BuildCx, BuildError},
    exchange::Exchange,
    expr::Expression,
    route::RouteInfo,
    stream::StreamSession,
};
use serde::{Deserialize as _, Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};

/// Makes entries. A logger hands it the pieces of bodies as they pass, and asks for the entry in the end.
pub(crate) struct Recorder {
    /// In place of the default entry.
    format: Option<Format>,
    /// Beside the default entry.
    extra: Option<Format>,
    request_body: Wanted,
    response_body: Wanted,
    /// Id of the route in the entry of a request that none took.
    unmatched: Option<&'static str>,
    /// Some condition or field looks into the request body, whether or not it is to be in the entry.
    looks_into_body: bool,
}

/// Whether a body is wanted.
struct Wanted {
    included: bool,
    condition: Option<Expression>,
    limit: usize,
}

/// A part of the entry for those that make their own out of it.
pub(crate) struct Part<'a> {
    pub(crate) ex: &'a Exchange<'a>,
    recorder: &'a Recorder,
    request_body: Option<&'a [u8]>,
    response_body: Option<&'a [u8]>,
}

impl Recorder {
    /// From the attributes, and the metadata where they are silent.
    ///
    /// # Errors
    /// A format or an expression is not valid.
    pub(crate) fn new(
        cx: &BuildCx<'_>,
        config: &FormatConfig,
        bodies: &BodyConfig,
    ) -> Result<Self, BuildError> {
        let metadata = match cx.metadata() {
            Some(metadata) => formats(metadata)?,
            None => Metadata::default(),
        };
        let format = chosen(&config.log_format, &metadata.log_format, "/log_format")?;
        let extra = match format {
            Some(_) => None,
            None => chosen(
                &config.log_format_extra,
                &metadata.log_format_extra,
                "/log_format_extra",
            )?,
        };
        let all = || format.iter().chain(&extra);
        let request_body = Wanted {
            included: bodies.include_req_body,
            condition: expression(
                bodies.include_req_body_expr.as_deref(),
                "/include_req_body_expr",
            )?,
            limit: bodies.max_req_body_bytes,
        };
        let response_body = Wanted {
            included: bodies.include_resp_body || all().any(Format::needs_response_body),
            condition: expression(
                bodies.include_resp_body_expr.as_deref(),
                "/include_resp_body_expr",
            )?,
            limit: bodies.max_resp_body_bytes,
        };
        let conditions = [&request_body.condition, &response_body.condition];
        let looks_into_body = all().any(Format::needs_request_body)
            || conditions.into_iter().flatten().any(Expression::needs_body);
        Ok(Self {
            format,
            extra,
            request_body,
            response_body,
            unmatched: None,
            looks_into_body,
        })
    }

    /// Says `no-matched` where a request has no route, as some loggers of APISIX do.
    pub(crate) fn naming_unmatched(self) -> Self {
        Self {
            unmatched: Some("no-matched"),
            ..self
        }
    }

    /// A piece of the request body.
    pub(crate) fn request_body(&self, ex: &mut Exchange<'_>, piece: Option<&Bytes>, end: bool) {
        if self.request_body.included || self.looks_into_body {
            let limit = self.request_body.limit;
            ex.state::<Bodies>().request.add(piece, end, limit);
        }
    }

    /// A piece of the response body.
    pub(crate) fn response_body(&self, ex: &mut Exchange<'_>, piece: Option<&Bytes>, end: bool) {
        if !self.response_body.included {
            return;
        }
        let known = ex
            .existing_state::<Bodies>()
            .and_then(|b| b.response_wanted);
        let wanted = match (known, &self.response_body.condition) {
            (Some(wanted), _) => wanted,
            (None, None) => true,
            (None, Some(condition)) => {
                self.lend_body(ex);
                condition.matches(ex)
            }
        };
        let limit = self.response_body.limit;
        let bodies = ex.state::<Bodies>();
        bodies.response_wanted = Some(wanted);
        if wanted {
            bodies.response.add(piece, end, limit);
        }
    }

    /// What passed whole can be looked into by variables of the body.
    fn lend_body(&self, ex: &mut Exchange<'_>) {
        if self.looks_into_body && ex.request.body.is_none() {
            ex.request.body = ex.existing_state::<Bodies>().and_then(|b| b.request.body());
        }
    }

    /// The entry of a request that is over, as JSON.
    pub(crate) fn entry(&self, ex: &mut Exchange<'_>) -> Line {
        self.with(ex, |part| line(&part))
    }

    /// The entry of a stream session that is over, as JSON. There is no default entry of a session: `None` without
    /// `log_format`, as in APISIX.
    pub(crate) fn session(&self, session: &StreamSession) -> Option<Line> {
        let entry = Customized {
            format: self.format.as_ref()?,
            source: Source {
                from: session,
                request_body: None,
                response_body: None,
            },
            route: session.route.as_deref(),
            unmatched: self.unmatched,
        };
        Some(line(&entry))
    }

    /// As [`Self::entry`], in a form of the caller's.
    pub(crate) fn with<R>(&self, ex: &mut Exchange<'_>, make: impl FnOnce(Part<'_>) -> R) -> R {
        self.lend_body(ex);
        let ex = &*ex;
        let nothing = Bodies::default();
        let bodies = ex.existing_state::<Bodies>().unwrap_or(&nothing);
        let included = self.request_body.included || self.looks_into_body;
        let condition = &self.request_body.condition;
        let wanted = included && condition.as_ref().is_none_or(|c| c.matches(ex));
        // A body that somebody read whole before did not pass piece by piece.
        let read = || ex.request.body.as_deref().filter(|body| !body.is_empty());
        let request_body = match (&ex.request.masked_body, wanted) {
            (_, false) => None,
            // What a plugin hid is not shown, however it passed.
            (Some(masked), true) => Some(&**masked).filter(|body| !body.is_empty()),
            (None, true) => bodies.request.text().or_else(read),
        };
        let limit = self.request_body.limit;
        make(Part {
            ex,
            recorder: self,
            request_body: request_body.map(|body| body.get(..limit).unwrap_or(body)),
            response_body: bodies.response.text(),
        })
    }
}

impl<'a> Part<'a> {
    /// Whether the entry has a format of its own.
    pub(crate) fn customized(&self) -> bool {
        self.recorder.format.is_some()
    }

    /// Writes the fields of `log_format_extra` but those that `taken` names.
    pub(crate) fn extra<S: Serializer>(
        &self,
        taken: &[&str],
        to: &mut S::SerializeMap,
    ) -> Result<(), S::Error> {
        match &self.recorder.extra {
            Some(extra) => extra.write::<S>(self.source(), taken, to),
            None => Ok(()),
        }
    }

    /// The request body, where it is wanted.
    pub(crate) fn request_body(&self) -> Option<&'a [u8]> {
        self.request_body
    }

    fn source(&self) -> Source<'_> {
        Source {
            from: self.ex,
            request_body: self.request_body,
            response_body: self.response_body,
        }
    }
}

impl Serialize for Part<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Some(format) = &self.recorder.format else {
            let included = self.recorder.request_body.included;
            let entry = Entry {
                ex: self.ex,
                request_body: self.request_body.filter(|_| included),
                response_body: self.response_body,
                extra: self.recorder.extra.as_ref(),
                unmatched: self.recorder.unmatched,
            };
            return entry.serialize(to);
        };
        let entry = Customized {
            format,
            source: self.source(),
            route: self.ex.request.route.as_deref(),
            unmatched: self.recorder.unmatched,
        };
        entry.serialize(to)
    }
}

/// An entry with a format of its own: the fields of the format, and whose request or session it is.
struct Customized<'a> {
    format: &'a Format,
    source: Source<'a>,
    route: Option<&'a RouteInfo>,
    unmatched: Option<&'static str>,
}

impl Serialize for Customized<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (format, source) = (self.format, self.source);
        let mut object = to.serialize_map(None)?;
        let Some(route) = self.route else {
            format.write::<S>(source, &[], &mut object)?;
            if let Some(name) = self.unmatched.filter(|_| !format.has("route_id")) {
                object.serialize_entry("route_id", name)?;
            }
            return object.end();
        };
        format.write::<S>(source, &["route_id", "service_id"], &mut object)?;
        if let Some(service) = &route.service_id {
            object.serialize_entry("service_id", &**service)?;
        }
        object.serialize_entry("route_id", &*route.id)?;
        object.end()
    }
}

/// The formats in a metadata document, whatever else it holds.
fn formats(metadata: &Value) -> Result<Metadata, BuildError> {
    let mut known = Map::new();
    for name in ["log_format", "log_format_extra"] {
        if let Some(format) = metadata.get(name) {
            known.insert(name.to_owned(), format.clone());
        }
    }
    Metadata::deserialize(Value::Object(known))
        .map_err(|e| BuildError::new("", format!("plugin metadata: {e}")))
}

/// An empty format counts as none.
fn chosen(
    own: &Option<Map<String, Value>>,
    metadata: &Option<Map<String, Value>>,
    path: &str,
) -> Result<Option<Format>, BuildError> {
    let written = |format: &&Map<String, Value>| !format.is_empty();
    if let Some(format) = own.as_ref().filter(written) {
        return Format::new(format, path).map(Some);
    }
    let Some(format) = metadata.as_ref().filter(written) else {
        return Ok(None);
    };
    Format::new(format, path)
        .map(Some)
        .map_err(|e| BuildError::new("", format!("plugin metadata: {e}")))
}

fn expression(written: Option<&[Value]>, path: &str) -> Result<Option<Expression>, BuildError> {
    let Some(written) = written else {
        return Ok(None);
    };
    Expression::parse(&Value::Array(written.to_vec()))
        .map(Some)
        .map_err(|e| BuildError::new(path, e.to_string()))
}
