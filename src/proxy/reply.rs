//! Answers that the gateway gives itself. They pass the same response phases as an upstream's.

use super::{InFlight, grpc, page, spelling::spelled};
use bytes::Bytes;
use crossway_sdk::{
    flow::{Reply, ReplyBody},
    plugin::Phases,
    request::ResponseSource,
};
use http::{HeaderValue, Method, StatusCode, header};
use pingora_core::{Result, protocols::http::HttpTask};
use pingora_http::ResponseHeader;
use pingora_proxy::Session;

/// The JSON answer when no route matches, to the byte as APISIX gives it.
pub(super) fn not_found() -> Reply {
    Reply::bytes(
        404,
        Bytes::from_static(b"{\"error_msg\":\"404 Route Not Found\"}\n"),
    )
}

/// Sends `reply` as the answer to the request, through the header and body filters.
pub(super) async fn send(
    session: &mut Session,
    flight: &mut InFlight,
    reply: Reply,
    source: ResponseSource,
) -> Result<()> {
    flight.answered(reply.status.as_u16(), source);
    let (body, default_type) = body_of(&reply.body, reply.status);
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len() + 6))?;
    if !reply
        .headers
        .iter()
        .any(|(name, _)| name == header::CONTENT_TYPE)
        && !body.is_empty()
    {
        head.insert_header(header::CONTENT_TYPE, default_type)?;
    }
    for (name, value) in &reply.headers {
        head.append_header(spelled(name), value.clone())?;
    }
    let mut body = Some(body);
    dress(session, flight, &mut head);
    // The page is that of the status which plugins settled on.
    if matches!(reply.body, ReplyBody::Default) && head.status != reply.status {
        body = Some(body_of(&reply.body, head.status).0);
    }
    // Plugins may replace the body, and even the status.
    if flight.has(Phases::BODY_FILTER) {
        let filtered =
            flight.each_chain(session, |chain, ex| chain.body_filter(ex, &mut body, true));
        if filtered.is_err() {
            body = None;
        }
    }
    write(session, flight, head, body.unwrap_or_default()).await
}

fn body_of(body: &ReplyBody, status: StatusCode) -> (Bytes, &'static str) {
    match body {
        ReplyBody::Bytes(bytes) => (bytes.clone(), "text/plain; charset=utf-8"),
        ReplyBody::Default if status.as_u16() >= 400 => {
            (Bytes::from(page::error_page(status)), page::CONTENT_TYPE)
        }
        ReplyBody::Default => (Bytes::new(), page::CONTENT_TYPE),
    }
}

/// What every response head gets: the server's name, headers that plugins set on the way in, and the header filters.
pub(super) fn dress(
    session: &mut Session,
    flight: &mut InFlight,
    head: &mut ResponseHeader,
) -> bool {
    if let Some(server) = &flight.rules().server {
        insert(head, &header::SERVER, server.clone());
    }
    for (name, value) in std::mem::take(&mut flight.request.response_headers) {
        insert(head, &name, value);
    }
    if !flight.has(Phases::HEADER_FILTER) || flight.stage < super::exchange::Stage::Admitted {
        return true;
    }
    flight
        .each_chain(session, |chain, ex| chain.header_filter(ex, head))
        .is_ok()
}

/// Inserts a header whose name and value are known to be valid.
pub(super) fn insert(head: &mut ResponseHeader, name: &http::HeaderName, value: HeaderValue) {
    if let Err(error) = head.insert_header(spelled(name), value) {
        tracing::error!(%name, %error, "a response header could not be set");
    }
}

async fn write(
    session: &mut Session,
    flight: &mut InFlight,
    mut head: ResponseHeader,
    body: Bytes,
) -> Result<()> {
    let status = head.status;
    flight.request.response.status = status.as_u16();
    if flight.is_call && (status.as_u16() >= 400 || grpc::has_status(&head)) {
        // The access log and the metrics have the status of HTTP.
        grpc::translate(&mut head)?;
        let whole = vec![HttpTask::Header(Box::new(head), true)];
        let client = &mut session.downstream_session;
        return client.response_duplex_vec(whole).await.map(drop);
    }
    let bodiless = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    if bodiless {
        head.remove_header(&header::CONTENT_LENGTH);
    } else {
        head.remove_header(&header::TRANSFER_ENCODING);
        head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    }
    let no_body = bodiless || body.is_empty() || session.req_header().method == Method::HEAD;
    session
        .write_response_header(Box::new(head), no_body)
        .await?;
    if !no_body {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
