//! Routes: what matches, and what was resolved for it.

use super::{Refusal, State, service::ServicePart, upstream::Use};
use crate::{
    chain::{Chain, Level},
    matcher::{HostPattern, Matcher, MethodSet, PathPattern, RouteKey, Spec},
    model::{self, ResourceKey, Status},
    snapshot::{Route, Standing, Target},
    upstream::Timeouts,
};
use crossway_sdk::{
    expr::{Expression, IpSet},
    route::RouteInfo,
    slots::ChainOf,
};
use std::sync::Arc;

/// Changes of the matcher, applied as one.
#[derive(Default)]
pub(super) struct Batch {
    removed: Vec<RouteKey>,
    added: Vec<Spec<Arc<Route>>>,
}

impl Batch {
    /// Whether it is time to apply it: a pattern that waits takes more memory than one in the matcher.
    pub(super) fn is_large(&self) -> bool {
        self.added.len() >= 4096
    }

    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }

    pub(super) fn apply(self, to: &Matcher<Arc<Route>>) -> Matcher<Arc<Route>> {
        to.edit(&self.removed, self.added)
    }
}

impl State {
    pub(super) fn compile_route(
        &mut self,
        key: &ResourceKey,
        batch: &mut Batch,
    ) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        let Some((route, document)) = self.decode::<model::Route>(key)? else {
            if let Some(before) = self.routes.remove(&id) {
                self.retire(&before.target, &Target::None);
            }
            self.instances.forget(key);
            batch.removed.push(id);
            return Ok(());
        };
        let service = route
            .service_id
            .as_ref()
            .map(|s| self.services.get(s.as_str()).cloned());
        let service_part = service.as_ref().and_then(Option::as_deref);
        let mut spec = self.pattern(key, &id, &route, service_part)?;
        let (named, written) = (route.upstream_id.as_ref(), document.get("upstream"));
        let target = match (self.target(key, named, written, Use::Http)?, service_part) {
            (Target::None, Some(service)) => service.target_for_http(key)?,
            (own, _) => own,
        };
        let chain = self.chain(key, &route, service_part)?;
        let plugin_config_missing = route
            .plugin_config_id
            .as_ref()
            .is_some_and(|c| !self.plugin_configs.contains_key(c.as_str()));
        let standing = match &service {
            Some(None) => Standing::ServiceMissing,
            _ if plugin_config_missing => Standing::PluginConfigMissing,
            _ => Standing::Complete,
        };
        let timeouts = route.timeout.map(|t| {
            Box::new(Timeouts {
                connect: t.connect_duration(),
                send: t.send_duration(),
                read: t.read_duration(),
            })
        });
        let websocket = route
            .enable_websocket
            .or(service_part.and_then(|s| s.websocket))
            .unwrap_or(false);
        let labels = match service_part {
            Some(service) if route.labels.is_empty() => service.labels.clone(),
            _ => route.labels,
        };
        let info = RouteInfo {
            id: id.clone(),
            name: route.name.map(Into::into),
            service_id: match service_part {
                Some(service) => Some(service.id.clone()),
                None => route.service_id.as_ref().map(model::Id::to_shared),
            },
            service_name: service_part.and_then(|s| s.name.clone()),
            labels,
        };
        let compiled = Arc::new(Route::new(
            Arc::new(info),
            chain,
            target,
            timeouts,
            websocket,
            standing,
        ));
        if let Some(before) = self.routes.insert(id.clone(), compiled.clone()) {
            self.retire(&before.target, &compiled.target);
        }
        if route.status == Status::Disabled {
            batch.removed.push(id);
        } else {
            spec.value = Some(compiled);
            batch.added.extend(spec.complete());
        }
        Ok(())
    }

    /// The routes that are switched off, as they would match if they were not. For `explain`: where
    /// there are any, it costs a look at every route.
    pub fn disabled_routes(&self) -> Matcher<Arc<Route>> {
        let enabled = self.matcher.len();
        let specs = self
            .routes
            .iter()
            .take_while(|_| self.routes.len() > enabled)
            .filter(|(id, _)| self.matcher.get(id).is_none())
            .filter_map(|(id, route)| self.pattern_of(id, route));
        Matcher::new(self.workshop.mode, specs)
    }

    fn pattern_of(&self, id: &Arc<str>, compiled: &Arc<Route>) -> Option<Spec<Arc<Route>>> {
        let key = ResourceKey::new(model::Kind::Route, id).ok()?;
        let (route, _) = self.decode::<model::Route>(&key).ok()??;
        let service = route
            .service_id
            .as_ref()
            .and_then(|s| self.services.get(s.as_str()));
        let mut pattern = self.pattern(&key, id, &route, service.map(|s| &**s)).ok()?;
        pattern.value = Some(compiled.clone());
        pattern.complete()
    }

    /// Plugins of the service, the plugin config and the route. A route that adds none shares its service's chain.
    fn chain(
        &mut self,
        key: &ResourceKey,
        route: &model::Route,
        service: Option<&ServicePart>,
    ) -> Result<Arc<Chain>, Refusal> {
        let own = self.entries(key, &route.plugins, Level::Route)?;
        let config = route
            .plugin_config_id
            .as_ref()
            .and_then(|id| self.plugin_configs.get(id.as_str()));
        if own.is_empty() && config.is_none() {
            return Ok(service.map_or_else(|| self.no_plugins.clone(), |s| s.chain.clone()));
        }
        let inherited = service.into_iter().flat_map(|s| s.plugins.iter());
        let configured = config.into_iter().flat_map(|c| c.iter());
        let entries = inherited.chain(configured).cloned().chain(own).collect();
        Ok(Arc::new(Chain::compile(ChainOf::Route, entries)))
    }

    fn pattern(
        &self,
        key: &ResourceKey,
        id: &Arc<str>,
        route: &model::Route,
        service: Option<&ServicePart>,
    ) -> Result<Pattern, Refusal> {
        let refuse = |path: &str, message: String| Refusal::new(key, path, message);
        let paths = route
            .uris()
            .iter()
            .map(|uri| PathPattern::new(uri.as_str(), self.workshop.mode));
        let paths = paths.collect();
        let hosts = match (route.hosts(), service) {
            ([], Some(service)) => service.hosts.as_slice(),
            (own, _) => own,
        };
        let hosts = hosts
            .iter()
            .map(|h| HostPattern::parse(h))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| {
                refuse(
                    "/hosts",
                    format!("invalid configuration: property \"hosts\" validation failed: {e}"),
                )
            })?;
        let methods = MethodSet::new(route.methods.iter().map(|m| m.as_str()))
            .map_err(|e| refuse("/methods", e.to_string()))?;
        let remote = match route.remote_addrs() {
            [] => None,
            networks => Some(
                IpSet::parse(networks.iter().map(ToString::to_string))
                    .map_err(|e| refuse("/remote_addrs", e.to_string()))?,
            ),
        };
        let vars = match &route.vars {
            None => None,
            Some(vars) => Some(Expression::parse(vars).map_err(|e| {
                refuse(
                    "/vars",
                    format!("failed to validate the 'vars' expression: {e}"),
                )
            })?),
        };
        Ok(Pattern {
            key: id.clone(),
            hosts,
            paths,
            methods,
            remote,
            vars,
            priority: route.priority,
            value: None,
        })
    }
}

/// A [`Spec`] before its route is compiled: patterns are judged first, so that nothing is built for a route that is refused.
struct Pattern {
    key: RouteKey,
    hosts: Vec<HostPattern>,
    paths: Vec<PathPattern>,
    methods: MethodSet,
    remote: Option<IpSet>,
    vars: Option<Expression>,
    priority: i64,
    value: Option<Arc<Route>>,
}

impl Pattern {
    fn complete(self) -> Option<Spec<Arc<Route>>> {
        Some(Spec {
            key: self.key,
            hosts: self.hosts,
            paths: self.paths,
            methods: self.methods,
            remote: self.remote,
            vars: self.vars,
            priority: self.priority,
            value: self.value?,
        })
    }
}
