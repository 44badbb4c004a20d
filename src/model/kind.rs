//! The table of kinds: one row holds everything that generic CRUD, paging, schema serving and delete
//! guards need to know about a kind of resource.

use std::{fmt, ops::Deref, sync::OnceLock};

use bitflags::bitflags;
use serde_json::Value;

use super::{
    Consumer, ConsumerGroup, Credential, GlobalRule, PluginConfig, PluginMetadata, Problem, Proto,
    Route, Secret, Service, Ssl, StreamRoute, Upstream, consumer, consumer_group, credential,
    decode, global_rule, plugin_config, plugin_metadata, proto, route, schema::Compiled, secret,
    service, ssl, stream_route, upstream,
};

/// A kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // each is the resource of that name
pub enum Kind {
    Route,
    Service,
    Upstream,
    Consumer,
    Credential,
    ConsumerGroup,
    Ssl,
    GlobalRule,
    PluginConfig,
    PluginMetadata,
    Proto,
    StreamRoute,
    Secret,
}

bitflags! {
    /// What the Admin API allows on a kind of resource.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Verbs: u8 {
        /// `GET` of the collection.
        const LIST = 1;
        /// `GET` of one document.
        const GET = 1 << 1;
        /// `PUT` of one document.
        const PUT = 1 << 2;
        /// `POST` to the collection; the server gives the id.
        const POST = 1 << 3;
        /// `PATCH` of one document or of a part of it.
        const PATCH = 1 << 4;
        /// `DELETE` of one document.
        const DELETE = 1 << 5;
    }
}

/// What the ids of a kind look like; see [`Id`](super::Id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdShape {
    /// `1`, `my-route`.
    Plain,
    /// `jack`.
    Username,
    /// `jack/credentials/a`.
    Credential,
    /// `vault/1`.
    Secret,
}

