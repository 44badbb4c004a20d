//! The plugins of a request: those that run, in order, and those that are configured and do not, with the reason.

use super::{Explanation, FilterReport, LeftOut, PluginReport, known::Known};
use crate::{
    chain::{Chain, Entry, Level},
    compile::State,
    model::{Kind, ResourceKey},
    snapshot::{Route, Snapshot},
};
use crossway_sdk::{
    expr::{Expression, Verdict},
    plugin::Phases,
};

pub(super) struct Configuration<'s> {
    pub(super) state: &'s State,
    pub(super) snapshot: &'s Snapshot,
}

impl Configuration<'_> {
    /// Plugins of the global rules.
    pub(super) fn global(
        &self,
        route: Option<&Route>,
        known: &Known<'_>,
        explanation: &mut Explanation,
    ) {
        let chain = &self.snapshot.global;
        for entry in chain.entries() {
            let mut report = self.report(entry, known);
            if entry.prefer_route && route.is_some_and(|r| r.chain.contains(entry.name)) {
                let note = "it leaves logging to the route's own copy";
                report.notes.push(note.to_owned());
            }
            explanation.global_plugins.push(report);
        }
        let rules = self.state.documents().map(|(key, _)| key);
        let all: Vec<&Entry> = rules
            .filter(|key| key.kind == Kind::GlobalRule)
            .flat_map(|key| self.state.plugins_of(key))
            .collect();
        for entry in all.iter().filter(|entry| !runs(chain, entry)) {
            let same = all.iter().filter(|other| other.name == entry.name).count();
            let why = if same > 1 {
                format!("{same} global rules configure it, so that none of them counts")
            } else {
                DISABLED.to_owned()
            };
            explanation.left_out.push(left_out(entry, why));
        }
    }

    /// Plugins of the route, of what it refers to, and of the consumer.
    pub(super) fn route(&self, route: &Route, known: &Known<'_>, explanation: &mut Explanation) {
        let consumer = explanation
            .consumer
            .as_ref()
            .and_then(|c| self.snapshot.consumers.get(&c.username));
        let chain = match consumer {
            Some(entry) => route.chain_for(&entry.consumer, self.snapshot),
            None => route.chain.clone(),
        };
        for entry in chain.entries() {
            let mut report = self.report(entry, known);
            if entry.auth && entry.level >= Level::ConsumerGroup {
                let note = "it came with the consumer, so it no longer authenticates";
                report.notes.push(note.to_owned());
            }
            explanation.plugins.push(report);
        }
        let configured = self.configured(route, explanation);
        for entry in configured.iter().filter(|entry| !runs(&chain, entry)) {
            let why = why_not(entry, &configured);
            explanation.left_out.push(left_out(entry, why));
        }
        self.note_on_consumer(route, explanation);
    }

    /// Every plugin that some resource configures for this request.
    fn configured(&self, route: &Route, explanation: &Explanation) -> Vec<&Entry> {
        let consumer = explanation.consumer.as_ref();
        let consumer = consumer.filter(|c| c.found);
        let places = [
            (
                Kind::Service,
                route.info.service_id.as_deref().map(str::to_owned),
            ),
            (Kind::PluginConfig, self.plugin_config_of(route)),
            (Kind::Route, Some(route.info.id.to_string())),
            (Kind::ConsumerGroup, consumer.and_then(|c| c.group.clone())),
            (Kind::Consumer, consumer.map(|c| c.username.clone())),
        ];
        let mut all = Vec::new();
        for (kind, id) in places {
            let key = id.and_then(|id| ResourceKey::new(kind, &id).ok());
            all.extend(key.iter().flat_map(|key| self.state.plugins_of(key)));
        }
        all
    }

    fn plugin_config_of(&self, route: &Route) -> Option<String> {
        let document = super::document(self.state, Kind::Route, &route.info.id)?;
        match document.get("plugin_config_id")? {
            serde_json::Value::String(id) => Some(id.clone()),
            other => Some(other.to_string()),
        }
    }

    fn note_on_consumer(&self, route: &Route, explanation: &mut Explanation) {
        let chains = [&self.snapshot.global, &route.chain];
        let mut authenticators: Vec<&str> = chains
            .iter()
            .flat_map(|chain| chain.entries())
            .filter(|entry| entry.auth)
            .map(|entry| entry.name)
            .collect();
        authenticators.dedup();
        let note = match (&explanation.consumer, authenticators.as_slice()) {
            (Some(consumer), _) if !consumer.found => {
                format!("there is no consumer {:?}", consumer.username)
            }
            (Some(_), []) => {
                "no plugin authenticates here, so that the consumer would not be known".to_owned()
            }
            (None, [_, ..]) => format!(
                "{} authenticates; a consumer may bring plugins along, and a request without one may be refused",
                authenticators.join(", ")
            ),
            _ => return,
        };
        explanation.notes.push(note);
    }

    fn report(&self, entry: &Entry, known: &Known<'_>) -> PluginReport {
        let mut notes = Vec::new();
        let meta = entry.meta.as_deref();
        if let Some(own) = self.state.workshop().registry.get(entry.name)
            && own.priority != entry.priority
        {
            notes.push(format!("its own priority is {}", own.priority));
        }
        if meta.is_some_and(|m| m.error_response.is_some()) {
            notes.push("_meta.error_response stands in for its own errors".to_owned());
        }
        PluginReport {
            name: entry.name.to_owned(),
            priority: entry.priority,
            level: entry.level.name().to_owned(),
            origin: entry.origin.to_string(),
            phases: phases(entry.phases),
            filter: meta
                .and_then(|m| m.filter.as_ref())
                .map(|filter| judge(filter, known)),
            notes,
        }
    }
}

