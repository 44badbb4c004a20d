//! Answers to browsers. None is to be kept by anybody.

use super::{place, single_flight::Failed};
use crossway_sdk::flow::Reply;
use http::{HeaderValue, header};

/// 302.
pub(super) fn moved(location: &str) -> Result<Reply, Failed> {
    let location = place::location(location);
    let location = location.ok_or_else(|| Failed::new("an address cannot stand in a header"))?;
    Ok(unkept(Reply::status(302)).header(header::LOCATION, location))
}

/// A page of our own that goes on to a path: browsers count the request after it as one of this site.
pub(super) fn page(target: &str) -> Reply {
    let target = target.replace('&', "&amp;").replace('\'', "&#39;");
    let body = format!(
        "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url='{target}'\"><a href='{target}'>Continue</a>\n"
    );
    unkept(Reply::bytes(200, body)).content_type("text/html; charset=utf-8")
}

pub(super) fn unkept(reply: Reply) -> Reply {
    let value = HeaderValue::from_static("no-cache, no-store, max-age=0");
    reply.header(header::CACHE_CONTROL, value)
}
