//! A route as the matcher keeps it: compact, and shared by all the places under which it is listed.

use std::{borrow::Borrow, cmp::Ordering, sync::Arc};

use crossway_sdk::expr::{Expression, IpSet, Verdict};
use smallvec::SmallVec;

use super::{HostPattern, MethodSet, PathPattern, Query, Reason, RouteKey, Spec};

pub(super) struct Entry<T> {
    pub(super) key: RouteKey,
    pub(super) hosts: SmallVec<[HostPattern; 1]>,
    pub(super) paths: SmallVec<[PathPattern; 1]>,
    pub(super) methods: MethodSet,
    /// Few routes have any.
    conditions: Option<Box<Conditions>>,
    pub(super) priority: i64,
    pub(super) value: T,
}

struct Conditions {
    remote: Option<IpSet>,
    vars: Option<Expression>,
}

impl<T> Entry<T> {
    pub(super) fn new(spec: Spec<T>) -> Self {
        let Spec {
            key,
            hosts,
            paths,
            methods,
            remote,
            vars,
            priority,
            value,
        } = spec;
        let conditions =
            (remote.is_some() || vars.is_some()).then(|| Box::new(Conditions { remote, vars }));
        Self {
            key,
            hosts: distinct(hosts, HostPattern::as_str),
            paths: distinct(paths, PathPattern::as_str),
            methods,
            conditions,
            priority,
            value,
        }
    }

    /// Whether a request that reached this route under `pattern` may take it. `host` is the pattern under which it was
    /// reached; in the modes that look at the path first the route's hosts are asked here.
    pub(super) fn judge<'m>(
        &'m self,
        pattern: &PathPattern,
        host: Option<&'m HostPattern>,
        host_first: bool,
        query: &Query<'_>,
    ) -> Result<Option<&'m HostPattern>, Reason> {
        if !self.methods.allows(query.method) {
            return Err(Reason::Method);
        }
        let remote = self
            .conditions
            .as_ref()
            .and_then(|conditions| conditions.remote.as_ref());
        if remote.is_some_and(|networks| !networks.contains(query.remote)) {
            return Err(Reason::RemoteAddress);
        }
        let host = if host_first || self.hosts.is_empty() {
            host
        } else {
            let matching = self
                .hosts
                .iter()
                .find(|host| host.matches(query.host, query.authority));
            Some(matching.ok_or(Reason::Host)?)
        };
        // Before `vars`, unlike APISIX: the outcome is the same, and the body is not asked for in vain.
        if !pattern.rest_matches(query.path) {
            return Err(Reason::Path);
        }
        match self
            .vars()
            .map(|vars| vars.decide(query.vars, query.body_read))
        {
            None | Some(Verdict::Yes) => Ok(host),
            Some(Verdict::NeedsBody) => Err(Reason::NeedsBody),
            Some(Verdict::No | Verdict::Undecided) => Err(Reason::Condition),
        }
    }

    pub(super) fn vars(&self) -> Option<&Expression> {
        self.conditions.as_ref()?.vars.as_ref()
    }
}

/// A pattern that is written twice counts once.
fn distinct<P>(patterns: Vec<P>, text: impl Fn(&P) -> &str) -> SmallVec<[P; 1]> {
    let mut kept: SmallVec<[P; 1]> = SmallVec::with_capacity(patterns.len());
    for pattern in patterns {
        if kept.iter().all(|other| text(other) != text(&pattern)) {
            kept.push(pattern);
        }
    }
    kept.shrink_to_fit();
    kept
}

/// An entry in the index by key.
pub(super) struct ByKey<T>(pub(super) Arc<Entry<T>>);

impl<T> Clone for ByKey<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Borrow<str> for ByKey<T> {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl<T> Ord for ByKey<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl<T> PartialOrd for ByKey<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for ByKey<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl<T> Eq for ByKey<T> {}
