//! The routes of one place in the path tree, in the order in which they are tried.

use std::{cmp::Ordering, sync::Arc};

use super::{PathPattern, entry::Entry, tree::Slot};

/// A route under one of its paths.
pub(super) struct Candidate<T> {
    pub(super) entry: Arc<Entry<T>>,
    /// Which of the route's paths.
    pub(super) path: u32,
}

/// Routes whose path has the same literal prefix: exact paths before patterns, then priority (higher first), then the
/// longer pattern, then the key.
///
/// Nearly every place has one route, which therefore costs no allocation.
pub(super) enum Bucket<T> {
    One(Candidate<T>),
    Many(Option<Arc<Vec<Candidate<T>>>>),
}

impl<T> Candidate<T> {
    pub(super) fn pattern(&self) -> Option<&PathPattern> {
        self.entry.paths.get(usize::try_from(self.path).ok()?)
    }

    fn order(&self, other: &Self) -> Ordering {
        let rank = |candidate: &Self| {
            let pattern = candidate.pattern();
            let exact = pattern.is_some_and(PathPattern::is_exact);
            let length = pattern.map_or(0, |pattern| pattern.as_str().len());
            (exact, candidate.entry.priority, length)
        };
        rank(other)
            .cmp(&rank(self))
            .then_with(|| self.entry.key.cmp(&other.entry.key))
            .then_with(|| self.path.cmp(&other.path))
    }
}

impl<T> Bucket<T> {
    pub(super) fn as_slice(&self) -> &[Candidate<T>] {
        match self {
            Self::One(candidate) => std::slice::from_ref(candidate),
            Self::Many(Some(candidates)) => candidates,
            Self::Many(None) => &[],
        }
    }

    pub(super) fn insert(&mut self, candidate: Candidate<T>) {
        *self = match std::mem::take(self) {
            Self::Many(None) => Self::One(candidate),
            Self::One(other) => {
                let mut both = vec![other, candidate];
                both.sort_by(Candidate::order);
                Self::Many(Some(Arc::new(both)))
            }
            Self::Many(Some(mut candidates)) => {
                let list = Arc::make_mut(&mut candidates);
                let at = list.partition_point(|one| one.order(&candidate).is_lt());
                list.insert(at, candidate);
                Self::Many(Some(candidates))
            }
        };
    }

    /// Removes what the route has here.
    pub(super) fn remove(&mut self, key: &str) {
        *self = match std::mem::take(self) {
            Self::One(candidate) if *candidate.entry.key == *key => Self::Many(None),
            Self::Many(Some(mut candidates)) => {
                let list = Arc::make_mut(&mut candidates);
                list.retain(|candidate| *candidate.entry.key != *key);
                match list.as_slice() {
                    [] => Self::Many(None),
                    [one] => Self::One(one.clone()),
                    _ => Self::Many(Some(candidates)),
                }
            }
            unchanged => unchanged,
        };
    }
}

impl<T> Slot for Bucket<T> {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Many(None))
    }
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self::Many(None)
    }
}

impl<T> Clone for Bucket<T> {
    fn clone(&self) -> Self {
        match self {
            Self::One(candidate) => Self::One(candidate.clone()),
            Self::Many(candidates) => Self::Many(candidates.clone()),
        }
    }
}

impl<T> Clone for Candidate<T> {
    fn clone(&self) -> Self {
        Self {
            entry: Arc::clone(&self.entry),
            path: self.path,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_single_route_takes_no_more_room_than_a_candidate() {
        assert_eq!(size_of::<super::Bucket<u64>>(), 16);
    }
}
