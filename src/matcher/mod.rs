//! From host, path, method, address and conditions to the route. Pure: no I/O, no clock, no model types.
//!
//! Order, as in APISIX: the host itself, then wildcard hosts from the longest to the shortest, then routes without host;
//! under each the path itself, then literal prefixes from the longest to the shortest; under one host and literal prefix
//! the higher priority, then the longer pattern, then the smaller key. A candidate that does not fit makes way for the
//! next, up to the broader hosts. Nothing depends on the order of insertion.
//!
//! A matcher never changes: an edit makes a new one that shares whatever it did not touch.

mod bucket;
mod entry;
mod explain;
mod find;
mod glob;
mod host;
mod methods;
mod path;
mod session;
mod spec;
pub mod target;
mod tree;

use std::{cmp::Reverse, sync::Arc};

use imbl::OrdSet;

pub use explain::{Candidate, Fate};
pub use host::{BadHost, HostPattern};
pub use methods::{MethodSet, UnknownMethod};
pub use path::{Params, PathPattern};
pub use session::{SessionMatcher, SessionQuery, SessionSpec};
pub use spec::{Found, Outcome, Query, Reason, RouteKey, Spec};

use bucket::Bucket;
use entry::{ByKey, Entry};
use tree::{Slot, Tree};

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

/// What is looked at first, and whether `:name` in a path is a parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Hosts come first, then paths: APISIX's `radixtree_host_uri`.
    #[default]
    HostThenPath,
    /// Paths come first, hosts are a condition: APISIX's `radixtree_uri`.
    PathThenHost,
    /// As [`PathThenHost`](Self::PathThenHost), with parameters: APISIX's `radixtree_uri_with_parameter`.
    PathWithParameters,
    /// As [`HostThenPath`](Self::HostThenPath), with parameters; APISIX has no such mode.
    HostThenPathWithParameters,
}

impl Mode {
    fn is_host_first(self) -> bool {
        matches!(self, Self::HostThenPath | Self::HostThenPathWithParameters)
    }

    fn has_parameters(self) -> bool {
        matches!(
            self,
            Self::PathWithParameters | Self::HostThenPathWithParameters
        )
    }
}

/// Finds the route of a request.
///
/// A clone is cheap and shares everything.
pub struct Matcher<T> {
    mode: Mode,
    /// Every route, by key: where an edit learns what to take out.
    routes: OrdSet<ByKey<T>>,
    /// By host, read backwards. Empty in the modes that look at the path first.
    hosts: Tree<HostSlot<T>>,
    /// Routes without host; in the modes that look at the path first, all routes.
    any_host: Tree<Bucket<T>>,
}

/// The routes of one host pattern.
struct HostRoutes<T> {
    pattern: HostPattern,
    paths: Tree<Bucket<T>>,
}

/// The patterns that end in one name: the name itself, and `*` before it.
struct HostSlot<T> {
    exact: Option<Arc<HostRoutes<T>>>,
    wildcard: Option<Arc<HostRoutes<T>>>,
}

impl<T> Matcher<T> {
    /// A matcher of these routes. Of several routes with one key the last one counts.
    pub fn new(mode: Mode, specs: impl IntoIterator<Item = Spec<T>>) -> Self {
        let mut matcher = Self {
            mode,
            routes: OrdSet::new(),
            hosts: Tree::default(),
            any_host: Tree::default(),
        };
        let mut specs: Vec<_> = specs.into_iter().collect();
        // Stable: of one key, the last one stays last.
        specs.sort_by(|one, other| one.key.cmp(&other.key));
        let mut latest: Vec<Spec<T>> = Vec::with_capacity(specs.len());
        for spec in specs {
            if latest.last().is_some_and(|last| last.key == spec.key) {
                latest.pop();
            }
            latest.push(spec);
        }
        // In the order in which they are tried, routes of one place are appended, not inserted.
        latest.sort_by_key(|spec| Reverse(spec.priority));
        latest.into_iter().for_each(|spec| matcher.insert(spec));
        matcher
    }

