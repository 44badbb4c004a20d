//! A radix tree over bytes that shares what an edit does not touch.
//!
//! A clone is a pointer per child of the root. An edit copies the nodes from the root to the key and nothing else, and
//! copies none of them when the tree is not shared. Nodes that neither hold something nor branch are merged away, so
//! the shape depends on the content alone.

use std::sync::Arc;

use smallvec::SmallVec;

/// What a node holds. Most nodes of a tree that branch hold nothing.
pub(super) trait Slot: Default {
    fn is_empty(&self) -> bool;
}

#[derive(Clone)]
pub(super) struct Tree<S> {
    root: Node<S>,
}

struct Node<S> {
    /// The bytes between the parent and here; empty for the root alone.
    label: SmallVec<[u8; 16]>,
    slot: S,
    /// Sorted by first byte.
    children: Box<[Child<S>]>,
}

struct Child<S> {
    first: u8,
    node: Arc<Node<S>>,
}

impl<S: Slot + Clone> Tree<S> {
    /// Visits what the nodes on the way to `key` hold, from the shortest prefix to `key` itself; `true` tells that a
    /// node stands for the whole key.
    pub(super) fn walk<'t>(&'t self, key: &[u8], mut visit: impl FnMut(&'t S, bool)) {
        let mut node = &self.root;
        let mut rest = key;
        loop {
            if !node.slot.is_empty() {
                visit(&node.slot, rest.is_empty());
            }
            let Some(child) = rest.first().and_then(|first| node.child(*first)) else {
                return;
            };
            let Some(after) = rest.strip_prefix(child.label.as_slice()) else {
                return;
            };
            node = child;
            rest = after;
        }
    }

    /// What `key` itself holds.
    pub(super) fn get(&self, key: &[u8]) -> Option<&S> {
        let mut found = None;
        self.walk(key, |slot, whole| found = whole.then_some(slot).or(found));
        found
    }

    /// Lets `edit` change what `key` holds. A key comes into being by being filled and goes by being emptied.
    pub(super) fn edit(&mut self, key: &[u8], edit: impl FnOnce(&mut S)) {
        let mut node = &mut self.root;
        let mut is_root = true;
        let mut rest = key;
        loop {
            let Some(&first) = rest.first() else {
                // Only for the root: the last step of a longer key is taken at its parent.
                return edit(&mut node.slot);
            };
            let index = match node
                .children
                .binary_search_by_key(&first, |child| child.first)
            {
                Ok(index) => index,
                Err(index) => {
                    let leaf = Node::leaf(rest, edit);
                    return node.add(index, leaf);
                }
            };
            let Some(child) = node.children.get(index) else {
                return;
            };
            let common = common(&child.node.label, rest);
            let Some((shared, after)) = rest.split_at_checked(common) else {
                return;
            };
            if common < child.node.label.len() {
                let leaf = Node::leaf(after, edit);
                return node.split(index, shared, leaf);
            }
            if after.is_empty() {
                return node.edit_child(index, is_root, edit);
            }
            rest = after;
            is_root = false;
            let Some(child) = node.children.get_mut(index) else {
                return;
            };
            node = Arc::make_mut(&mut child.node);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.slot.is_empty() && self.root.children.is_empty()
    }

    #[cfg(test)]
    fn nodes(&self) -> usize {
        fn count<S>(node: &Node<S>) -> usize {
            1 + node
                .children
                .iter()
                .map(|child| count(&child.node))
                .sum::<usize>()
        }
        count(&self.root)
    }
}

impl<S: Slot + Clone> Node<S> {
    fn leaf(label: &[u8], fill: impl FnOnce(&mut S)) -> Self {
        let mut slot = S::default();
        fill(&mut slot);
        Self {
            label: SmallVec::from_slice(label),
            slot,
            children: Box::default(),
        }
    }

    fn child(&self, first: u8) -> Option<&Self> {
        let index = self
            .children
            .binary_search_by_key(&first, |child| child.first)
            .ok()?;
        self.children.get(index).map(|child| &*child.node)
    }

    /// Adds a child, unless it holds nothing.
    fn add(&mut self, index: usize, leaf: Self) {
        if leaf.slot.is_empty() {
            return;
        }
        let mut children = std::mem::take(&mut self.children).into_vec();
        children.reserve_exact(1);
        children.insert(index, leaf.into_child());
        self.children = children.into();
    }

