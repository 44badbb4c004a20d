//! What the matcher is told about a route, and what it is asked about a request.

use std::{net::IpAddr, sync::Arc};

use crossway_sdk::expr::{Expression, IpSet, Lookup};
use http::Method;

use super::{HostPattern, MethodSet, PathPattern, path::Params};

/// Names a route, and is the last word on the order of two routes that are otherwise alike: the smaller key is tried
/// first.
pub type RouteKey = Arc<str>;

/// A route, as far as matching goes.
pub struct Spec<T> {
    /// The route's name in this matcher.
    pub key: RouteKey,
    /// The hosts that it serves; none means every host.
    pub hosts: Vec<HostPattern>,
    /// The paths that it serves, read in the matcher's mode; none means no path.
    pub paths: Vec<PathPattern>,
    /// The methods that it takes; the empty set means every method.
    pub methods: MethodSet,
    /// The clients that it serves; `None` means every client.
    pub remote: Option<IpSet>,
    /// Further conditions.
    pub vars: Option<Expression>,
    /// Among routes of the same host and literal prefix of path, higher comes first.
    pub priority: i64,
    /// What the matcher answers with.
    pub value: T,
}

/// A request, as far as matching goes.
#[derive(Clone, Copy)]
pub struct Query<'q> {
    /// The host in lower case, without port and final dot.
    pub host: &'q str,
    /// The `Host` header (or the HTTP/2 authority) as it came: what host patterns with a port are compared with, in the
    /// modes that look at the path first.
    pub authority: &'q str,
    /// The path, as [`target::normalise`](super::target::normalise) gives it.
    pub path: &'q str,
    /// The method.
    pub method: &'q Method,
    /// The client's address.
    pub remote: IpAddr,
    /// Answers the variables of conditions.
    pub vars: &'q dyn Lookup,
    /// Whether `vars` answers variables of the body too.
    pub body_read: bool,
}

/// What came of a question.
pub enum Outcome<'m, T> {
    /// A route takes the request.
    Found(Found<'m, T>),
    /// No route does.
    NotFound,
    /// That depends on the body: read it and ask again with [`Query::body_read`].
    NeedsBody,
}

/// The route that takes a request.
pub struct Found<'m, T> {
    /// The route's key.
    pub key: &'m RouteKey,
    /// What the route stands for.
    pub value: &'m T,
    /// Which of its paths matched.
    pub path: &'m PathPattern,
    /// Which of its hosts matched; `None` when it serves every host.
    pub host: Option<&'m HostPattern>,
}

impl<'m, T> Found<'m, T> {
    /// The values of `:name` and `*name` in the path pattern. `path` is the query's. Up to four need no allocation.
    pub fn params<'p>(&self, path: &'p str) -> Params<'m, 'p> {
        self.path.params(path)
    }
}

impl<'m, T> Outcome<'m, T> {
    /// The route, if one was found.
    pub fn found(self) -> Option<Found<'m, T>> {
        match self {
            Self::Found(found) => Some(found),
            Self::NotFound | Self::NeedsBody => None,
        }
    }
}

/// Why a candidate did not get the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It does not take the method.
    Method,
    /// It does not serve the client's address.
    RemoteAddress,
    /// It does not serve the host.
    Host,
    /// The part of its path behind the first wildcard or parameter does not fit.
    Path,
    /// Its `vars` are not met.
    Condition,
    /// Its `vars` depend on the body, which has not been read.
    NeedsBody,
}
