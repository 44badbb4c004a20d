//! The order in which candidates are tried. `find` and `explain` differ only in what they do with each.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::{
    Found, HostPattern, HostRoutes, Matcher, Outcome, PathPattern, Query, Reason,
    bucket::{Bucket, Candidate},
    entry::Entry,
    host,
    tree::Tree,
};

/// A candidate and what became of it.
pub(super) struct Tried<'m, T> {
    pub(super) entry: &'m Entry<T>,
    pub(super) path: &'m PathPattern,
    /// The host under which it was reached.
    pub(super) reached: Option<&'m HostPattern>,
    pub(super) verdict: Result<Option<&'m HostPattern>, Reason>,
}

impl<T> Matcher<T> {
    /// The route that takes the request: the first candidate in order that has nothing against it.
    pub fn find<'m>(&'m self, query: &Query<'_>) -> Outcome<'m, T> {
        let answer = self.search(query, &mut |tried| match tried.verdict {
            Ok(host) => ControlFlow::Break(Outcome::Found(Found {
                key: &tried.entry.key,
                value: &tried.entry.value,
                path: tried.path,
                host,
            })),
            Err(Reason::NeedsBody) => ControlFlow::Break(Outcome::NeedsBody),
            Err(_) => ControlFlow::Continue(()),
        });
        match answer {
            ControlFlow::Break(outcome) => outcome,
            ControlFlow::Continue(()) => Outcome::NotFound,
        }
    }

    /// Tries candidates until `visit` has had enough: the routes of the host itself, those of wildcards from the longest
    /// to the shortest, those without host.
    pub(super) fn search<'m, B>(
        &'m self,
        query: &Query<'_>,
        visit: &mut impl FnMut(Tried<'m, T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if self.mode.is_host_first() {
            let mut exact = None;
            let mut wildcards: SmallVec<[&HostRoutes<T>; 8]> = SmallVec::new();
            self.hosts.walk(&host::reversed(query.host), |slot, whole| {
                wildcards.extend(slot.wildcard.as_deref());
                if whole {
                    exact = slot.exact.as_deref();
                }
            });
            for host in exact.into_iter().chain(wildcards.into_iter().rev()) {
                self.search_paths(&host.paths, Some(&host.pattern), query, visit)?;
            }
        }
        self.search_paths(&self.any_host, None, query, visit)
    }

    /// The exact path, then literal prefixes from the longest to the shortest.
    fn search_paths<'m, B>(
        &'m self,
        paths: &'m Tree<Bucket<T>>,
        host: Option<&'m HostPattern>,
        query: &Query<'_>,
        visit: &mut impl FnMut(Tried<'m, T>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut buckets: SmallVec<[(&'m Bucket<T>, bool); 16]> = SmallVec::new();
        paths.walk(query.path.as_bytes(), |bucket, whole| {
            buckets.push((bucket, whole))
        });
        for (bucket, whole) in buckets.into_iter().rev() {
            for candidate in bucket.as_slice() {
                if let Some(tried) = self.try_one(candidate, whole, host, query) {
                    visit(tried)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// `None` for an exact path that is only the beginning of the request's.
    fn try_one<'m>(
        &self,
        candidate: &'m Candidate<T>,
        whole: bool,
        reached: Option<&'m HostPattern>,
        query: &Query<'_>,
    ) -> Option<Tried<'m, T>> {
        let path = candidate.pattern()?;
        if path.is_exact() && !whole {
            return None;
        }
        let entry = &*candidate.entry;
        let verdict = entry.judge(path, reached, self.mode.is_host_first(), query);
        Some(Tried {
            entry,
            path,
            reached,
            verdict,
        })
    }
}
