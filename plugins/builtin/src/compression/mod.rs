//! What `gzip` and `brotli` have in common: which responses are compressed, and what becomes of their heads.

mod accept;
#[cfg(test)]
pub(crate) mod samples;

use crossway_sdk::prelude::*;
use http::{HeaderMap, HeaderValue, Method, Version, header};
use serde::Serialize;

/// Media types that are compressed.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Types {
    /// `*`: every type.
    All(All),
    /// These, without parameters.
    Listed(#[schemars(length(min = 1), inner(length(min = 1)))] Vec<String>),
}

/// Every type.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[schemars(inline)]
pub(crate) enum All {
    /// Every type.
    #[serde(rename = "*")]
    Every,
}

impl Default for Types {
    fn default() -> Self {
        Self::Listed(vec!["text/html".to_owned()])
    }
}

/// The rules of a place of use.
pub(crate) struct Rules {
    pub(crate) types: Types,
    pub(crate) min_length: u64,
    pub(crate) http_10: bool,
    pub(crate) vary: bool,
    /// The name of the encoding in headers.
    pub(crate) coding: &'static str,
}

impl Rules {
    /// Whether this response is compressed. Says in `Vary` that it depends on the client.
    ///
    /// # Errors
    /// A header cannot be written.
    pub(crate) fn apply(
        &self,
        ex: &Exchange<'_>,
        head: &mut ResponseHeader,
    ) -> Result<bool, Error> {
        let request = ex.session.req_header();
        if request.method == Method::HEAD || !self.may_be_compressed(head) {
            return Ok(false);
        }
        let old = matches!(request.version, Version::HTTP_09 | Version::HTTP_10);
        if old && !self.http_10 {
            return Ok(false);
        }
        if self.vary && !varies(&head.headers) {
            head.append_header("Vary", HeaderValue::from_static("Accept-Encoding"))?;
        }
        Ok(accept::allows(&request.headers, self.coding))
    }

    fn may_be_compressed(&self, head: &ResponseHeader) -> bool {
        let bodiless =
            head.status.is_informational() || matches!(head.status.as_u16(), 204 | 205 | 206 | 304);
        if bodiless || head.headers.contains_key(header::CONTENT_ENCODING) {
            return false;
        }
        let Some(media_type) = head.headers.get(header::CONTENT_TYPE) else {
            return false;
        };
        let essence = media_type.as_bytes().split(|b| *b == b';').next();
        let essence = essence.unwrap_or_default().trim_ascii();
        let listed = match &self.types {
            Types::All(_) => true,
            Types::Listed(types) => types
                .iter()
                .any(|t| t.as_bytes().eq_ignore_ascii_case(essence)),
        };
        let long_enough = match length(&head.headers) {
            Some(length) => length >= self.min_length,
            // As nginx: what comes without a length is not measured.
            None => true,
        };
        listed && long_enough && !forbids_transformation(&head.headers)
    }
}

/// The length of the body, when it is known.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// `Cache-Control: no-transform` (RFC 9111 §5.2.2.6).
fn forbids_transformation(headers: &HeaderMap) -> bool {
    has_member(headers, &header::CACHE_CONTROL, b"no-transform")
}

fn varies(headers: &HeaderMap) -> bool {
    has_member(headers, &header::VARY, b"accept-encoding")
        || has_member(headers, &header::VARY, b"*")
}

fn has_member(headers: &HeaderMap, name: &http::HeaderName, wanted: &[u8]) -> bool {
    let values = headers.get_all(name).iter();
    values
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|member| member.trim_ascii().eq_ignore_ascii_case(wanted))
}
