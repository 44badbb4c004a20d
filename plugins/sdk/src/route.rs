//! What a plugin may know of the route that matched.

use std::{collections::BTreeMap, sync::Arc};

/// The route and its service.
#[derive(Debug, Default)]
pub struct RouteInfo {
    /// Id of the route.
    pub id: Arc<str>,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// Id of its service.
    pub service_id: Option<Arc<str>>,
    /// Name of its service.
    pub service_name: Option<Arc<str>>,
    /// Labels of the route, else of the service.
    pub labels: BTreeMap<String, String>,
}

/// Which of the route's patterns the request matched.
#[derive(Debug, Clone)]
pub struct Matched {
    /// The path pattern as written, e.g. `/api/*`.
    pub path: Arc<str>,
    /// The host pattern as written, or `None` when the route takes any host.
    pub host: Option<Arc<str>>,
}
