//! All names that are served. Every change makes a new value; handshakes under way end with theirs.

use super::{Environment, Names, Site};
use imbl::OrdMap;
use std::sync::Arc;

/// All names that are served, and with what. A clone is cheap and independent.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    names: Names<Arc<Site>>,
    sites: OrdMap<Arc<str>, Entry>,
    /// How many sites verify clients.
    verifying: usize,
    fallback: Option<Arc<str>>,
}

#[derive(Clone, Debug)]
struct Entry {
    names: Arc<[String]>,
    site: Arc<Site>,
}

impl Certificates {
    /// No names at all yet.
    pub fn new(environment: &Environment) -> Self {
        Self {
            fallback: environment.options.fallback_sni.as_deref().map(Arc::from),
            ..Self::default()
        }
    }

    /// Takes this name for clients that send none.
    pub fn fall_back_to(&mut self, name: Option<Arc<str>>) {
        self.fallback = name;
    }

    /// Serves these names with `site`, in place of what had this id before.
    pub fn insert(&mut self, id: &Arc<str>, names: &[String], site: Arc<Site>) {
        self.remove(id);
        for name in names {
            self.names.insert(name, id, site.clone());
        }
        self.verifying += usize::from(site.client().is_some());
        let names = names.into();
        self.sites.insert(id.clone(), Entry { names, site });
    }

    /// Serves the names of this id no longer.
    pub fn remove(&mut self, id: &str) {
        let Some(entry) = self.sites.remove(id) else {
            return;
        };
        for name in &*entry.names {
            self.names.remove(name, id);
        }
        self.verifying -= usize::from(entry.site.client().is_some());
    }

    /// What has this id.
    pub fn get(&self, id: &str) -> Option<&Arc<Site>> {
        self.sites.get(id).map(|entry| &entry.site)
    }

    /// The name that counts for a client: the one it asks for, else the one that the settings name.
    pub fn server_name<'a>(&'a self, asked: Option<&'a str>) -> Option<&'a str> {
        asked.or(self.fallback.as_deref())
    }

    /// What serves a name.
    pub fn find(&self, name: &str) -> Option<&Arc<Site>> {
        self.names.find(name)
    }

    /// What serves a client that asks for this name or for none; `None`: nothing does, and the handshake ends.
    pub fn for_client(&self, asked: Option<&str>) -> Option<&Arc<Site>> {
        self.find(self.server_name(asked)?)
    }

    /// Whether any name asks for client certificates.
    pub fn any_verifies(&self) -> bool {
        self.verifying > 0
    }
}
