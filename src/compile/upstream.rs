//! Upstreams: from the model to what the upstream room takes, and from there to live ones.

use super::{Fresh, Refusal, State, checks, plugins::UNFIT, trust::Trusting};
use crate::{
    model::{self, Id, Kind, ResourceKey, health, upstream::HashOn},
    snapshot::Target,
    upstream::{
        HashKey, Keepalive, NodeSpec, OnAllUnhealthy, PassHost, ProxyProtocol, Scheme, Spec,
        Timeouts, Tls, Upstream, is_unix,
    },
};
use crossway_sdk::expr::{Template, Variable};
use http::{HeaderName, HeaderValue};
use serde_json::Value;
use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

/// One key for all fingerprints of this process.
static FINGERPRINTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// What an upstream is to be used for, as far as its scheme decides that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// An HTTP route.
    Http,
    /// A stream route. As in APISIX, the schemes of HTTP count as `tcp` there: `http` is the default.
    Stream,
    /// A service, which can have routes of both kinds.
    Either,
}

impl Use {
    /// Why an upstream of this scheme cannot be used so.
    pub(super) fn refuses(self, scheme: Scheme) -> Option<&'static str> {
        (self == Self::Http && scheme.is_layer_four())
            .then_some("an HTTP route needs http, https, grpc or grpcs")
    }
}

/// Nothing here speaks it. It is taken as a document.
const KAFKA: &str = "the scheme kafka is not available";

impl State {
    pub(super) fn compile_upstream(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        let Some((upstream, document)) = self.decode::<model::Upstream>(key)? else {
            self.retired.extend(self.upstreams.remove(&id));
            return Ok(());
        };
        if upstream.scheme == model::upstream::Scheme::Kafka {
            self.retired.extend(self.upstreams.remove(&id));
            return Ok(());
        }
        let built = self.upstream(key, "", &key.to_string(), upstream, &document)?;
        self.upstreams.insert(id, built.settle(&mut self.fresh));
        Ok(())
    }

    /// Where the requests of a route or service, or the sessions of a stream route, go: `upstream_id` wins over an inline
    /// upstream.
    pub(super) fn target(
        &mut self,
        key: &ResourceKey,
        id: Option<&Id>,
        inline: Option<&Value>,
        using: Use,
    ) -> Result<Target, Refusal> {
        if let Some(id) = id {
            let unfit = |why: &str| {
                let message = format!(
                    "invalid configuration: upstream [{id}] cannot be used here: {why} (at /upstream_id)"
                );
                Err(Refusal::new(key, "/upstream_id", message))
            };
            return match self.upstreams.get(id.as_str()) {
                Some(found) => match using.refuses(found.spec().scheme) {
                    Some(why) => unfit(why),
                    None => Ok(Target::Upstream(found.clone())),
                },
                None if self.is_kafka(id) => unfit(KAFKA),
                None => Ok(Target::Missing),
            };
        }
        let Some(document) = inline else {
            return Ok(Target::None);
        };
        let decoded =
            model::decode::<model::Upstream>(document).map_err(|p| Refusal::of_problem(key, p))?;
        fit(key, "/upstream", &decoded, using)?;
        let built = self.upstream(
            key,
            "/upstream",
            &format!("{key}#upstream"),
            decoded,
            document,
        )?;
        Ok(Target::Upstream(built.settle(&mut self.fresh)))
    }

    fn is_kafka(&self, id: &Id) -> bool {
        let key = ResourceKey {
            kind: Kind::Upstream,
            id: id.clone(),
        };
        let decoded = self.decode::<model::Upstream>(&key);
        matches!(decoded, Ok(Some((u, _))) if u.scheme == model::upstream::Scheme::Kafka)
    }

    /// Puts down an inline upstream that is gone. One in another form takes its place when it starts, and an upstream
    /// resource is retired with its document.
    pub(super) fn retire(&mut self, before: &Target, now: &Target) {
        let Target::Upstream(before) = before else {
            return;
        };
        let key = &before.spec().key;
        let goes_on = matches!(now, Target::Upstream(now) if now.spec().key == *key);
        if key.contains('#') && !goes_on {
            self.retired.push(before.clone());
        }
    }

    /// An upstream written inside of the configuration of a plugin of `key`.
    pub(super) fn inline_upstream(
        &self,
        key: &ResourceKey,
        identity: &str,
        document: &Value,
        using: Use,
    ) -> Result<Built, Refusal> {
        model::check(Kind::Upstream, document).map_err(|p| Refusal::of_problem(key, p))?;
        let decoded =
            model::decode::<model::Upstream>(document).map_err(|p| Refusal::of_problem(key, p))?;
        fit(key, "", &decoded, using)?;
        self.upstream(key, "", identity, decoded, document)
    }

