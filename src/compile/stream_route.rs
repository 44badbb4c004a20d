//! Stream routes: which sessions, and what was resolved for them.

use super::{Refusal, State, service::ServicePart, upstream::Use};
use crate::{
    chain::{Chain, Level},
    matcher::{HostPattern, SessionMatcher, SessionSpec},
    model::{self, ResourceKey},
    snapshot::{Standing, StreamRoute, Target},
};
use crossway_sdk::{plugin::Phases, route::RouteInfo, slots::ChainOf};
use std::sync::Arc;

impl State {
    pub(super) fn compile_stream_route(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        let Some((route, document)) = self.decode::<model::StreamRoute>(key)? else {
            if let Some((_, before)) = self.stream_routes.remove(&id) {
                self.retire(&before.target, &Target::None);
            }
            self.instances.forget(key);
            return Ok(());
        };
        if let Some(protocol) = &route.protocol {
            let message = format!("unknown protocol [{}]", protocol.name);
            return Err(Refusal::new(key, "/protocol/name", message));
        }
        let spec = pattern(key, &id, &route)?;
        let service = route
            .service_id
            .as_ref()
            .map(|s| self.services.get(s.as_str()).cloned());
        let part = service.as_ref().and_then(Option::as_deref);
        let (named, written) = (route.upstream_id.as_ref(), document.get("upstream"));
        let target = match (self.target(key, named, written, Use::Stream)?, part) {
            (Target::None, Some(service)) => service.target.clone(),
            (own, _) => own,
        };
        let chain = self.stream_chain(key, &route, part)?;
        let standing = match &service {
            Some(None) => Standing::ServiceMissing,
            _ => Standing::Complete,
        };
        let labels = match part {
            Some(service) if route.labels.is_empty() => service.labels.clone(),
            _ => route.labels,
        };
        let info = RouteInfo {
            id: id.clone(),
            name: route.name.map(Into::into),
            service_id: route.service_id.as_ref().map(model::Id::to_shared),
            service_name: part.and_then(|s| s.name.clone()),
            labels,
        };
        let compiled = Arc::new(StreamRoute {
            info: Arc::new(info),
            chain,
            target,
            standing,
        });
        let before = self.stream_routes.insert(id, (spec, compiled.clone()));
        if let Some((_, before)) = before {
            self.retire(&before.target, &compiled.target);
        }
        Ok(())
    }

    /// The route's own plugins, and those of its service that have a stream half; the others are for its HTTP routes.
    fn stream_chain(
        &mut self,
        key: &ResourceKey,
        route: &model::StreamRoute,
        service: Option<&ServicePart>,
    ) -> Result<Arc<Chain>, Refusal> {
        let own = self.entries(key, &route.plugins, Level::Stream)?;
        let stream = Phases::STREAM_ACCESS.union(Phases::STREAM_LOG);
        let inherited = service.into_iter().flat_map(|s| s.plugins.iter());
        let inherited = inherited.filter(|entry| entry.phases.intersects(stream));
        let entries: Vec<_> = inherited.cloned().chain(own).collect();
        if entries.is_empty() {
            return Ok(self.no_plugins.clone());
        }
        Ok(Arc::new(Chain::compile(ChainOf::Route, entries)))
    }

    pub(super) fn gather_stream_routes(&mut self) {
        let routes = self.stream_routes.values().cloned();
        self.session_matcher = Arc::new(SessionMatcher::new(routes));
    }
}

fn pattern(
    key: &ResourceKey,
    id: &Arc<str>,
    route: &model::StreamRoute,
) -> Result<SessionSpec, Refusal> {
    let sni = match route.sni.as_deref().map(HostPattern::parse).transpose() {
        Ok(sni) => sni,
        Err(error) => {
            let message =
                format!("invalid configuration: property \"sni\" validation failed: {error}");
            return Err(Refusal::new(key, "/sni", message));
        }
    };
    Ok(SessionSpec {
        key: id.clone(),
        remote: route.remote_addr,
        server: route.server_addr,
        port: route.server_port,
        sni,
    })
}