/// A field that holds the id of another resource.
pub(super) type IdField = (&'static str, Kind);

/// What is known of a kind.
pub(super) struct Facts {
    path: &'static str,
    /// Where the documents live, if not at `path`.
    collection: &'static str,
    singular: &'static str,
    label: &'static str,
    verbs: Verbs,
    id_shape: IdShape,
    id_field: &'static str,
    put_needs_id: bool,
    timestamps: bool,
    owner: Option<Kind>,
    guards: &'static [Kind],
    /// Pointers to the fields that refer to others.
    pub(super) refers: &'static [IdField],
    /// Whether `plugins` holds plugin configurations.
    pub(super) plugins: bool,
    /// Whether APISIX knows fields with Lua source in it.
    pub(super) lua_fields: bool,
    schema: fn() -> Value,
    /// A narrower schema that suits the document better than the one that is served.
    pub(super) narrow: Option<fn(&Value) -> Option<&'static Compiled>>,
    /// Rules between fields that are asked even where the schema is not met.
    pub(super) rules_first: fn(&Value, &mut Vec<Problem>),
    /// Rules between fields.
    pub(super) rules: fn(&Value, &mut Vec<Problem>),
    /// Whether the typed model takes the document.
    pub(super) decodes: fn(&Value) -> Result<(), Problem>,
}

impl Facts {
    /// What most kinds have in common.
    const fn new(path: &'static str, singular: &'static str, schema: fn() -> Value) -> Self {
        Facts {
            path,
            collection: path,
            singular,
            label: singular,
            verbs: Verbs::all(),
            id_shape: IdShape::Plain,
            id_field: "id",
            put_needs_id: true,
            timestamps: true,
            owner: None,
            guards: &[],
            refers: &[],
            plugins: true,
            lua_fields: false,
            schema,
            narrow: None,
            rules_first: |_, _| {},
            rules: |_, _| {},
            decodes: |_| Ok(()),
        }
    }
}

/// A row of the table: the facts, and the schema once it is compiled.
pub(super) struct Row {
    facts: Facts,
    compiled: OnceLock<Compiled>,
}

impl Row {
    const fn of(facts: Facts) -> Self {
        Row {
            facts,
            compiled: OnceLock::new(),
        }
    }

    pub(super) fn compiled(&self) -> &Compiled {
        self.compiled
            .get_or_init(|| Compiled::new((self.facts.schema)()))
    }
}

impl Deref for Row {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

/// Everything but the verbs given.
const fn all_but(verbs: Verbs) -> Verbs {
    Verbs::all().difference(verbs)
}

const INLINE_CERTIFICATE: IdField = ("/upstream/tls/client_cert_id", Kind::Ssl);

static ROUTE: Row = Row::of(Facts {
    refers: &[
        ("/upstream_id", Kind::Upstream),
        ("/service_id", Kind::Service),
        ("/plugin_config_id", Kind::PluginConfig),
        INLINE_CERTIFICATE,
    ],
    lua_fields: true,
    rules_first: route::rules_first,
    rules: route::rules,
    decodes: |document| decode::<Route>(document).map(drop),
    ..Facts::new("routes", "route", route::schema)
});

static SERVICE: Row = Row::of(Facts {
    guards: &[Kind::Route, Kind::StreamRoute],
    refers: &[("/upstream_id", Kind::Upstream), INLINE_CERTIFICATE],
    lua_fields: true,
    rules: service::rules,
    decodes: |document| decode::<Service>(document).map(drop),
    ..Facts::new("services", "service", service::schema)
});

static UPSTREAM: Row = Row::of(Facts {
    // Routes, stream routes and services by `upstream_id`, all of them by `traffic-split`.
    guards: &[
        Kind::Route,
        Kind::StreamRoute,
        Kind::Service,
        Kind::PluginConfig,
        Kind::Consumer,
        Kind::ConsumerGroup,
        Kind::GlobalRule,
    ],
    refers: &[("/tls/client_cert_id", Kind::Ssl)],
    plugins: false,
    rules: upstream::rules,
    decodes: |document| decode::<Upstream>(document).map(drop),
    ..Facts::new("upstreams", "upstream", upstream::schema)
});

static CONSUMER: Row = Row::of(Facts {
    verbs: all_but(Verbs::POST.union(Verbs::PATCH)),
    id_shape: IdShape::Username,
    id_field: "username",
    put_needs_id: false,
    refers: &[("/group_id", Kind::ConsumerGroup)],
    decodes: |document| decode::<Consumer>(document).map(drop),
    ..Facts::new("consumers", "consumer", consumer::schema)
});

static CREDENTIAL: Row = Row::of(Facts {
    collection: "consumers",
    verbs: all_but(Verbs::POST.union(Verbs::PATCH)),
    id_shape: IdShape::Credential,
    owner: Some(Kind::Consumer),
    decodes: |document| decode::<Credential>(document).map(drop),
    ..Facts::new("credentials", "credential", credential::schema)
});

static CONSUMER_GROUP: Row = Row::of(Facts {
    label: "consumer group",
    verbs: all_but(Verbs::POST),
    guards: &[Kind::Consumer],
    decodes: |document| decode::<ConsumerGroup>(document).map(drop),
    ..Facts::new("consumer_groups", "consumer_group", consumer_group::schema)
});

static SSL: Row = Row::of(Facts {
    plugins: false,
    rules: ssl::rules,
    decodes: |document| decode::<Ssl>(document).map(drop),
    ..Facts::new("ssls", "ssl", ssl::schema)
});

static GLOBAL_RULE: Row = Row::of(Facts {
    label: "global rule",
    verbs: all_but(Verbs::POST),
    decodes: |document| decode::<GlobalRule>(document).map(drop),
    ..Facts::new("global_rules", "global_rule", global_rule::schema)
});

static PLUGIN_CONFIG: Row = Row::of(Facts {
    label: "plugin config",
    verbs: all_but(Verbs::POST),
    guards: &[Kind::Route],
    decodes: |document| decode::<PluginConfig>(document).map(drop),
    ..Facts::new("plugin_configs", "plugin_config", plugin_config::schema)
});

static PLUGIN_METADATA: Row = Row::of(Facts {
    verbs: all_but(Verbs::POST.union(Verbs::PATCH)),
    timestamps: false,
    plugins: false,
    decodes: |document| decode::<PluginMetadata>(document).map(drop),
    ..Facts::new(
        "plugin_metadata",
        "plugin_metadata",
        plugin_metadata::schema,
    )
});

static PROTO: Row = Row::of(Facts {
    verbs: all_but(Verbs::PATCH),
    guards: &[Kind::Route, Kind::Service],
    plugins: false,
    rules: proto::rules,
    decodes: |document| decode::<Proto>(document).map(drop),
    ..Facts::new("protos", "proto", proto::schema)
});

static STREAM_ROUTE: Row = Row::of(Facts {
    label: "stream route",
    verbs: all_but(Verbs::PATCH),
    guards: &[Kind::StreamRoute],
    refers: &[
        ("/upstream_id", Kind::Upstream),
        ("/service_id", Kind::Service),
        ("/protocol/superior_id", Kind::StreamRoute),
        INLINE_CERTIFICATE,
    ],
    rules: stream_route::rules,
    decodes: |document| decode::<StreamRoute>(document).map(drop),
    ..Facts::new("stream_routes", "stream_route", stream_route::schema)
});

static SECRET: Row = Row::of(Facts {
    verbs: all_but(Verbs::POST),
    id_shape: IdShape::Secret,
    plugins: false,
    narrow: Some(secret::narrow),
    decodes: |document| decode::<Secret>(document).map(drop),
    ..Facts::new("secrets", "secret", secret::schema)
});

impl Kind {
    /// Every kind once.
    pub const ALL: &[Kind] = &[
        Kind::Route,
        Kind::Service,
        Kind::Upstream,
        Kind::Consumer,
        Kind::Credential,
        Kind::ConsumerGroup,
        Kind::Ssl,
        Kind::GlobalRule,
        Kind::PluginConfig,
        Kind::PluginMetadata,
        Kind::Proto,
        Kind::StreamRoute,
        Kind::Secret,
    ];

    pub(super) fn row(self) -> &'static Row {
        match self {
            Kind::Route => &ROUTE,
            Kind::Service => &SERVICE,
            Kind::Upstream => &UPSTREAM,
            Kind::Consumer => &CONSUMER,
            Kind::Credential => &CREDENTIAL,
            Kind::ConsumerGroup => &CONSUMER_GROUP,
            Kind::Ssl => &SSL,
            Kind::GlobalRule => &GLOBAL_RULE,
            Kind::PluginConfig => &PLUGIN_CONFIG,
            Kind::PluginMetadata => &PLUGIN_METADATA,
            Kind::Proto => &PROTO,
            Kind::StreamRoute => &STREAM_ROUTE,
            Kind::Secret => &SECRET,
        }
    }

    /// The name in Admin API paths and in declarative files: `routes`, `plugin_metadata`. Credentials
    /// are `credentials`, below their consumer.
    pub fn path(self) -> &'static str {
        self.row().path
    }

    /// The kind with this [`path`](Kind::path).
    pub fn from_path(path: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.path() == path)
    }

    /// The first part of the store keys of its documents: its path, except that credentials share
    /// `consumers` with their owners.
    pub fn collection(self) -> &'static str {
        self.row().collection
    }

    /// The name of one of it in `/schema/{name}` and in messages about verbs: `consumer_group`.
    pub fn singular(self) -> &'static str {
        self.row().singular
    }

    /// The kind with this [`singular`](Kind::singular).
    pub fn from_singular(name: &str) -> Option<Kind> {
        Kind::ALL
            .iter()
            .copied()
            .find(|kind| kind.singular() == name)
    }

    /// The name of one of it in prose, as in `missing consumer group id`.
    pub fn label(self) -> &'static str {
        self.row().label
    }

    /// What the Admin API allows on it.
    pub fn verbs(self) -> Verbs {
        self.row().verbs
    }

    /// What its ids look like.
    pub fn id_shape(self) -> IdShape {
        self.row().id_shape
    }

    /// The field of a document that holds its id: `id`, or `username` for consumers.
    pub fn id_field(self) -> &'static str {
        self.row().id_field
    }

    /// Whether a `PUT` without an id, in the path or the body, is refused as `missing … id`. Where it is
    /// not, the id is a required field of the document.
    pub fn put_needs_id(self) -> bool {
        self.row().put_needs_id
    }

    /// Whether the server keeps `create_time` and `update_time` in its documents.
    pub fn has_timestamps(self) -> bool {
        self.row().timestamps
    }

    /// Whether its documents carry plugin configurations in `plugins`.
    pub fn has_plugins(self) -> bool {
        self.row().plugins
    }

    /// The kind below whose documents these live, and with which they go: consumers for credentials.
    pub fn owner(self) -> Option<Kind> {
        self.row().owner
    }

    /// The kinds whose documents keep one of it from being deleted by referring to it; which of their
    /// fields do is for [`references`](super::references()) to say.
    pub fn guards(self) -> &'static [Kind] {
        self.row().guards
    }

    /// The draft-07 schema that its documents are judged by.
    pub fn schema(self) -> &'static Value {
        &self.row().compiled().document
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::schema::compile;

    #[test]
    fn names_find_their_kind() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_path(kind.path()), Some(*kind));
            assert_eq!(Kind::from_singular(kind.singular()), Some(*kind));
        }
        assert_eq!(Kind::ALL.iter().collect::<BTreeSet<_>>().len(), 13);
        assert_eq!(Kind::from_path("route"), None);
    }

    #[test]
    fn verbs_are_those_of_the_resource_matrix() {
        let without = |verb: Verbs| -> Vec<&str> {
            let kinds = Kind::ALL.iter().filter(|kind| !kind.verbs().contains(verb));
            kinds.map(|kind| kind.path()).collect()
        };
        assert_eq!(
            without(Verbs::POST),
            [
                "consumers",
                "credentials",
                "consumer_groups",
                "global_rules",
                "plugin_configs",
                "plugin_metadata",
                "secrets"
            ]
        );
        assert_eq!(
            without(Verbs::PATCH),
            [
                "consumers",
                "credentials",
                "plugin_metadata",
                "protos",
                "stream_routes"
            ]
        );
        for verb in [Verbs::LIST, Verbs::GET, Verbs::PUT, Verbs::DELETE] {
            assert!(without(verb).is_empty(), "{verb:?}");
        }
    }

    #[test]
    fn every_schema_is_a_valid_draft_07_schema() {
        for kind in Kind::ALL {
            let schema = kind.schema();
            assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
            jsonschema::draft7::meta::validate(schema).unwrap();
            compile(schema).unwrap();
        }
    }

    /// Whoever guards a kind can refer to it, by a field or by a plugin.
    #[test]
    fn guards_refer_to_what_they_guard() {
        for kind in Kind::ALL {
            for guard in kind.guards() {
                let row = guard.row();
                let by_field = row.refers.iter().any(|(_, target)| target == kind);
                let by_plugin = row.plugins && matches!(kind, Kind::Upstream | Kind::Proto);
                assert!(by_field || by_plugin, "{guard:?} guards {kind:?}");
            }
        }
    }
}
