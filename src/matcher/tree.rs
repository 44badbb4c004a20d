//! A radix tree over bytes that shares what an edit does not touch.
//!
//! A clone is a pointer. An edit copies the nodes from the root to the key and nothing else, and
//! copies none of them when the tree is not shared. Nodes that neither hold something nor branch are merged away, so
//! the shape depends on the content alone.

use std::sync::Arc;

use smallvec::SmallVec;

/// What a node holds. Most nodes of a tree that branch hold nothing.
pub(super) trait Slot: Default {
    fn is_empty(&self) -> bool;
}

pub(super) struct Tree<S> {
    root: Option<Arc<Node<S>>>,
}

struct Node<S> {
    /// The bytes between the parent and here; empty for a root that branches at once.
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
        let mut next = self.root.as_deref();
        let mut rest = key;
        while let Some(node) = next {
            let Some(after) = rest.strip_prefix(node.label.as_slice()) else {
                return;
            };
            if !node.slot.is_empty() {
                visit(&node.slot, after.is_empty());
            }
            next = after.first().and_then(|first| node.child(*first));
            rest = after;
        }
    }

    /// What `key` itself holds.
    pub(super) fn get(&self, key: &[u8]) -> Option<&S> {
        let mut found = None;
        self.walk(key, |slot, whole| found = whole.then_some(slot));
        found
    }

    /// Lets `edit` change what `key` holds. A key comes into being by being filled and goes by being emptied.
    pub(super) fn edit(&mut self, key: &[u8], edit: impl FnOnce(&mut S)) {
        let Some(root) = &mut self.root else {
            let leaf = Node::leaf(key, edit);
            self.root = (!leaf.slot.is_empty()).then(|| Arc::new(leaf));
            return;
        };
        if edit_at(root, key, edit) {
            self.root = None;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
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
        self.root.as_deref().map_or(0, count)
    }
}

/// Edits at or below a node; true when the node has become needless. A loop, not a recursion: the depth is the
/// configuration's.
fn edit_at<S: Slot + Clone>(
    mut place: &mut Arc<Node<S>>,
    mut key: &[u8],
    edit: impl FnOnce(&mut S),
) -> bool {
    loop {
        let common = common(&place.label, key);
        let Some((shared, rest)) = key.split_at_checked(common) else {
            return false;
        };
        if common < place.label.len() {
            split(place, shared, Node::leaf(rest, edit));
            return false;
        }
        let node = Arc::make_mut(place);
        let Some(first) = rest.first() else {
            edit(&mut node.slot);
            return node.tidy();
        };
        let index = match node
            .children
            .binary_search_by_key(first, |child| child.first)
        {
            Ok(index) => index,
            Err(index) => {
                node.add(index, Node::leaf(rest, edit));
                return false;
            }
        };
        // The last step is taken from above, where a needless node can be removed. The node above it stays: it holds
        // something or has another child.
        if node
            .children
            .get(index)
            .is_some_and(|child| *child.node.label == *rest)
        {
            node.edit_child(index, edit);
            return false;
        }
        let Some(child) = node.children.get_mut(index) else {
            return false;
        };
        place = &mut child.node;
        key = rest;
    }
}

/// Puts a node for `shared`, the beginning of the label of the node at `place`, above that node, and `leaf` beside it;
/// where nothing of the key is left, the new node itself takes what `leaf` holds.
fn split<S: Slot + Clone>(place: &mut Arc<Node<S>>, shared: &[u8], mut leaf: Node<S>) {
    if leaf.slot.is_empty() {
        return;
    }
    let lower = Arc::make_mut(place);
    lower.label.drain(..shared.len());
    let lower = Child {
        first: lower.first(),
        node: Arc::clone(place),
    };
    let mut upper = Node {
        label: SmallVec::from_slice(shared),
        slot: S::default(),
        children: Box::new([lower]),
    };
    if leaf.label.is_empty() {
        upper.slot = std::mem::take(&mut leaf.slot);
    } else {
        let index = usize::from(
            upper
                .children
                .iter()
                .all(|child| child.first < leaf.first()),
        );
        upper.add(index, leaf);
    }
    *place = Arc::new(upper);
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
        children.insert(
            index,
            Child {
                first: leaf.first(),
                node: Arc::new(leaf),
            },
        );
        self.children = children.into();
    }

    fn edit_child(&mut self, index: usize, edit: impl FnOnce(&mut S)) {
        let Some(child) = self.children.get_mut(index) else {
            return;
        };
        let node = Arc::make_mut(&mut child.node);
        edit(&mut node.slot);
        if node.tidy() {
            let mut children = std::mem::take(&mut self.children).into_vec();
            children.remove(index);
            self.children = children.into();
            self.tidy();
        }
    }

    /// Joins a node that holds nothing with its only child. True when there is no child either.
    fn tidy(&mut self) -> bool {
        if !self.slot.is_empty() {
            return false;
        }
        if let [only] = &*self.children {
            let mut joined = Self::clone(&only.node);
            joined.label.insert_from_slice(0, &self.label);
            *self = joined;
        }
        self.slot.is_empty() && self.children.is_empty()
    }

    fn first(&self) -> u8 {
        self.label.first().copied().unwrap_or_default()
    }
}

fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

/// Lets go of children without recursion, whatever the depth.
impl<S> Drop for Node<S> {
    fn drop(&mut self) {
        let mut open = std::mem::take(&mut self.children).into_vec();
        while let Some(child) = open.pop() {
            if let Some(mut node) = Arc::into_inner(child.node) {
                open.append(&mut std::mem::take(&mut node.children).into_vec());
            }
        }
    }
}

impl<S> Default for Tree<S> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<S> Clone for Tree<S> {
    fn clone(&self) -> Self {
        Self {
            root: self.root.clone(),
        }
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

    #[test]
    fn deep_trees_need_no_deep_stack() {
        // As deep as it can get: a route for each beginning of the longest path that APISIX takes.
        let longest = [b'a'; 4096];
        let mut tree = Tree::default();
        for length in 0..=longest.len() {
            tree.edit(&longest[..length], |slot| *slot = Some(1));
        }
        assert_eq!(tree.nodes(), 4097);
        let copy = tree.clone();
        tree.edit(&longest, |slot| *slot = None);
        assert_eq!((tree.nodes(), copy.nodes()), (4096, 4097));
    }

    #[test]
    fn an_edit_copies_the_way_to_the_key_and_nothing_else() {
        let mut tree = Tree::default();
        for number in 0..5_000u32 {
            tree.edit(format!("/v1/{number:05}/x").as_bytes(), |slot| {
                *slot = Some(number)
            });
        }
        let nodes = |tree: &Tree<Option<u32>>| {
            let mut open: Vec<_> = tree.root.iter().collect();
            let mut nodes = std::collections::HashSet::new();
            while let Some(node) = open.pop() {
                nodes.insert(std::sync::Arc::as_ptr(node));
                open.extend(node.children.iter().map(|child| &child.node));
            }
            nodes
        };
        let before = tree.clone();
        tree.edit(b"/v1/01234/x", |slot| *slot = Some(0));
        // The root, which ends behind the first digit, and a node for each of the others.
        assert_eq!(nodes(&tree).difference(&nodes(&before)).count(), 5);
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
