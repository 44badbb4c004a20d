//! `client-control`: sets how large a request body may be. A body whose length is not said is counted on its way.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crossway_sdk::prelude::*;
use http::header::CONTENT_LENGTH;

/// The plugin.
pub struct ClientControl {
    max_body: Option<u64>,
}

#[phases]
impl Plugin for ClientControl {
    const NAME: &'static str = "client-control";
    const PRIORITY: i32 = 22000;
    type Config = Config;

    fn build(config: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self {
            max_body: config.max_body_size,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let Some(most) = self.max_body else {
            return Step::next();
        };
        ex.request.max_body = (most > 0).then_some(most);
        let length = ex.session.req_header().headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        match length {
            Some(length) if most > 0 && length > most => Step::respond(Reply::status(413)),
            _ => Step::next(),
        }
    }
}