    /// A matcher without the routes of the `removed` keys and with those of `added`, which replace routes of the same
    /// key. The cost depends on the routes named and on the depth of the trees, not on the number of routes.
    pub fn edit<K: AsRef<str>>(
        &self,
        removed: impl IntoIterator<Item = K>,
        added: impl IntoIterator<Item = Spec<T>>,
    ) -> Self {
        let mut next = self.clone();
        removed
            .into_iter()
            .for_each(|key| next.remove(key.as_ref()));
        added.into_iter().for_each(|spec| next.insert(spec));
        next
    }

    /// The mode; path patterns must be read in it.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The number of routes.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The value of a route.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.routes.get(key).map(|entry| &entry.0.value)
    }

    fn insert(&mut self, spec: Spec<T>) {
        self.remove(&spec.key);
        let mut entry = Entry::new(spec);
        self.share_hosts(&mut entry);
        let entry = Arc::new(entry);
        self.routes.insert(ByKey(Arc::clone(&entry)));
        self.edit_places(&entry, |bucket, path| {
            bucket.insert(bucket::Candidate {
                entry: Arc::clone(&entry),
                path,
            });
        });
    }

    fn remove(&mut self, key: &str) {
        if let Some(ByKey(entry)) = self.routes.remove(key) {
            self.edit_places(&entry, |bucket, _| bucket.remove(key));
        }
    }

    /// Lets `edit` at every place under which the route is listed.
    fn edit_places(&mut self, entry: &Entry<T>, edit: impl Fn(&mut Bucket<T>, u32)) {
        let each_path = |tree: &mut Tree<Bucket<T>>| {
            for (path, index) in entry.paths.iter().zip(0..) {
                tree.edit(path.literal(), |bucket| edit(bucket, index));
            }
        };
        if entry.hosts.is_empty() || !self.mode.is_host_first() {
            return each_path(&mut self.any_host);
        }
        for host in &entry.hosts {
            self.hosts.edit(&host.reversed(), |slot| {
                let place = slot.place(host);
                let empty = || {
                    Arc::new(HostRoutes {
                        pattern: host.clone(),
                        paths: Tree::default(),
                    })
                };
                let routes = Arc::make_mut(place.get_or_insert_with(empty));
                each_path(&mut routes.paths);
                if routes.paths.is_empty() {
                    *place = None;
                }
            });
        }
    }

    /// Routes of one host share its text.
    fn share_hosts(&self, entry: &mut Entry<T>) {
        for host in &mut entry.hosts {
            let slot = self.hosts.get(&host.reversed());
            let known = slot.and_then(|slot| match host.suffix() {
                Some(_) => slot.wildcard.as_deref(),
                None => slot.exact.as_deref(),
            });
            if let Some(routes) = known {
                *host = routes.pattern.clone();
            }
        }
    }
}

impl<T> HostSlot<T> {
    fn place(&mut self, host: &HostPattern) -> &mut Option<Arc<HostRoutes<T>>> {
        match host.suffix() {
            Some(_) => &mut self.wildcard,
            None => &mut self.exact,
        }
    }
}

impl<T> Slot for HostSlot<T> {
    fn is_empty(&self) -> bool {
        self.exact.is_none() && self.wildcard.is_none()
    }
}

impl<T> Default for HostSlot<T> {
    fn default() -> Self {
        Self {
            exact: None,
            wildcard: None,
        }
    }
}

impl<T> Clone for HostSlot<T> {
    fn clone(&self) -> Self {
        Self {
            exact: self.exact.clone(),
            wildcard: self.wildcard.clone(),
        }
    }
}

impl<T> Clone for HostRoutes<T> {
    fn clone(&self) -> Self {
        Self {
            pattern: self.pattern.clone(),
            paths: self.paths.clone(),
        }
    }
}

impl<T> Clone for Matcher<T> {
    fn clone(&self) -> Self {
        Self {
            mode: self.mode,
            routes: self.routes.clone(),
            hosts: self.hosts.clone(),
            any_host: self.any_host.clone(),
        }
    }
}
