//! Groups: places that share counters must be configured alike.

use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// The living members of one group.
#[derive(Default)]
pub(crate) struct Group {
    members: Mutex<Vec<Listed>>,
}

struct Listed {
    resource: Box<str>,
    configuration: Arc<str>,
    alive: Weak<()>,
}

/// Being a member, for as long as this is held.
pub(crate) struct Membership {
    _group: Arc<Group>,
    _alive: Arc<()>,
}

/// Another place has the same group and another configuration.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// That place.
    pub(crate) resource: String,
}

impl Group {
    /// Joins the group. An earlier configuration of the same place does not count: it is being replaced.
    pub(crate) fn join(
        self: Arc<Self>,
        resource: &str,
        configuration: &Arc<str>,
    ) -> Result<Membership, Mismatch> {
        let alive = Arc::new(());
        {
            let mut members = self.members.lock();
            members.retain(|m| m.alive.strong_count() > 0);
            let other = members
                .iter()
                .find(|m| *m.resource != *resource && m.configuration != *configuration);
            if let Some(other) = other {
                return Err(Mismatch {
                    resource: other.resource.to_string(),
                });
            }
            members.push(Listed {
                resource: resource.into(),
                configuration: configuration.clone(),
                alive: Arc::downgrade(&alive),
            });
        }
        Ok(Membership {
            _group: self,
            _alive: alive,
        })
    }
}
