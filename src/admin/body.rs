//! The body of a request: read within limits, and parsed as JSON whatever its Content-Type says.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde_json::{Value, json};

use super::error::Failure;

/// How long a client may take to send a body.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of a body that is too large is read and thrown away, so that the client gets to read why it was refused.
const SWALLOWED: usize = 16 << 20;

/// Reads a body of at most `most` bytes.
///
/// # Errors
/// 400 with the size when it is larger, 408 when it takes too long.
pub(super) async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Failure> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let reading = tokio::time::timeout(PATIENCE, collect(body, announced, most));
    reading.await.unwrap_or_else(|_| {
        Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "invalid request body: it was not sent within 60 seconds",
        ))
    })
}

async fn collect(body: Body, announced: Option<usize>, most: usize) -> Result<Bytes, Failure> {
    if announced.is_some_and(|length| length > SWALLOWED.max(most)) {
        return Err(too_large(announced.unwrap_or_default(), most));
    }
    let mut chunks = body.into_data_stream();
    let mut whole = BytesMut::new();
    let mut size = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| Failure::bad(format!("invalid request body: {e}")))?;
        size = size.saturating_add(chunk.len());
        if size > SWALLOWED.max(most) {
            break;
        }
        if size <= most {
            whole.extend_from_slice(&chunk);
        }
    }
    if size > most {
        return Err(too_large(announced.unwrap_or(size).max(size), most));
    }
    Ok(whole.freeze())
}

fn too_large(size: usize, most: usize) -> Failure {
    Failure::bad(format!(
        "invalid request body: request size {size} is greater than the maximum size {most} allowed"
    ))
}

/// Parses a body; `missing` is said of an empty one.
///
/// # Errors
/// 400 with the body as it came.
pub(super) fn parse(body: &[u8], missing: &str) -> Result<Value, Failure> {
    if body.is_empty() {
        return Err(Failure::bad(missing));
    }
    serde_json::from_slice(body).map_err(|error| {
        let said = json!({
            "error_msg": format!("invalid request body: {error}"),
            "req_body": String::from_utf8_lossy(body),
        });
        Failure::json(StatusCode::BAD_REQUEST, said)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::stream;

    use super::*;

    fn chunked(sizes: &[usize]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> = sizes
            .iter()
            .map(|n| Ok(Bytes::from(vec![b'x'; *n])))
            .collect();
        Body::from_stream(stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_is_refused_with_its_size() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, chunked(&[5, 5]), 10).await.unwrap().len(), 10);
        let refused = read(&none, chunked(&[5, 6]), 10).await.unwrap_err();
        assert_eq!(
            refused.message(),
            "invalid request body: request size 11 is greater than the maximum size 10 allowed"
        );
    }

    #[test]
    fn what_is_no_json_is_sent_back() {
        let refused = parse(b"{", "nothing").unwrap_err();
        assert!(refused.message().starts_with("invalid request body: "));
        assert_eq!(parse(b"", "nothing").unwrap_err().message(), "nothing");
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes(), "nothing").is_err());
        assert!(parse(b"\"\xff\"", "nothing").is_err());
    }
}
