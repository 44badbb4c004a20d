//! The compiled plugin chain: which instances run in which phase, in which order. It knows nothing of routes or stores.

mod meta;
mod run;
mod stream;
#[cfg(test)]
mod tests;

pub use meta::{Meta, MetaError};
pub use run::{Failed, Outcome};
pub use stream::Admission;

use crossway_sdk::{
    definition::Instance,
    plugin::Phases,
    slots::{ChainOf, Slot},
};
use std::{cmp::Reverse, sync::Arc};

/// The level that a plugin's configuration came from. Of several with one name, the highest level's is taken whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The service.
    Service,
    /// The stream route. It has nothing above it.
    Stream,
    /// The plugin config that the route refers to.
    PluginConfig,
    /// The route.
    Route,
    /// The consumer group.
    ConsumerGroup,
    /// The consumer.
    Consumer,
    /// A global rule: runs in addition to the others.
    Global,
}

impl Level {
    /// As `explain` names it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Service => "service",
            Level::Stream => "stream_route",
            Level::PluginConfig => "plugin_config",
            Level::Route => "route",
            Level::ConsumerGroup => "consumer_group",
            Level::Consumer => "consumer",
            Level::Global => "global_rule",
        }
    }
}

/// One plugin in one place of use.
#[derive(Clone)]
pub struct Entry {
    /// Name of the plugin.
    pub name: &'static str,
    /// The priority of its definition or of `_meta.priority`.
    pub priority: i32,
    /// The phases that it takes part in.
    pub phases: Phases,
    /// Whether it is an authenticator, or one runs inside of it.
    pub auth: bool,
    /// Whether a global copy gives way to one in the route's chain.
    pub prefer_route: bool,
    /// Where its configuration stands.
    pub level: Level,
    /// The resource that holds the configuration, e.g. `services/1`.
    pub origin: Arc<str>,
    /// The instance.
    pub instance: Arc<dyn Instance>,
    /// What `_meta` says; `None` when it says nothing.
    pub meta: Option<Arc<Meta>>,
}

/// The phases that have a list of their own, in the order of [`Phases`]' bits.
const PHASES: [Phases; 9] = [
    Phases::REWRITE,
    Phases::ACCESS,
    Phases::BEFORE_PROXY,
    Phases::REQUEST_BODY,
    Phases::HEADER_FILTER,
    Phases::BODY_FILTER,
    Phases::LOG,
    Phases::STREAM_ACCESS,
    Phases::STREAM_LOG,
];

/// A compiled chain.
pub struct Chain {
    of: ChainOf,
    entries: Box<[Placed]>,
    /// For each phase, positions in `entries`, in running order.
    phases: [Box<[u16]>; 9],
}

/// An entry and the slot of its per-request state. Slots stay the same when a consumer's plugins join a route's chain.
#[derive(Clone)]
struct Placed {
    entry: Entry,
    slot: Slot,
    /// It came with the consumer, and the route has none of that name.
    joined: bool,
}

impl Chain {
    /// Compiles a chain. Of entries with one name, that of the highest level is kept.
    pub fn compile(of: ChainOf, entries: Vec<Entry>) -> Self {
        let mut placed = Vec::with_capacity(entries.len());
        for entry in entries {
            let slot = Slot {
                chain: of,
                index: u16::try_from(placed.len()).unwrap_or(u16::MAX),
                part: 0,
            };
            placed.push(Placed {
                entry,
                slot,
                joined: false,
            });
        }
        Self::of_placed(of, placed)
    }

    /// This chain with the plugins of a consumer and its group in place of, or beside, its own.
    pub fn with(&self, joining: Vec<Entry>) -> Self {
        let mut placed: Vec<Placed> = self.entries.to_vec();
        let mut next = placed
            .iter()
            .map(|p| p.slot.index.saturating_add(1))
            .max()
            .unwrap_or(0);
        for entry in joining {
            placed.push(Placed {
                joined: !self.contains(entry.name),
                entry,
                slot: Slot {
                    chain: self.of,
                    index: next,
                    part: 0,
                },
            });
            next = next.saturating_add(1);
        }
        Self::of_placed(self.of, placed)
    }

    fn of_placed(of: ChainOf, mut placed: Vec<Placed>) -> Self {
        placed.sort_by_key(|p| (p.entry.name, Reverse(p.entry.level)));
        placed.dedup_by_key(|p| p.entry.name);
        // `_meta.disable` at a higher level hides the lower level's configuration too, so it counts only now.
        placed.retain(|p| !p.entry.meta.as_ref().is_some_and(|m| m.disable));
        placed.sort_by_key(|p| (Reverse(p.entry.priority), p.entry.name));
        let phases = PHASES.map(|phase| {
            let takes_part = |p: &Placed| p.entry.phases.contains(phase);
            (0u16..)
                .zip(&placed)
                .filter(|(_, p)| takes_part(p))
                .map(|(i, _)| i)
                .collect()
        });
        Self {
            of,
            entries: placed.into_boxed_slice(),
            phases,
        }
    }

    fn phase(&self, phase: Phases) -> impl Iterator<Item = &Placed> {
        let list = self.phases.get(phase.bits().trailing_zeros() as usize);
        list.into_iter()
            .flatten()
            .filter_map(|i| self.entries.get(usize::from(*i)))
    }

    /// Whether any plugin takes part in this phase.
    pub fn has(&self, phase: Phases) -> bool {
        self.phases
            .get(phase.bits().trailing_zeros() as usize)
            .is_some_and(|list| !list.is_empty())
    }

    /// Whether a plugin of that name takes part at all.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.iter().any(|p| p.entry.name == name)
    }

    /// The entries in running order, for `explain`.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(|p| &p.entry)
    }
}