    /// Puts a node for `shared`, the beginning of the child's label, between this node and the child, and `leaf` beside
    /// the child; where nothing of the key is left, the new node itself takes what `leaf` holds.
    fn split(&mut self, index: usize, shared: &[u8], leaf: Self) {
        if leaf.slot.is_empty() {
            return;
        }
        let Some(place) = self.children.get_mut(index) else {
            return;
        };
        let lower = Arc::make_mut(&mut place.node);
        lower.label.drain(..shared.len());
        let lower = Child {
            first: lower.first(),
            node: Arc::clone(&place.node),
        };
        let mut between = Self {
            label: SmallVec::from_slice(shared),
            slot: S::default(),
            children: Box::new([lower]),
        };
        if leaf.label.is_empty() {
            between.slot = leaf.slot;
        } else {
            let index = usize::from(
                between
                    .children
                    .iter()
                    .all(|child| child.first < leaf.first()),
            );
            between.add(index, leaf);
        }
        *place = between.into_child();
    }

    /// Edits what a child holds and tidies up: an empty leaf goes, a node with nothing but one child joins it.
    fn edit_child(&mut self, index: usize, is_root: bool, edit: impl FnOnce(&mut S)) {
        let Some(place) = self.children.get_mut(index) else {
            return;
        };
        let child = Arc::make_mut(&mut place.node);
        edit(&mut child.slot);
        if !child.slot.is_empty() {
            return;
        }
        match child.children.len() {
            0 => {
                let mut children = std::mem::take(&mut self.children).into_vec();
                children.remove(index);
                self.children = children.into();
                if !is_root && self.slot.is_empty() {
                    self.join_only_child();
                }
            }
            1 => child.join_only_child(),
            _ => {}
        }
    }

    fn join_only_child(&mut self) {
        let [only] = &*self.children else { return };
        let mut joined = Self::clone(&only.node);
        joined.label.insert_from_slice(0, &self.label);
        *self = joined;
    }

    fn first(&self) -> u8 {
        self.label.first().copied().unwrap_or_default()
    }

    fn into_child(self) -> Child<S> {
        Child {
            first: self.first(),
            node: Arc::new(self),
        }
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

impl<S: Slot> Default for Tree<S> {
    fn default() -> Self {
        let root = Node {
            label: SmallVec::new(),
            slot: S::default(),
            children: Box::default(),
        };
        Self { root }
    }
}

impl<S: Clone> Clone for Node<S> {
    fn clone(&self) -> Self {
        let Self {
            label,
            slot,
            children,
        } = self;
        Self {
            label: label.clone(),
            slot: slot.clone(),
            children: children.clone(),
        }
    }
}

impl<S> Clone for Child<S> {
    fn clone(&self) -> Self {
        Self {
            first: self.first,
            node: Arc::clone(&self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::{Slot, Tree};

    impl Slot for Option<u32> {
        fn is_empty(&self) -> bool {
            self.is_none()
        }
    }

    fn key() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"ab/".to_vec()), 0..8)
    }

    proptest! {
        #[test]
        fn behaves_as_a_map_whose_old_versions_stay(
            edits in prop::collection::vec((key(), any::<Option<u32>>()), 0..60),
            asked in prop::collection::vec(key(), 20),
        ) {
            let mut tree = Tree::default();
            let mut map = BTreeMap::new();
            let mut versions = Vec::new();
            for (key, value) in edits {
                versions.push((tree.clone(), map.clone()));
                tree.edit(&key, |slot| *slot = value);
                match value {
                    Some(value) => map.insert(key, value),
                    None => map.remove(&key),
                };
            }
            versions.push((tree, map));
            for (tree, map) in &versions {
                prop_assert_eq!(tree.is_empty(), map.is_empty());
                for key in asked.iter().chain(map.keys()) {
                    prop_assert_eq!(tree.get(key).copied().flatten(), map.get(key).copied());
                    let mut seen = Vec::new();
                    tree.walk(key, |slot, whole| seen.push((*slot, whole)));
                    let expected: Vec<_> = (0..=key.len())
                        .filter_map(|end| {
                            map.get(&key[..end]).map(|value| (Some(*value), end == key.len()))
                        })
                        .collect();
                    prop_assert_eq!(seen, expected);
                }
                // The shape depends on the content alone: a tree built anew has as many nodes.
                let mut anew = Tree::default();
                map.iter().for_each(|(key, value)| anew.edit(key, |slot| *slot = Some(*value)));
                prop_assert_eq!(tree.nodes(), anew.nodes());
            }
        }
    }
}