    /// Builds an upstream, or finds that the one which serves under this identity is the same.
    fn upstream(
        &self,
        key: &ResourceKey,
        at: &str,
        identity: &str,
        model: model::Upstream,
        document: &Value,
    ) -> Result<Built, Refusal> {
        let refuse = |path: &str, message: String| {
            Refusal::new(
                key,
                &format!("{at}{path}"),
                format!("invalid configuration: {message} (at {at}{path})"),
            )
        };
        let trust = self
            .trust(&model, document)
            .map_err(|(path, message)| refuse(path, message))?;
        let fingerprint = FINGERPRINTS.hash_one((document.to_string(), &trust));
        let before = self.workshop.live.get(identity);
        if let Some((same, _)) = before.as_ref().filter(|(_, print)| *print == fingerprint) {
            return Ok(Built::Same(same.clone()));
        }
        let mut spec = lower(identity, &model).map_err(|(path, message)| refuse(path, message))?;
        match trust
            .ready()
            .map_err(|(path, message)| refuse(&path, message))?
        {
            Trusting::Ready { client_cert, ca } => {
                spec.tls.client_cert = client_cert;
                spec.tls.ca = ca;
            }
            Trusting::Shut(unfit) => {
                if let Some(path) = unfit {
                    tracing::error!(%key, path = format!("{at}{path}"), "a fetched secret is not taken: {UNFIT}");
                }
                // Nobody is asked without what proves who asks, and nobody is believed without what proves who answers.
                spec.nodes.clear();
                spec.checks = None;
            }
        }
        let previous = before.as_ref().map(|(upstream, _)| upstream);
        let built = Upstream::build(spec, previous, &self.workshop.environment);
        built
            .map(|upstream| {
                Built::Fresh(Fresh {
                    upstream,
                    fingerprint,
                })
            })
            .map_err(|e| refuse("", e.to_string()))
    }
}

/// What came of building an upstream.
pub(super) enum Built {
    /// The one that serves is the same.
    Same(Arc<Upstream>),
    /// It is to be started once it serves.
    Fresh(Fresh),
}

impl Built {
    pub(super) fn settle(self, fresh: &mut Vec<Fresh>) -> Arc<Upstream> {
        match self {
            Built::Same(upstream) => upstream,
            Built::Fresh(one) => {
                fresh.push(one.clone());
                one.upstream
            }
        }
    }
}

/// Refuses an upstream whose scheme is not for this use; `at` is where it stands in the document.
fn fit(key: &ResourceKey, at: &str, model: &model::Upstream, using: Use) -> Result<(), Refusal> {
    let why = match model.scheme {
        model::upstream::Scheme::Kafka => Some(KAFKA),
        other => using.refuses(scheme(other)),
    };
    let Some(why) = why else { return Ok(()) };
    let place = at.strip_prefix('/').map_or_else(String::new, |place| {
        format!("property \"{place}\" validation failed: ")
    });
    let message =
        format!("invalid configuration: {place}property \"scheme\" validation failed: {why}");
    Err(Refusal::new(key, &format!("{at}/scheme"), message))
}

fn scheme(model: model::upstream::Scheme) -> Scheme {
    use model::upstream::Scheme as S;
    match model {
        // Never built.
        S::Http | S::Kafka => Scheme::Http,
        S::Https => Scheme::Https,
        S::Grpc => Scheme::Grpc,
        S::Grpcs => Scheme::Grpcs,
        S::Tcp => Scheme::Tcp,
        S::Tls => Scheme::Tls,
        S::Udp => Scheme::Udp,
    }
}

