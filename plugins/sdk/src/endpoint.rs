//! Requests that a plugin answers itself, at a path of its own, once a route opens it with `public-api`.

use crate::{exchange::Exchange, flow::Step};
use http::Method;
use std::sync::Arc;

/// One method at one path.
#[derive(Clone)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, as `/apisix/batch-requests`.
    pub path: &'static str,
    /// What answers.
    pub answer: Arc<dyn Answer>,
}

/// Answers requests.
pub trait Answer: Send + Sync {
    /// Answers one; [`crate::flow::Flow::Next`] would send it to the route's upstream.
    fn answer<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a>;
}
