//! `consumer-restriction`: admits or refuses by who the consumer is, or by what the request reached.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Config, Kind, Method, MethodsOf};

use crossway_sdk::prelude::*;
use std::collections::{HashMap, HashSet};

/// The plugin.
pub struct ConsumerRestriction {
    kind: Kind,
    whitelist: Option<HashSet<String>>,
    blacklist: HashSet<String>,
    methods: HashMap<String, Vec<Method>>,
    unknown: Reply,
    rejected: Reply,
}

#[phases]
impl Plugin for ConsumerRestriction {
    const NAME: &'static str = "consumer-restriction";
    const PRIORITY: i32 = 2400;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.whitelist.is_none()
            && config.blacklist.is_none()
            && config.allowed_by_methods.is_none()
        {
            let message = "expected at least one of whitelist, blacklist and allowed_by_methods";
            return Err(cx.error("", message));
        }
        let mut methods = HashMap::new();
        for entry in config.allowed_by_methods.into_iter().flatten() {
            // Of several entries for one name the first counts, as in APISIX.
            methods.entry(entry.user).or_insert(entry.methods);
        }
        let kind = config.kind.name();
        let rejected = match config.rejected_msg {
            Some(message) => Reply::message(config.rejected_code, &message),
            None => Reply::message(config.rejected_code, &format!("The {kind} is forbidden.")),
        };
        let unknown = format!("The request is rejected, please check the {kind} for this request");
        Ok(Self {
            kind: config.kind,
            whitelist: config.whitelist.map(|names| names.into_iter().collect()),
            blacklist: config.blacklist.into_iter().flatten().collect(),
            methods,
            unknown: Reply::message(401, &unknown),
            rejected,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let Some(name) = self.name_of(ex.request) else {
            return Step::respond(self.unknown.clone());
        };
        if self.admits(name, ex.session.req_header().method.as_str()) {
            Step::next()
        } else {
            Step::respond(self.rejected.clone())
        }
    }
}

impl ConsumerRestriction {
    fn name_of<'r>(&self, request: &'r Request) -> Option<&'r str> {
        match self.kind {
            Kind::ConsumerName => request.consumer_name(),
            Kind::ConsumerGroupId => request.identity.as_ref()?.consumer.group_id.as_deref(),
            Kind::RouteId => Some(&request.route.as_ref()?.id),
            Kind::ServiceId => request.route.as_ref()?.service_id.as_deref(),
        }
    }

    fn admits(&self, name: &str, method: &str) -> bool {
        if self.blacklist.contains(name) {
            return false;
        }
        if let Some(whitelist) = &self.whitelist {
            return whitelist.contains(name);
        }
        let methods = self.methods.get(name);
        methods.is_none_or(|methods| methods.iter().any(|m| m.name() == method))
    }
}
