//! Settings of the place where the configuration lives.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Where routes, services, upstreams, … are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The kind of store. Default: `file` when `store.file` is set, else `embedded`.
    #[schemars(with = "StoreKind")]
    #[schemars(extend("x-applies" = "restart"))]
    pub kind: Option<StoreKind>,
    /// The declarative file of the kind `file`, in the shape of APISIX's standalone mode. It is read again when it changes.
    #[schemars(extend("x-applies" = "restart"))]
    pub file: Option<PathBuf>,
}

/// The kinds of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// A database file in the data directory, written through the Admin API.
    Embedded,
    /// A declarative file; the Admin API only reads.
    File,
    /// Nothing outlives the process.
    Memory,
}

impl Store {
    /// The kind that is meant.
    pub fn kind(&self) -> StoreKind {
        self.kind.unwrap_or(match self.file {
            Some(_) => StoreKind::File,
            None => StoreKind::Embedded,
        })
    }
}
