//! What a change reaches, what survives it, and what is refused.

use super::*;
use crate::{matcher::Mode, upstream::Environment};
use crossway_sdk::prelude::*;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

static BUILT: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it was built.
struct Stamp;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StampConfig {
    #[allow(dead_code)]
    #[schemars(range(min = 1))]
    text: u32,
    upstream: Option<String>,
}

#[phases]
impl Plugin for Stamp {
    const NAME: &'static str = "stamp";
    const PRIORITY: i32 = 10;
    type Config = StampConfig;
    fn build(config: StampConfig, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if let Some(id) = config.upstream {
            cx.upstream("/upstream", &id)?;
        }
        BUILT.fetch_add(1, Ordering::SeqCst);
        Ok(Self)
    }
    fn log(&self, _: &mut Exchange<'_>) {}
}

/// Names a consumer by a key.
struct Door;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoorConfig {}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoorKey {
    key: String,
}

#[phases]
impl Plugin for Door {
    const NAME: &'static str = "door";
    const PRIORITY: i32 = 20;
    type Config = DoorConfig;
    fn build(_: DoorConfig, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

impl Authenticator for Door {
    type Credential = DoorKey;
    fn index(credential: &DoorKey) -> Option<String> {
        Some(credential.key.clone())
    }
}

/// Runs a [`Stamp`] inside.
struct Folder {
    _stamp: Nested,
}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FolderConfig {
    inner: Value,
}

#[phases]
impl Plugin for Folder {
    const NAME: &'static str = "folder";
    const PRIORITY: i32 = 30;
    type Config = FolderConfig;
    fn build(config: FolderConfig, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let _stamp = cx.nested("/inner", "stamp", &config.inner)?;
        Ok(Self { _stamp })
    }
    fn log(&self, _: &mut Exchange<'_>) {}
}

struct House {
    state: State,
    revision: u64,
    // Dropped last: upstreams hold a handle to it.
    _runtime: tokio::runtime::Runtime,
}

impl House {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let resolver = Arc::new(crate::upstream::names::SystemResolver::from_system().unwrap());
        let environment = Environment::new(runtime.handle().clone(), resolver, None);
        let registry = Registry::default()
            .plugin(Definition::of::<Stamp>())
            .and_then(|r| r.plugin(Definition::auth::<Door>()))
            .and_then(|r| r.plugin(Definition::of::<Folder>()))
            .unwrap();
        let workshop = Arc::new(Workshop {
            registry,
            environment: Arc::new(environment),
            tls: Arc::new(
                crate::tls::Environment::new(Default::default(), crate::tls::Staples::none())
                    .unwrap(),
            ),
            https_port: None,
            mode: Mode::HostThenPath,
            metrics: prometheus::Registry::new(),
            shared: Default::default(),
            attributes: Default::default(),
            live: Default::default(),
            secrets: Default::default(),
            sealer: Default::default(),
        });
        Self {
            state: State::new(workshop),
            revision: 0,
            _runtime: runtime,
        }
    }

    fn put(&mut self, key: &str, document: Value) -> Vec<Refusal> {
        self.change(key, Some(document))
    }

    fn delete(&mut self, key: &str) -> Vec<Refusal> {
        self.change(key, None)
    }

    fn change(&mut self, key: &str, document: Option<Value>) -> Vec<Refusal> {
        self.revision += 1;
        let content = document.map(|d| Bytes::from(d.to_string()));
        let refusals = self
            .state
            .apply(self.revision, vec![(key.parse().unwrap(), content)]);
        for fresh in self.state.take_fresh() {
            self.state.workshop.live.keep(&fresh);
        }
        refusals
    }

    fn route(&self, id: &str) -> Arc<Route> {
        self.state.route(id).unwrap().clone()
    }
}

fn upstream() -> Value {
    json!({"nodes": {"127.0.0.1:1980": 1}})
}

fn target(route: &Route) -> Arc<Upstream> {
    match &route.target {
        crate::snapshot::Target::Upstream(upstream) => upstream.clone(),
        _ => panic!("no upstream"),
    }
}

#[test]
fn routes_that_add_nothing_share_the_chain_of_their_service() {
    let mut house = House::new();
    assert_eq!(
        house.put(
            "services/s",
            json!({"plugins": {"stamp": {"text": 1}}, "upstream": upstream()})
        ),
        []
    );
    assert_eq!(
        house.put("routes/1", json!({"uri": "/1", "service_id": "s"})),
        []
    );
    assert_eq!(
        house.put("routes/2", json!({"uri": "/2", "service_id": "s"})),
        []
    );
    assert!(Arc::ptr_eq(
        &house.route("1").chain,
        &house.route("2").chain
    ));
    assert!(Arc::ptr_eq(
        &target(&house.route("1")),
        &target(&house.route("2"))
    ));
}

#[test]
fn an_edit_elsewhere_leaves_instances_and_upstreams_alone() {
    let mut house = House::new();
    house.put("upstreams/u", upstream());
    house.put(
        "services/s",
        json!({"plugins": {"stamp": {"text": 1}}, "upstream_id": "u"}),
    );
    house.put(
        "routes/1",
        json!({"uri": "/1", "service_id": "s", "plugins": {"stamp": {"text": 2}}}),
    );
    let (chain, live) = (house.route("1").chain.clone(), target(&house.route("1")));
    let instance = |chain: &Chain| chain.entries().next().unwrap().instance.clone();
    house.put("routes/2", json!({"uri": "/2", "service_id": "s"}));
    house.put(
        "routes/1",
        json!({"uri": "/1", "service_id": "s", "plugins": {"stamp": {"text": 2}}, "desc": "x"}),
    );
    assert!(Arc::ptr_eq(
        &instance(&chain),
        &instance(&house.route("1").chain)
    ));
    assert!(Arc::ptr_eq(&live, &target(&house.route("1"))));
    house.put(
        "routes/1",
        json!({"uri": "/1", "service_id": "s", "plugins": {"stamp": {"text": 3}}}),
    );
    assert!(!Arc::ptr_eq(
        &instance(&chain),
        &instance(&house.route("1").chain)
    ));
}

#[test]
fn a_change_of_an_upstream_reaches_everything_that_refers_to_it() {
    let mut house = House::new();
    house.put("upstreams/u", upstream());
    house.put("services/s", json!({"upstream_id": "u"}));
    house.put("routes/1", json!({"uri": "/1", "service_id": "s"}));
    let before = target(&house.route("1"));
    house.put("upstreams/u", json!({"nodes": {"127.0.0.1:1981": 1}}));
    let after = target(&house.route("1"));
    assert!(!Arc::ptr_eq(&before, &after));
    assert_eq!(after.nodes()[0].port(), 1981);
    house.delete("upstreams/u");
    assert!(matches!(
        house.route("1").target,
        crate::snapshot::Target::Missing
    ));
    assert_eq!(
        house.state.referrers(&"upstreams/u".parse().unwrap()).len(),
        1
    );
}

#[test]
fn a_refused_document_leaves_its_last_good_form_serving() {
    let mut house = House::new();
    house.put(
        "routes/1",
        json!({"uri": "/1", "upstream": upstream(), "plugins": {"stamp": {"text": 1}}}),
    );
    let before = house.route("1");
    let refusals = house.put(
        "routes/1",
        json!({"uri": "/1", "upstream": upstream(), "plugins": {"stamp": {"text": 0}}}),
    );
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].path, "/plugins/stamp/text");
    assert!(
        refusals[0]
            .message
            .starts_with("failed to check the configuration of plugin stamp err: "),
        "{}",
        refusals[0]
    );
    assert!(Arc::ptr_eq(&before, &house.route("1")));
    assert_eq!(
        house.put("routes/2", json!({"uri": "/2", "plugins": {"nobody": {}}}))[0].message,
        "unknown plugin [nobody]"
    );
    assert!(house.state.route("2").is_none());
}

#[test]
fn a_trial_leaves_no_trace() {
    let mut house = House::new();
    house.put("upstreams/u", upstream());
    let key: ResourceKey = "routes/1".parse().unwrap();
    let document = json!({"uri": "/1", "upstream_id": "u"}).to_string();
    assert_eq!(house.state.trial(&key, document.into()), Ok(()));
    assert!(house.state.route("1").is_none());
    assert!(house.state.document(&key).is_none());
    assert!(house.state.trial(&key, "{\"uri\": 1}".into()).is_err());
}

#[test]
fn consumers_are_found_by_the_keys_of_all_their_credentials() {
    let mut house = House::new();
    let names = |house: &House, key: &str| {
        let table = house
            .state
            .consumers
            .table(crossway_sdk::consumer::AuthSlot(0))
            .unwrap();
        table
            .get(key)
            .map(|c| c.identity.consumer.username.to_string())
    };
    assert_eq!(
        house.put(
            "consumers/jack",
            json!({"username": "jack", "plugins": {"door": {"key": "a"}}})
        ),
        []
    );
    assert_eq!(
        house.put(
            "consumers/jack/credentials/c",
            json!({"plugins": {"door": {"key": "b"}}})
        ),
        []
    );
    assert_eq!(names(&house, "a").as_deref(), Some("jack"));
    assert_eq!(names(&house, "b").as_deref(), Some("jack"));
    let refusals = house.put(
        "consumers/jill",
        json!({"username": "jill", "plugins": {"door": {"key": "b"}}}),
    );
    assert_eq!(
        refusals[0].message,
        "duplicate key of plugin door found with consumer: jack"
    );
    house.delete("consumers/jack/credentials/c");
    assert_eq!(names(&house, "b").as_deref(), Some("jill"));
    house.delete("consumers/jack");
    assert_eq!(names(&house, "a"), None);
}

#[test]
fn a_plugin_in_two_global_rules_does_not_run_at_all() {
    let mut house = House::new();
    house.put(
        "global_rules/1",
        json!({"id": "1", "plugins": {"stamp": {"text": 1}}}),
    );
    assert!(house.state.global.contains("stamp"));
    house.put(
        "global_rules/2",
        json!({"id": "2", "plugins": {"stamp": {"text": 2}}}),
    );
    assert!(!house.state.global.contains("stamp"));
    house.delete("global_rules/1");
    assert!(house.state.global.contains("stamp"));
}

#[test]
fn a_plugin_that_names_an_upstream_is_built_anew_when_that_changes() {
    let mut house = House::new();
    house.put("upstreams/u", upstream());
    let document = json!({"uri": "/1", "plugins": {"stamp": {"text": 1, "upstream": "u"}}});
    // The reference stands in a plugin that the model does not know, so the route is compiled by hand.
    assert_eq!(house.put("routes/1", document.clone()), []);
    let instance = |house: &House| {
        house
            .route("1")
            .chain
            .entries()
            .next()
            .unwrap()
            .instance
            .clone()
    };
    let before = instance(&house);
    house.put("routes/1", document.clone());
    assert!(Arc::ptr_eq(&before, &instance(&house)));
    house.put("upstreams/u", json!({"nodes": {"127.0.0.1:1981": 1}}));
    house.put("routes/1", document);
    assert!(!Arc::ptr_eq(&before, &instance(&house)));
}

fn vault() -> Value {
    json!({"uri": "http://127.0.0.1:9", "prefix": "kv", "token": "t"})
}

#[test]
fn a_credential_whose_secret_is_not_there_does_not_exist() {
    let mut house = House::new();
    house.put("secrets/vault/1", vault());
    let jack =
        json!({"username": "jack", "plugins": {"door": {"key": "$secret://vault/1/jack/key"}}});
    assert_eq!(house.put("consumers/jack", jack), []);
    let state = &house.state;
    assert!(state.consumer_parts["jack"].credentials().is_empty());
    assert_eq!(state.wanted_secrets().len(), 1);
    let unresolved = state.unresolved_secrets().pop_first().unwrap();
    assert_eq!(unresolved.path, "/plugins/door/key");
    assert_eq!(unresolved.reference, "$secret://vault/1/jack/key");
}

#[test]
fn a_plugin_whose_secret_is_not_there_stands_in_the_way() {
    let mut house = House::new();
    house.put("secrets/vault/1", vault());
    let plugins = json!({"stamp": {"text": "$secret://vault/1/a/b"}});
    let route = json!({"uri": "/1", "upstream": upstream(), "plugins": plugins});
    assert_eq!(house.put("routes/1", route), []);
    let chain = house.route("1").chain.clone();
    let entry = chain.entries().next().unwrap();
    assert_eq!(entry.phases, Phases::REWRITE | Phases::ACCESS);
    let wanted = house.state.wanted_secrets();
    assert_eq!(house.state.secrets_changed(&wanted), []);
    assert!(house.route("1").chain.entries().next().is_some());
}

#[test]
fn what_can_never_be_resolved_is_refused_when_it_is_written() {
    let house = House::new();
    for (text, expected) in [
        (
            "$env://CROSSWAY_NOT_THERE",
            "the environment has no variable CROSSWAY_NOT_THERE",
        ),
        ("$ENV://", "expected $env://NAME"),
        (
            "$secret://consul/1/a/b",
            "the manager one of vault, aws, gcp",
        ),
        (
            "$secret://vault/1/a",
            "expected $secret://vault/ID/PATH/FIELD",
        ),
        ("$secret://vault/1/a/../b", "neither empty segments nor"),
    ] {
        let jack = json!({"username": "jack", "plugins": {"door": {"key": text}}});
        let content = Bytes::from(jack.to_string());
        let refusal = house
            .state
            .trial(&"consumers/jack".parse().unwrap(), content);
        let refusal = refusal.unwrap_err();
        assert_eq!(refusal.path, "/plugins/door/key");
        assert!(refusal.message.contains(expected), "{refusal}");
    }
}

#[test]
fn a_value_that_the_plugin_refuses_is_not_in_the_message() {
    let house = House::new();
    // The text of a stamp is a number, and PATH is none.
    let route = json!({"uri": "/1", "plugins": {"stamp": {"text": "$env://PATH"}}});
    let content = Bytes::from(route.to_string());
    let refusal = house.state.trial(&"routes/1".parse().unwrap(), content);
    let Err(refusal) = refusal else {
        return;
    };
    assert!(!refusal.message.contains("/bin"), "{refusal}");
}

#[test]
fn references_are_dangling_without_their_manager_or_variable() {
    let mut house = House::new();
    let with = |key: &str| json!({"username": "jack", "plugins": {"door": {"key": key}}});
    house.put("consumers/jack", with("$secret://vault/1/a/b"));
    let dangling = house.state.dangling();
    assert_eq!(dangling.len(), 1);
    assert!(
        dangling[0].message.contains("secret id [vault/1]"),
        "{}",
        dangling[0]
    );
    house.put("secrets/vault/1", vault());
    assert_eq!(house.state.dangling(), []);
    house.put("consumers/jack", with("$env://CROSSWAY_NOT_THERE"));
    assert_eq!(house.state.dangling().len(), 1);
}

#[test]
fn a_manager_refers_to_the_environment_alone() {
    let mut house = House::new();
    let mut document = vault();
    document["token"] = json!("$secret://vault/2/a/b");
    let refusals = house.put("secrets/vault/1", document.clone());
    assert!(
        refusals[0].message.contains("only $env:// is"),
        "{}",
        refusals[0]
    );
    document["token"] = json!("$env://PATH");
    assert_eq!(house.put("secrets/vault/1", document), []);
}

#[test]
fn what_is_refused_already_does_not_stand_in_the_way_of_others() {
    let mut house = House::new();
    house.put("upstreams/u", upstream());
    let refused = house.put(
        "routes/1",
        json!({"uri": "/1", "upstream_id": "u", "plugins": {"stamp": {"text": 0}}}),
    );
    assert_eq!(refused.len(), 1);
    let key: ResourceKey = "upstreams/u".parse().unwrap();
    let better = json!({"nodes": {"127.0.0.1:1981": 1}}).to_string();
    assert_eq!(house.state.trial(&key, better.into()), Ok(()));
    assert!(house.state.trial(&key, "{\"nodes\": 1}".into()).is_err());
}

fn certificate(name: &str) -> Value {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    json!({"sni": name, "cert": made.cert.pem(), "key": made.signing_key.serialize_pem()})
}

#[test]
fn a_change_of_one_certificate_prepares_that_one_alone() {
    let mut house = House::new();
    assert_eq!(house.put("ssls/a", certificate("a.test")), []);
    assert_eq!(house.put("ssls/b", certificate("b.test")), []);
    let before = house.state.snapshot().certificates;
    let mut changed = certificate("c.test");
    assert_eq!(house.put("ssls/a", changed.clone()), []);
    let now = house.state.snapshot().certificates;
    assert!(now.find("a.test").is_none() && now.find("c.test").is_some());
    assert!(before.find("a.test").is_some(), "a snapshot never changes");
    let of_b = [&before, &now].map(|c| c.find("b.test").unwrap().clone());
    assert!(Arc::ptr_eq(&of_b[0], &of_b[1]));
    // A route is nothing to certificates.
    house.put("routes/1", json!({"uri": "/1", "upstream": upstream()}));
    assert!(Arc::ptr_eq(&now, &house.state.snapshot().certificates));
    changed["status"] = json!(0);
    assert_eq!(house.put("ssls/a", changed.clone()), []);
    assert!(house.state.snapshot().certificates.find("c.test").is_none());
    changed["status"] = json!(1);
    changed["type"] = json!("client");
    assert_eq!(house.put("ssls/a", changed), []);
    assert!(house.state.snapshot().certificates.find("c.test").is_none());
    assert_eq!(house.delete("ssls/b"), []);
    assert!(house.state.snapshot().certificates.find("b.test").is_none());
}

#[test]
fn a_refused_certificate_leaves_its_last_good_form_serving() {
    let mut house = House::new();
    assert_eq!(house.put("ssls/a", certificate("a.test")), []);
    let mut wrong = certificate("a.test");
    wrong["key"] = certificate("a.test")["key"].clone();
    let refusals = house.put("ssls/a", wrong);
    assert_eq!(refusals.len(), 1);
    assert_eq!(
        (refusals[0].path.as_str(), refusals[0].message.as_str()),
        (
            "/key",
            "invalid configuration: the private key does not fit the certificate (at /key)"
        )
    );
    assert!(house.state.snapshot().certificates.find("a.test").is_some());
}

#[test]
fn metadata_of_a_plugin_inside_of_another_reaches_the_outer_one() {
    let mut house = House::new();
    let refusals = house.put(
        "routes/r",
        json!({"uri": "/n", "upstream": upstream(), "plugins": {"folder": {"inner": {"text": 1}}}}),
    );
    assert_eq!(refusals, []);
    let instance = |house: &House| {
        let route = house.route("r");
        let entry = route.chain.entries().next().unwrap();
        Arc::as_ptr(&entry.instance).cast::<()>()
    };
    let first = instance(&house);
    house.put("plugin_metadata/door", json!({"a": 1}));
    assert_eq!(instance(&house), first, "another plugin's metadata");
    house.put("plugin_metadata/stamp", json!({"a": 1}));
    let second = instance(&house);
    assert_ne!(second, first);
    house.put("plugin_metadata/stamp", json!({"a": 1}));
    assert_eq!(instance(&house), second, "nothing changed");
}

#[test]
fn a_refusal_of_a_plugin_inside_of_another_names_both() {
    let mut house = House::new();
    let refusals = house.put(
        "routes/r",
        json!({"uri": "/n", "upstream": upstream(), "plugins": {"folder": {"inner": {"text": 0}}}}),
    );
    let [refusal] = refusals.as_slice() else {
        panic!("{refusals:?}")
    };
    assert_eq!(refusal.path, "/plugins/folder/inner/text");
    assert!(refusal.message.contains("plugin folder") && refusal.message.contains("plugin stamp"));
}
