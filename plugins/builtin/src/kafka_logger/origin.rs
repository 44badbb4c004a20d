//! A request as it came: its line, its headers, and its body where that is included.

use crate::logger::{Line, Part};
use crossway_sdk::expr::{Lookup as _, Variable};

pub(super) fn of(part: &Part<'_>) -> Line {
    let mut text = Vec::new();
    if let Some(line) = part.ex.lookup(&Variable::Request) {
        line.write_to(&mut text);
    }
    text.extend_from_slice(b"\r\n");
    for (name, value) in &part.ex.session.req_header().headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            text.extend_from_slice(piece);
        }
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(part.request_body().unwrap_or_default());
    text
}
