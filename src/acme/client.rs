//! HTTP towards the authority: over the client that the gateway has anyway, within a time, and with an eye on what the protocol's
//! library does not pass on: when the authority wants to be asked again.

use super::{Time, now};
use bytes::Bytes;
use crossway_sdk::client::Client;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use parking_lot::Mutex;
use std::{pin::Pin, sync::Arc, time::Duration};

/// The authority has so long for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer has so many bytes at most.
const MAX_ANSWER: usize = 1 << 20;
/// No authority is believed that it wants to be left alone for longer.
pub(super) const LONGEST: Time = 7 * 86_400;

/// An answer that was no success.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) again: Option<Time>,
}

/// Speaks to the authority.
#[derive(Clone)]
pub(super) struct Wire {
    client: Arc<Client>,
    refusal: Arc<Mutex<Option<Refusal>>>,
}

impl Wire {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            refusal: Arc::default(),
        }
    }

    /// The last answer, if it was no success.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        *self.refusal.lock()
    }
}

impl HttpClient for Wire {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let wire = self.clone();
        Box::pin(async move { wire.send(request).await })
    }
}

impl Wire {
    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let (head, body) = request.into_parts();
        // It is in memory.
        let mut body = BytesResponse::from(http::Response::new(body)).body;
        let body = body.into_bytes().await.map_err(Error::Other)?;
        let request = Request::from_parts(head, body);
        *self.refusal.lock() = None;
        let answer = self.client.send(request, TIMEOUT, MAX_ANSWER).await;
        let answer = answer.map_err(|e| Error::Other(Box::new(e)))?;
        let status = answer.status();
        let now = now();
        let again = again(answer.headers(), now);
        if status.is_client_error() || status.is_server_error() {
            *self.refusal.lock() = Some(Refusal { status, again });
        }
        let (mut parts, body) = answer.into_parts();
        // The library adds it to the clock as it stands.
        parts.headers.remove(RETRY_AFTER);
        if let Some(again) = again {
            let wait = HeaderValue::from(again.saturating_sub(now));
            parts.headers.insert(RETRY_AFTER, wait);
        }
        Ok(BytesResponse {
            parts,
            body: Box::new(body),
        })
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110 §10.2.3).
fn again(headers: &HeaderMap, now: Time) -> Option<Time> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let at = match value.parse::<u32>() {
        Ok(seconds) => now.saturating_add(seconds.into()),
        Err(_) => jiff::fmt::rfc2822::parse(value)
            .ok()?
            .timestamp()
            .as_second(),
    };
    Some(at.clamp(now, now.saturating_add(LONGEST)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_says_when_in_seconds_or_as_a_date() {
        const NOW: Time = 1_445_412_000;
        for (value, at) in [
            ("120", Some(NOW + 120)),
            (" 0 ", Some(NOW)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(1_445_412_480)),
            ("Wed, 21 Oct 2009 07:28:00 GMT", Some(NOW)),
            ("99999999", Some(NOW + LONGEST)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(again(&headers, NOW), at, "{value}");
        }
        assert_eq!(again(&HeaderMap::new(), NOW), None);
    }
}
