//! `Expect: 100-continue`: the client waits to be told before it sends its body (RFC 9110 §10.1.1).

use http::{Version, header};
use pingora_proxy::Session;

/// Tells a client that waits to go on, once. The field goes no further: whoever reads the body has settled it.
///
/// # Errors
/// The client is gone.
pub async fn meet(session: &mut Session) -> pingora_core::Result<()> {
    if !session.req_header().headers.contains_key(header::EXPECT) {
        return Ok(());
    }
    let head = session.req_header_mut();
    let expected = head.remove_header(&header::EXPECT);
    let waits = expected.is_some_and(|e| e.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if waits && session.req_header().version == Version::HTTP_11 {
        session.downstream_session.write_continue_response().await?;
    }
    Ok(())
}
