//! What the head of an upstream's answer goes through before it is a client's: the rules that a proxy keeps.

use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Judges the head as it came.
///
/// # Errors
/// It switches protocols although nobody asked for that (RFC 9110 §15.2.2): the node is at fault.
pub(super) fn judge(session: &Session, head: &mut ResponseHeader, websocket: bool) -> Result<()> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        let asked = session.req_header().headers.contains_key(header::UPGRADE);
        if !(websocket && asked) {
            let why = "the upstream switches protocols unasked";
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, why).into_up());
        }
        return Ok(());
    }
    // A proxy answers in its own version (RFC 9110 §2.5).
    if head.version == Version::HTTP_10 {
        head.set_version(Version::HTTP_11);
    }
    strip_connection_fields(head);
    Ok(())
}

/// Fields that are about the upstream's connection stay there (RFC 9110 §7.6.1). `Connection` and `Transfer-Encoding` of the
/// client's side are Pingora's to write.
fn strip_connection_fields(head: &mut ResponseHeader) {
    if let Some(nominated) = head.headers.get(header::CONNECTION).cloned() {
        for name in nominated.as_bytes().split(|byte| *byte == b',') {
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
    for name in [&KEEP_ALIVE, &PROXY_CONNECTION, &header::UPGRADE] {
        if head.headers.contains_key(name) {
            head.remove_header(name);
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
