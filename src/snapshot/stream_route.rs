//! A stream route with everything that it refers to, resolved.

use super::{Standing, Target};
use crate::chain::Chain;
use crossway_sdk::route::RouteInfo;
use std::sync::Arc;

/// A stream route.
pub struct StreamRoute {
    /// What plugins see of it.
    pub info: Arc<RouteInfo>,
    /// Plugins of the route and its service, as far as they have a stream half.
    pub chain: Arc<Chain>,
    /// Where sessions go.
    pub target: Target,
    /// Whether what it refers to was there.
    pub standing: Standing,
}
