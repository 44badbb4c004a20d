//! Reads the request body for plugins whose configuration asks for `$post_arg…`, `$request_body` or `$graphql_…`.

use crossway_sdk::{
    exchange::{BodyError, Exchange},
    flow::{Error, Flow, Reply},
};

/// Reads the body whole; `Err` is how the request ends when that cannot be done.
pub(crate) async fn read(ex: &mut Exchange<'_>) -> Result<(), Result<Flow, Error>> {
    match ex.read_body(usize::MAX).await {
        Ok(_) => Ok(()),
        Err(BodyError::TooLarge { .. }) => Err(Ok(Flow::Respond(Reply::status(413)))),
        Err(BodyError::Read(_)) => Err(Ok(Flow::Respond(Reply::status(400)))),
    }
}
