//! Whether a request is a call of gRPC.

use http::header;
use pingora_http::RequestHeader;

/// `application/grpc`, with or without `+proto`. `application/grpc-web` is made for HTTP/1.1.
pub fn is_grpc(head: &RequestHeader) -> bool {
    let value = head.headers.get(header::CONTENT_TYPE);
    let rest = value.and_then(|value| value.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}
