//! Header fields that are carried from one message to another.

use crossway_sdk::{build::BuildError, flow::Error};
use http::{HeaderName, HeaderValue, header};
use pingora_http::RequestHeader;

/// Reads a list of names at `path`.
///
/// # Errors
/// One is no name of a header, or stays with its connection.
pub(crate) fn names(list: &[String], path: &str) -> Result<Vec<HeaderName>, BuildError> {
    let name = |(i, text): (usize, &String)| name(text, &format!("{path}/{i}"));
    list.iter().enumerate().map(name).collect()
}

/// Reads one name at `path`.
///
/// # Errors
/// As [`names`].
pub(crate) fn name(text: &str, path: &str) -> Result<HeaderName, BuildError> {
    let refuse = |message| BuildError::new(path, message);
    let name: HeaderName = text
        .parse()
        .map_err(|_| refuse("expected the name of a header"))?;
    match stays(&name) {
        true => Err(refuse(
            "a header that belongs to one connection or one message is not carried to another",
        )),
        false => Ok(name),
    }
}

/// Whether a field belongs to one connection or to the framing of one message (RFC 9110 §7.6.1).
fn stays(name: &HeaderName) -> bool {
    let known = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::EXPECT,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let older = ["keep-alive", "proxy-connection", "http2-settings"];
    known.contains(name) || older.contains(&name.as_str())
}

/// Puts values in the place of what the client wrote under a name; without any, the name goes.
///
/// # Errors
/// A value cannot be sent.
pub(crate) fn put(
    head: &mut RequestHeader,
    name: &HeaderName,
    values: impl Iterator<Item = HeaderValue>,
) -> Result<(), Error> {
    head.remove_header(name);
    for value in values {
        head.append_header(name.clone(), value)?;
    }
    Ok(())
}
