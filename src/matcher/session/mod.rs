//! From the addresses and the server name of a session to its stream route. Pure, as the matcher of requests is.
//!
//! Order, as in APISIX: routes of the very server name, then wildcard names from the longest to the shortest, then routes
//! without a name. Under one name the smaller key goes first; that is the order in which APISIX reads them from etcd. A
//! route whose addresses do not fit makes way for the next, up to the broader names. Nothing depends on the order of
//! insertion.

#[cfg(test)]
mod tests;

use super::HostPattern;
use ipnet::IpNet;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// Which sessions a route is for. What is `None` fits every session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSpec {
    /// The route's key; of two that fit alike, the smaller one goes first.
    pub key: Arc<str>,
    /// Where the client is.
    pub remote: Option<IpNet>,
    /// The address that it reached.
    pub server: Option<IpNet>,
    /// The port that it reached.
    pub port: Option<u16>,
    /// The server name that it asked for in TLS.
    pub sni: Option<HostPattern>,
}

/// What is known of a session before its route.
#[derive(Clone, Copy, Debug)]
pub struct SessionQuery<'a> {
    /// The client.
    pub client: IpAddr,
    /// What it reached.
    pub server: SocketAddr,
    /// The server name that it asked for, in lower case and without a final dot.
    pub sni: Option<&'a str>,
}

/// Finds the stream route of a session.
#[derive(Debug)]
pub struct SessionMatcher<T> {
    exact: HashMap<Arc<str>, Group<T>>,
    /// By the end that a name must have.
    wildcard: HashMap<Box<str>, Group<T>>,
    any: Group<T>,
    len: usize,
}

/// Routes of one server name.
#[derive(Debug)]
struct Group<T> {
    /// By key.
    by_port: HashMap<u16, Vec<Entry<T>>>,
    any_port: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    key: Arc<str>,
    remote: Option<IpNet>,
    server: Option<IpNet>,
    value: T,
}

impl<T> Default for Group<T> {
    fn default() -> Self {
        Self {
            by_port: HashMap::new(),
            any_port: Vec::new(),
        }
    }
}

impl<T> Default for SessionMatcher<T> {
    fn default() -> Self {
        Self::new([])
    }
}

impl<T> SessionMatcher<T> {
    /// A matcher of these routes. Of several with one key the last one counts.
    pub fn new(routes: impl IntoIterator<Item = (SessionSpec, T)>) -> Self {
        let mut routes: Vec<_> = routes.into_iter().collect();
        routes.sort_by(|(a, _), (b, _)| a.key.cmp(&b.key));
        let mut matcher = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: Group::default(),
            len: 0,
        };
        let mut routes = routes.into_iter().peekable();
        while let Some((spec, value)) = routes.next() {
            if routes.peek().is_some_and(|(next, _)| next.key == spec.key) {
                continue;
            }
            matcher.len += 1;
            let group = match &spec.sni {
                None => &mut matcher.any,
                Some(name) => match name.suffix() {
                    Some(end) => matcher.wildcard.entry(end.into()).or_default(),
                    None => matcher.exact.entry(name.to_shared()).or_default(),
                },
            };
            let list = match spec.port {
                Some(port) => group.by_port.entry(port).or_default(),
                None => &mut group.any_port,
            };
            list.push(Entry {
                key: spec.key,
                remote: spec.remote,
                server: spec.server,
                value,
            });
        }
        matcher
    }

    /// The route of a session.
    pub fn find(&self, query: &SessionQuery<'_>) -> Option<&T> {
        if let Some(name) = query.sni {
            let found = self.exact.get(name).and_then(|group| group.find(query));
            if found.is_some() {
                return found;
            }
            if !self.wildcard.is_empty() {
                let ends = name.char_indices().filter_map(|(at, _)| name.get(at..));
                let groups = ends.chain([""]).filter_map(|end| self.wildcard.get(end));
                if let Some(found) = groups.flat_map(|group| group.find(query)).next() {
                    return Some(found);
                }
            }
        }
        self.any.find(query)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<T> Group<T> {
    /// The first entry that fits, by key, of those for the port and those for any.
    fn find(&self, query: &SessionQuery<'_>) -> Option<&T> {
        let first = |list: &'_ [Entry<T>]| list.iter().position(|entry| entry.fits(query));
        let of_port = self.by_port.get(&query.server.port());
        let of_port = of_port.and_then(|list| list.get(first(list)?));
        let of_any = first(&self.any_port).and_then(|at| self.any_port.get(at));
        let entry = match (of_port, of_any) {
            (Some(one), Some(other)) if other.key < one.key => other,
            (Some(one), _) => one,
            (None, other) => other?,
        };
        Some(&entry.value)
    }
}

impl<T> Entry<T> {
    fn fits(&self, query: &SessionQuery<'_>) -> bool {
        let within = |net: &Option<IpNet>, address: IpAddr| {
            net.is_none_or(|net| net.contains(&address.to_canonical()))
        };
        within(&self.remote, query.client) && within(&self.server, query.server.ip())
    }
}