const DISABLED: &str = "_meta.disable switches it off";

fn phases(phases: Phases) -> Vec<String> {
    phases
        .iter_names()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect()
}

fn judge(filter: &Expression, known: &Known<'_>) -> FilterReport {
    let runs = match filter.decide(known, false) {
        Verdict::Yes => Some(true),
        Verdict::No | Verdict::Undecided => Some(false),
        Verdict::NeedsBody => None,
    };
    FilterReport {
        expression: filter.to_string(),
        runs,
        why: (runs == Some(false))
            .then(|| filter.explain(known))
            .flatten(),
    }
}

/// Whether this place of use is the one in the chain.
fn runs(chain: &Chain, entry: &Entry) -> bool {
    let mut entries = chain.entries();
    entries.any(|other| other.name == entry.name && other.origin == entry.origin)
}

/// Why an entry of these is not in the chain: it is switched off, or a higher level configures the plugin, too.
fn why_not(entry: &Entry, all: &[&Entry]) -> String {
    let same = all.iter().filter(|other| other.name == entry.name);
    let Some(winner) = same
        .max_by_key(|other| other.level)
        .filter(|winner| winner.level > entry.level)
    else {
        return DISABLED.to_owned();
    };
    let off = match winner.meta.as_ref().is_some_and(|m| m.disable) {
        true => ", where _meta.disable switches it off",
        false => "",
    };
    let joins_late = winner.level >= Level::ConsumerGroup && entry.level < Level::ConsumerGroup;
    let disabled = entry.meta.as_ref().is_some_and(|m| m.disable);
    let early = match joins_late && !disabled && entry.phases.contains(Phases::REWRITE) {
        true => "; its rewrite phase runs nevertheless, before the consumer is known",
        false => "",
    };
    format!(
        "{} configures it, too, and goes first{off}{early}",
        winner.origin
    )
}

fn left_out(entry: &Entry, why: String) -> LeftOut {
    LeftOut {
        name: entry.name.to_owned(),
        level: entry.level.name().to_owned(),
        origin: entry.origin.to_string(),
        why,
    }
}
