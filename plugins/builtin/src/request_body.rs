//! Reads the request body for plugins whose configuration asks for `$post_arg…`, `$request_body` or `$graphql_…`.

use crossway_sdk::{
    exchange::Exchange,
    flow::{Error, Flow},
    request::MAX_BUFFERED_BODY,
};

/// Reads the body whole; `Err` is how the request ends when that cannot be done.
pub(crate) async fn read(ex: &mut Exchange<'_>) -> Result<(), Result<Flow, Error>> {
    match ex.read_body(MAX_BUFFERED_BODY).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Ok(Flow::Respond(error.reply()))),
    }
}
