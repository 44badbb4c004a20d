//! A reference to an upstream, as plugins pass it around.

use std::{any::Any, fmt, sync::Arc};

/// An upstream of the running configuration. Plugins get one from [`crate::build::BuildCx`] and send a request to it with
/// [`crate::exchange::Exchange::send_to`].
#[derive(Clone)]
pub struct UpstreamHandle(Arc<dyn Any + Send + Sync>);

impl UpstreamHandle {
    /// For the gateway: wraps its own upstream type.
    pub fn new<T: Send + Sync + 'static>(upstream: Arc<T>) -> Self {
        Self(upstream)
    }

    /// For the gateway: its own upstream type again.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.clone().downcast().ok()
    }

    /// Whether both mean the very same upstream, not only an equal one.
    pub fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for UpstreamHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UpstreamHandle")
    }
}
