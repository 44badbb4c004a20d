//! Groups: places that share counters must be configured alike.

use crossway_sdk::build::BuildCx;
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
    /// The change of the configuration that it joined with.
    change: u64,
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
    /// Joins the group. What is being replaced by the same change does not count: an earlier configuration of the same
    /// place, or of another one that the change reaches too.
    pub(crate) fn join(
        self: Arc<Self>,
        cx: &BuildCx<'_>,
        configuration: &Arc<str>,
    ) -> Result<Membership, Mismatch> {
        let alive = Arc::new(());
        {
            let mut members = self.members.lock();
            members.retain(|m| m.alive.strong_count() > 0);
            let other = members.iter().find(|m| {
                let stays = m.change == cx.change() || !cx.is_changing(&m.resource);
                *m.resource != *cx.resource() && m.configuration != *configuration && stays
            });
            if let Some(other) = other {
                return Err(Mismatch {
                    resource: other.resource.to_string(),
                });
            }
            members.push(Listed {
                resource: cx.resource().into(),
                configuration: configuration.clone(),
                change: cx.change(),
                alive: Arc::downgrade(&alive),
            });
        }
        Ok(Membership {
            _group: self,
            _alive: alive,
        })
    }
}
