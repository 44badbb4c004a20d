//! What the head of an upstream's answer goes through before it is a client's: the rules that a proxy keeps.

use crate::snapshot::AnswerLimits;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Judges the head as it came, and takes out of it what is about the upstream's connection.
///
/// # Errors
/// The node is at fault: it switches protocols although nobody asked for that (RFC 9110 §15.2.2), the status is none, the
/// framing can be read in two ways (RFC 9112 §6), or there is too much of it.
pub(super) fn judge(
    session: &Session,
    head: &mut ResponseHeader,
    websocket: bool,
    limits: &AnswerLimits,
) -> Result<()> {
    let seen = survey(head, limits)?;
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let asked = session.req_header().headers.contains_key(header::UPGRADE);
        let other = head.headers.get(header::UPGRADE);
        let other = other.is_some_and(|to| !to.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !(websocket && asked) || other {
            return bad("the upstream switches protocols unasked");
        }
        return Ok(());
    }
    if head.status.as_u16() > 599 {
        return bad("the upstream's status is none");
    }
    if seen.has_encoding && (head.version != Version::HTTP_11 || !is_chunked(head)) {
        return bad("the upstream's transfer encoding is not understood");
    }
    // Pingora has found several to be equal, and takes their word; nginx does not either.
    if seen.lengths > 1 || seen.list_of_lengths {
        return bad("the upstream says a length more than once");
    }
    // A proxy answers in its own version (RFC 9110 §2.5).
    if head.version == Version::HTTP_10 {
        head.set_version(Version::HTTP_11);
    }
    seen.strip(head);
    Ok(())
}

/// The same for an interim answer, which is the `count`th one.
///
/// # Errors
/// There are too many, or there is too much in it.
pub(super) fn judge_interim(
    head: &mut ResponseHeader,
    count: u32,
    limits: &AnswerLimits,
) -> Result<()> {
    if count > limits.interim {
        return bad("the upstream gives interim answers without end");
    }
    let seen = survey(head, limits)?;
    // An interim answer has no content (RFC 9110 §15.2); a length would be read as that of the answer.
    head.remove_header(&header::CONTENT_LENGTH);
    head.remove_header(&header::TRANSFER_ENCODING);
    seen.strip(head);
    Ok(())
}

fn bad<T>(why: &'static str) -> Result<T> {
    Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up())
}

/// The one coding that there is in HTTP/1.1 without being asked for (RFC 9112 §6.1), once.
fn is_chunked(head: &ResponseHeader) -> bool {
    let mut all = head.headers.get_all(header::TRANSFER_ENCODING).iter();
    let first = all.next();
    first.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && all.next().is_none()
}

/// What one walk over the fields finds.
#[derive(Default)]
struct Survey {
    has_encoding: bool,
    /// Fields that tell the length of the body.
    lengths: usize,
    /// Whether one of them is a list.
    list_of_lengths: bool,
    /// Whether there is a `Connection`.
    nominates: bool,
    /// Whether there is another field that is about the connection.
    hop: bool,
}

fn survey(head: &ResponseHeader, limits: &AnswerLimits) -> Result<Survey> {
    let mut bytes = 0;
    let mut seen = Survey::default();
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len() + 4;
        match *name {
            header::CONTENT_LENGTH => {
                seen.lengths += 1;
                seen.list_of_lengths |= value.as_bytes().contains(&b',');
            }
            header::TRANSFER_ENCODING => seen.has_encoding = true,
            header::CONNECTION => seen.nominates = true,
            header::UPGRADE => seen.hop = true,
            _ => seen.hop |= *name == KEEP_ALIVE || *name == PROXY_CONNECTION,
        }
    }
    if bytes > limits.header_bytes || head.headers.len() > limits.header_count {
        return bad("the head of the upstream's answer is too large");
    }
    Ok(seen)
}

impl Survey {
    /// Fields that are about the upstream's connection stay there (RFC 9110 §7.6.1). `Connection` and `Transfer-Encoding` of
    /// the client's side are Pingora's to write.
    fn strip(&self, head: &mut ResponseHeader) {
        if self.nominates {
            let lines: Vec<HeaderValue> = head
                .headers
                .get_all(header::CONNECTION)
                .iter()
                .cloned()
                .collect();
            let names = lines
                .iter()
                .flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
            for name in names {
                let framing = |name: &HeaderName| {
                    matches!(
                        *name,
                        header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::CONTENT_TYPE
                    )
                };
                if let Ok(name) = HeaderName::from_bytes(name.trim_ascii())
                    && !framing(&name)
                {
                    head.remove_header(&name);
                }
            }
            head.remove_header(&header::CONNECTION);
        }
        if self.hop {
            for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &header::UPGRADE] {
                head.remove_header(name);
            }
        }
    }
}

/// Makes the framing right for this client, after plugins had their say.
///
/// # Errors
/// Pingora does not take the head.
pub(super) fn frame(session: &mut Session, head: &mut ResponseHeader) -> Result<()> {
    if matches!(
        head.status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT
    ) {
        // RFC 9110 §8.6: a 204 has no length.
        head.remove_header(&header::CONTENT_LENGTH);
    }
    let has_length = head.headers.contains_key(header::CONTENT_LENGTH);
    let chunked = head.headers.contains_key(header::TRANSFER_ENCODING);
    let request = session.req_header();
    let bodiless = request.method == Method::HEAD
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    match request.version {
        // HTTP/1.0 knows no chunks: the end of the connection is the end of the body (RFC 9112 §6.1).
        Version::HTTP_10 if !has_length && !bodiless => {
            head.remove_header(&header::TRANSFER_ENCODING);
            session.set_keepalive(None);
            Ok(())
        }
        // A plugin that changes the body takes its length away; Pingora has chosen the framing before that. Chunks keep the
        // connection usable (RFC 9112 §6.3).
        Version::HTTP_11 if !has_length && !chunked && !bodiless => head.insert_header(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        ),
        _ => Ok(()),
    }
}
