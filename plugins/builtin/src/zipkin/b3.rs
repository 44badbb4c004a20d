//! B3: how a trace is told from one service to the next, in several headers or in one
//! (<https://github.com/openzipkin/b3-propagation>).

use http::HeaderMap;

/// The one header.
pub(super) const SINGLE: &str = "b3";
pub(super) const TRACE: &str = "x-b3-traceid";
pub(super) const SPAN: &str = "x-b3-spanid";
pub(super) const PARENT: &str = "x-b3-parentspanid";
pub(super) const SAMPLED: &str = "x-b3-sampled";
pub(super) const FLAGS: &str = "x-b3-flags";

/// What a client says of the trace that its request is part of.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Context {
    /// 16 or 32 hexadecimal digits.
    pub(super) trace: Option<String>,
    /// 16 hexadecimal digits: the span in which the request was made.
    pub(super) span: Option<String>,
    /// Whether it is traced; `None` leaves it to us.
    pub(super) sampled: Option<bool>,
    /// It is traced whatever anybody says.
    pub(super) debug: bool,
}

/// The one header is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Invalid;

impl Context {
    /// From the headers of a request. Of several headers, those that are not valid are as good as none: a new trace begins.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Invalid> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if headers.contains_key(SINGLE) {
            return text(SINGLE).map_or(Err(Invalid), Self::single);
        }
        let debug = text(FLAGS) == Some("1");
        let sampled = match text(SAMPLED) {
            Some("1" | "true") => Some(true),
            Some("0" | "false") => Some(false),
            _ => None,
        };
        let id = |name, lengths: &[usize]| match text(name) {
            None => Ok(None),
            Some(text) if is_id(text, lengths) => Ok(Some(text.to_owned())),
            Some(_) => Err(Invalid),
        };
        let ids =
            || Ok::<_, Invalid>((id(TRACE, &[16, 32])?, id(SPAN, &[16])?, id(PARENT, &[16])?));
        let (trace, span) = match ids() {
            Ok((Some(trace), span, _)) => (Some(trace), span),
            _ => (None, None),
        };
        Ok(Self {
            trace,
            span,
            sampled: if debug { Some(true) } else { sampled },
            debug,
        })
    }

    /// `{trace}-{span}[-{sampled}[-{parent}]]`, or the decision alone.
    fn single(text: &str) -> Result<Self, Invalid> {
        let decision = |text| match text {
            "1" => Ok((Some(true), false)),
            "0" => Ok((Some(false), false)),
            "d" => Ok((Some(true), true)),
            _ => Err(Invalid),
        };
        let parts: Vec<_> = text.split('-').collect();
        let (ids, sampled, parent) = match *parts {
            [sampled] => (None, Some(sampled), None),
            [trace, span] => (Some((trace, span)), None, None),
            [trace, span, sampled] => (Some((trace, span)), Some(sampled), None),
            [trace, span, sampled, parent] => (Some((trace, span)), Some(sampled), Some(parent)),
            _ => return Err(Invalid),
        };
        let (sampled, debug) = sampled.map_or(Ok((None, false)), decision)?;
        let fits = ids.is_none_or(|(trace, span)| is_id(trace, &[16, 32]) && is_id(span, &[16]));
        if !fits || !parent.is_none_or(|parent| is_id(parent, &[16])) {
            return Err(Invalid);
        }
        Ok(Self {
            trace: ids.map(|(trace, _)| trace.to_owned()),
            span: ids.map(|(_, span)| span.to_owned()),
            sampled,
            debug,
        })
    }
}

fn is_id(text: &str, lengths: &[usize]) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit())
}