/// What is wrong, and at which JSON pointer inside the upstream.
pub(super) type Wrong = (&'static str, String);

fn lower(identity: &str, model: &model::Upstream) -> Result<Spec, Wrong> {
    let scheme = scheme(model.scheme);
    let Some(nodes) = &model.nodes else {
        let registry = model.discovery_type.as_deref().unwrap_or_default();
        return Err((
            "/discovery_type",
            format!("service discovery by {registry} is not available yet"),
        ));
    };
    let nodes = nodes.iter().map(|node| {
        if is_unix(&node.host) {
            return unix_node(node, model);
        }
        let port = node.port.or(scheme.default_port()).ok_or_else(|| {
            let message = format!(
                "node {}: a port is needed with scheme {}",
                node.host,
                scheme.as_str()
            );
            ("/nodes", message)
        })?;
        Ok(NodeSpec {
            host: node.host.as_str().into(),
            port,
            weight: node.weight,
            priority: node.priority,
        })
    });
    let mut spec = Spec::new(identity, nodes.collect::<Result<_, Wrong>>()?);
    spec.scheme = scheme;
    if let Some(name) = &model.name {
        spec.name = name.as_str().into();
    }
    spec.balance = model.r#type.as_str().into();
    spec.hash_key = hash_key(model)?;
    spec.pass_host = pass_host(model)?;
    if let Some(timeout) = &model.timeout {
        spec.timeouts = Timeouts {
            connect: timeout.connect_duration(),
            send: timeout.send_duration(),
            read: timeout.read_duration(),
        };
        spec.idle = Some(spec.timeouts.send.max(spec.timeouts.read));
    }
    spec.retries = model.retries;
    spec.retry_timeout = model
        .retry_timeout
        .filter(|s| *s > 0.0)
        .map(model::timeout::seconds);
    if let Some(pool) = &model.keepalive_pool {
        spec.keepalive = Keepalive {
            size: pool.size,
            idle_timeout: model::timeout::seconds(pool.idle_timeout),
            requests: pool.requests,
        };
    }
    // APISIX does not verify; here a certificate is verified unless that is switched off.
    spec.tls = Tls {
        verify: model.tls.as_ref().and_then(|t| t.verify).unwrap_or(true),
        ..Tls::default()
    };
    spec.proxy_protocol = proxy_protocol(model)?;
    if let Some(checks) = &model.checks {
        spec.on_all_unhealthy = match checks.on_all_unhealthy {
            health::OnAllUnhealthy::UseAll => OnAllUnhealthy::UseAll,
            health::OnAllUnhealthy::Fail => OnAllUnhealthy::Fail,
        };
        spec.checks = Some(checks::lower(checks)?);
    }
    Ok(spec)
}

/// A node on a Unix socket.
fn unix_node(node: &model::Node, model: &model::Upstream) -> Result<NodeSpec, Wrong> {
    use model::upstream::Scheme as S;
    let refuse = |why: &str| Err(("/nodes", format!("node {}: {why}", node.host)));
    if node.port.is_some() {
        return refuse("a Unix socket has no port");
    }
    if !matches!(model.scheme, S::Http | S::Grpc | S::Tcp) {
        return refuse("on a Unix socket the scheme is http, grpc or tcp");
    }
    let checks = model.checks.as_ref();
    if checks.is_some_and(|checks| checks.active.port.is_some()) {
        return refuse("a Unix socket has no other port to check");
    }
    Ok(NodeSpec {
        host: node.host.as_str().into(),
        port: 0,
        weight: node.weight,
        priority: node.priority,
    })
}

fn proxy_protocol(model: &model::Upstream) -> Result<Option<ProxyProtocol>, Wrong> {
    use model::upstream::{ProxyProtocol as P, Scheme as S};
    match (model.proxy_protocol, model.scheme) {
        (Some(_), S::Udp) => Err((
            "/proxy_protocol",
            "it precedes the bytes of a connection, and udp has none".to_owned(),
        )),
        (Some(P::V1), _) => Ok(Some(ProxyProtocol::V1)),
        (Some(P::V2), _) => Ok(Some(ProxyProtocol::V2)),
        (None, _) => Ok(None),
    }
}

fn pass_host(model: &model::Upstream) -> Result<PassHost, Wrong> {
    Ok(match model.pass_host {
        model::upstream::PassHost::Pass => PassHost::Pass,
        model::upstream::PassHost::Node => PassHost::Node,
        model::upstream::PassHost::Rewrite => {
            let host = model.upstream_host.as_deref().unwrap_or_default();
            let value =
                HeaderValue::from_str(host).map_err(|e| ("/upstream_host", e.to_string()))?;
            PassHost::Rewrite(value)
        }
    })
}

/// What consistent hashing hashes; other balancers do not look at it.
fn hash_key(model: &model::Upstream) -> Result<Option<HashKey>, Wrong> {
    if model.r#type != "chash" && model.key.is_none() {
        return Ok(None);
    }
    let key = model.key.as_deref().unwrap_or_default();
    let wrong = |e: &dyn std::fmt::Display| ("/key", e.to_string());
    Ok(Some(match model.hash_on {
        HashOn::Vars => HashKey::Variable(Variable::parse(key).map_err(|e| wrong(&e))?),
        HashOn::Header => HashKey::Variable(Variable::Header(
            HeaderName::from_bytes(key.as_bytes()).map_err(|e| wrong(&e))?,
        )),
        HashOn::Cookie => HashKey::Variable(Variable::Cookie(key.into())),
        HashOn::Consumer => HashKey::Variable(Variable::ConsumerName),
        HashOn::VarsCombinations => HashKey::Template(Template::parse(key).map_err(|e| wrong(&e))?),
    }))
}
