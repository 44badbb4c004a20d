//! gRPC is HTTP/2 from end to end: it needs trailers, and both directions at a time.

use super::InFlight;
use crossway_sdk::flow::Reply;
use http::{HeaderName, HeaderValue, Version, header};
use pingora_http::RequestHeader;

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

/// `application/grpc`, with or without `+proto`. `application/grpc-web` is made for HTTP/1.1.
fn is_grpc(head: &RequestHeader) -> bool {
    let value = head.headers.get(header::CONTENT_TYPE);
    let rest = value.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}
