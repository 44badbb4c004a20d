//! gRPC is HTTP/2 from end to end: it needs trailers, and both directions at a time. Its clients look for a status of their own
//! in whatever answers them, so the gateway's own answers have one.

use super::InFlight;
use crate::listener::http::http2::is_grpc;
use crossway_sdk::flow::Reply;
use http::{HeaderName, HeaderValue, StatusCode, Version, header};
use pingora_core::Result;
use pingora_http::{RequestHeader, ResponseHeader};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
/// UNIMPLEMENTED.
const UNIMPLEMENTED: HeaderValue = HeaderValue::from_static("12");
const WHY: HeaderValue =
    HeaderValue::from_static("the upstream speaks HTTP/1.1: gRPC needs the scheme grpc or grpcs");

/// The answer to a gRPC request whose upstream speaks HTTP/1.1, in the form that gRPC clients show. Forwarded, it would come to
/// nothing that they understand.
pub(super) fn refusal(head: &RequestHeader, flight: &InFlight) -> Option<Reply> {
    if head.version != Version::HTTP_2 || !is_grpc(head) {
        return None;
    }
    if flight.upstream.as_ref()?.spec().scheme.is_http2() {
        return None;
    }
    let reply = Reply::bytes(200, Vec::new()).content_type("application/grpc");
    Some(
        reply
            .header(GRPC_STATUS, UNIMPLEMENTED)
            .header(GRPC_MESSAGE, WHY),
    )
}

/// Whether a client makes a call, over HTTP/2.
pub(super) fn is_call(head: &RequestHeader) -> bool {
    head.version == Version::HTTP_2 && is_grpc(head)
}

/// Makes a refusal of the gateway's own one that a client of gRPC understands: HTTP's 200, and the status and the reason
/// where it looks for them. There is no body, and the head has to end the stream: what is in it would not count otherwise.
///
/// # Errors
/// Pingora does not take the head.
pub(super) fn translate(head: &mut ResponseHeader) -> Result<()> {
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        head.remove_header(&name);
    }
    if has_status(head) {
        return Ok(());
    }
    let status = head.status;
    head.set_status(StatusCode::OK)?;
    head.insert_header(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    )?;
    head.insert_header(GRPC_STATUS, HeaderValue::from(code(status)))?;
    // Letters and spaces, which need no escape in this field.
    let reason = status.canonical_reason().unwrap_or("Error");
    head.insert_header(GRPC_MESSAGE, format!("{} {reason}", status.as_u16()))?;
    Ok(())
}

/// Whether an answer says already how the call went.
pub(super) fn has_status(head: &ResponseHeader) -> bool {
    head.headers.contains_key(GRPC_STATUS)
}

/// gRPC's own table, "HTTP to gRPC Status Code Mapping".
fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_the_gateway_becomes_one_of_grpc() {
        for (status, code, message) in [
            (401, "16", "401 Unauthorized"),
            (404, "12", "404 Not Found"),
            (503, "14", "503 Service Unavailable"),
            (413, "2", "413 Payload Too Large"),
        ] {
            let mut head = ResponseHeader::build(status, None).unwrap();
            head.insert_header("content-length", "7").unwrap();
            head.insert_header("content-type", "text/html").unwrap();
            translate(&mut head).unwrap();
            assert_eq!(head.status, 200);
            assert_eq!(head.headers["grpc-status"], code);
            assert_eq!(head.headers["grpc-message"], message);
            assert_eq!(head.headers["content-type"], "application/grpc");
            assert!(!head.headers.contains_key("content-length"));
        }
    }

    #[test]
    fn a_call_is_of_http_2_and_of_grpc_itself() {
        for (version, content, is) in [
            (Version::HTTP_2, "application/grpc", true),
            (Version::HTTP_2, "application/grpc+proto", true),
            (Version::HTTP_2, "application/grpc-web", false),
            (Version::HTTP_11, "application/grpc", false),
        ] {
            let mut head = RequestHeader::build("POST", b"/a", None).unwrap();
            head.set_version(version);
            head.insert_header("content-type", content).unwrap();
            assert_eq!(is_call(&head), is, "{content}");
        }
    }
}
