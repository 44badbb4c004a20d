#![allow(clippy::unwrap_used)]
use super::*;
use bytes::Bytes;
use crossway_sdk::{
    build::{BuildCx, BuildError},
    exchange::Exchange,
    flow::{Error, Flow, Reply, ReplyBody, Step},
    phases,
    plugin::Plugin,
    request::{Failure, FailureKind},
    testing::Scene,
};
use parking_lot::Mutex;
use pingora_http::{RequestHeader, ResponseHeader};
use serde_json::{Value, json};

/// What the plugins of a test did, in order: `name.phase`.
type Trace = Arc<Mutex<Vec<String>>>;

fn taken(trace: &Trace) -> Vec<String> {
    std::mem::take(&mut *trace.lock())
}

/// What a test plugin does in each of its phases.
#[derive(Clone, Copy)]
enum Act {
    Next,
    /// Goes on after it waited.
    Wait,
    Respond(u16),
    Fail,
    Panic,
    PanicWaiting,
}

/// Takes part in all phases and tells of each turn.
struct Probe {
    label: &'static str,
    act: Act,
    trace: Trace,
}

impl Probe {
    fn turn(&self, phase: &str) {
        self.trace.lock().push(format!("{}.{phase}", self.label));
    }

    fn step(&self, phase: &'static str) -> Step<'_> {
        self.turn(phase);
        match self.act {
            Act::Next => Step::next(),
            Act::Wait => Step::wait(async move {
                tokio::task::yield_now().await;
                self.turn("woke");
                Ok(Flow::Next)
            }),
            Act::Respond(status) => Step::respond(Reply::bytes(status, "of the plugin")),
            Act::Fail => Step::fail(Error::new("no luck today")),
            Act::Panic => panic!("boom in {phase}"),
            Act::PanicWaiting => Step::wait(async move {
                tokio::task::yield_now().await;
                panic!("boom in {phase}")
            }),
        }
    }

    fn plain(&self, phase: &'static str) -> Result<(), Error> {
        self.turn(phase);
        match self.act {
            Act::Fail => Err(Error::new("no luck today")),
            Act::Panic => panic!("boom in {phase}"),
            _ => Ok(()),
        }
    }
}

#[phases]
impl Plugin for Probe {
    const NAME: &'static str = "probe";
    const PRIORITY: i32 = 0;
    type Config = Value;

    fn build(_: Value, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Err(cx.error("", "made by the tests themselves"))
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        self.step("rewrite")
    }
    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        self.step("access")
    }
    fn before_proxy(&self, _: &mut Exchange<'_>, _: &mut RequestHeader) -> Result<(), Error> {
        self.plain("before_proxy")
    }
    fn request_body(
        &self,
        _: &mut Exchange<'_>,
        _: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), Error> {
        self.plain("request_body")
    }
    fn header_filter(&self, _: &mut Exchange<'_>, _: &mut ResponseHeader) -> Result<(), Error> {
        self.plain("header_filter")
    }
    fn body_filter(
        &self,
        _: &mut Exchange<'_>,
        _: &mut Option<Bytes>,
        _: bool,
    ) -> Result<(), Error> {
        self.plain("body_filter")
    }
    fn log(&self, _: &mut Exchange<'_>) {
        // There is nothing to return an error with, so it is a panic as well.
        self.plain("log").unwrap();
    }
}

/// Counts its turns in its per-request state and tells the count.
struct Counter(Trace);

#[phases]
impl Plugin for Counter {
    const NAME: &'static str = "counter";
    const PRIORITY: i32 = 0;
    type Config = Value;

    fn build(_: Value, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Err(cx.error("", "made by the tests themselves"))
    }
    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        *ex.state::<u32>() += 1;
        Step::next()
    }
    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        *ex.state::<u32>() += 1;
        self.0.lock().push(ex.state::<u32>().to_string());
        Step::next()
    }
}

fn entry_of(name: &'static str, instance: Arc<dyn Instance>) -> Entry {
    Entry {
        name,
        priority: 0,
        phases: Phases::all(),
        auth: false,
        prefer_route: false,
        level: Level::Route,
        origin: "routes/1".into(),
        instance,
        meta: None,
    }
}

fn entry(trace: &Trace, label: &'static str, priority: i32, act: Act) -> Entry {
    let probe = Probe {
        label,
        act,
        trace: trace.clone(),
    };
    Entry {
        priority,
        ..entry_of(label, Arc::new(probe))
    }
}

/// An entry of another place that is configured under `name`.
fn placed(trace: &Trace, name: &'static str, label: &'static str, level: Level) -> Entry {
    Entry {
        name,
        level,
        ..entry(trace, label, 0, Act::Next)
    }
}

fn meta(entry: Entry, written: Value) -> Entry {
    let meta = Some(Arc::new(Meta::parse(&written).unwrap()));
    Entry { meta, ..entry }
}

fn chain(entries: Vec<Entry>) -> Chain {
    Chain::compile(ChainOf::Route, entries)
}

fn names(chain: &Chain) -> Vec<&'static str> {
    chain.entries().map(|entry| entry.name).collect()
}

async fn scene() -> Scene {
    let request = b"GET / HTTP/1.1\r\nHost: a.test\r\nX-Tier: gold\r\n\r\n";
    Scene::new(request).await.unwrap()
}

#[track_caller]
fn replied(outcome: Outcome) -> Reply {
    match outcome {
        Outcome::Respond(reply) => reply,
        Outcome::Continue => panic!("the request goes on"),
    }
}

#[track_caller]
fn goes_on(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Continue), "it was answered");
}

fn ok_head() -> ResponseHeader {
    ResponseHeader::build(200, None).unwrap()
}

/// What was logged so far.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged on this thread while the guard lives.
fn listen() -> (Logged, tracing::subscriber::DefaultGuard) {
    let log = Logged::default();
    let to = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || to.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn logged(log: &Logged) -> String {
    String::from_utf8(std::mem::take(&mut *log.0.lock())).unwrap()
}

#[tokio::test]
async fn plugins_run_by_priority_and_then_by_name() {
    let trace = Trace::default();
    let entries = |order: [usize; 4]| {
        let all = [
            entry(&trace, "last", -1, Act::Next),
            entry(&trace, "b", 5, Act::Next),
            entry(&trace, "a", 5, Act::Next),
            entry(&trace, "first", 9, Act::Next),
        ];
        order.map(|i| all[i].clone()).to_vec()
    };
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let chain = chain(entries(order));
        assert_eq!(names(&chain), ["first", "a", "b", "last"]);
        goes_on(chain.access(&mut scene().await.exchange()).await);
        assert_eq!(
            taken(&trace),
            ["first.access", "a.access", "b.access", "last.access"]
        );
    }
}

#[tokio::test]
async fn a_plugin_runs_only_in_its_phases() {
    let trace = Trace::default();
    let only = |name, phases| Entry {
        phases,
        ..entry(&trace, name, 0, Act::Next)
    };
    let chain = chain(vec![
        only("a", Phases::REWRITE | Phases::LOG),
        only("b", Phases::ACCESS | Phases::LOG),
    ]);
    assert!(chain.has(Phases::LOG) && !chain.has(Phases::HEADER_FILTER));
    let mut scene = scene().await;
    goes_on(chain.rewrite(&mut scene.exchange()).await);
    goes_on(chain.access(&mut scene.exchange()).await);
    chain
        .header_filter(&mut scene.exchange(), &mut ok_head())
        .unwrap();
    chain.log(&mut scene.exchange());
    assert_eq!(taken(&trace), ["a.rewrite", "b.access", "a.log", "b.log"]);
}

#[tokio::test]
async fn of_several_levels_the_highest_is_taken_whole() {
    use Level::*;
    let rising = [Service, PluginConfig, Route, ConsumerGroup, Consumer];
    let labels = [
        "service",
        "plugin_config",
        "route",
        "consumer_group",
        "consumer",
    ];
    let trace = Trace::default();
    for count in 1..=rising.len() {
        let entries = (0..count).map(|i| placed(&trace, "p", labels[i], rising[i]));
        // The order in which they come does not matter.
        let chains = [
            chain(entries.clone().collect()),
            chain(entries.rev().collect()),
        ];
        for chain in chains {
            goes_on(chain.access(&mut scene().await.exchange()).await);
            assert_eq!(taken(&trace), [format!("{}.access", labels[count - 1])]);
        }
    }
}

#[test]
fn a_priority_of_a_lower_level_does_not_survive() {
    let trace = Trace::default();
    let chain = chain(vec![
        Entry {
            priority: 100,
            ..placed(&trace, "p", "service", Level::Service)
        },
        placed(&trace, "p", "route", Level::Route),
        entry(&trace, "q", 50, Act::Next),
    ]);
    assert_eq!(names(&chain), ["q", "p"]);
}

#[tokio::test]
async fn a_disabled_configuration_hides_the_lower_level_too() {
    let trace = Trace::default();
    let service = placed(&trace, "p", "service", Level::Service);
    let off = meta(
        placed(&trace, "p", "route", Level::Route),
        json!({ "disable": true }),
    );
    let hidden = chain(vec![service.clone(), off.clone()]);
    assert_eq!(names(&hidden), [""; 0]);
    assert!(!hidden.contains("p") && !hidden.has(Phases::ACCESS));

    // The other way round, the higher level runs.
    let low_off = Entry {
        level: Level::Service,
        ..off
    };
    let route = Entry {
        level: Level::Route,
        ..service
    };
    let shown = chain(vec![low_off, route]);
    goes_on(shown.access(&mut scene().await.exchange()).await);
    assert_eq!(taken(&trace), ["service.access"]);
}

#[tokio::test]
async fn a_consumer_may_switch_a_plugin_of_the_route_off() {
    let trace = Trace::default();
    let route = chain(vec![placed(&trace, "p", "route", Level::Route)]);
    let off = meta(
        placed(&trace, "p", "consumer", Level::Consumer),
        json!({ "disable": true }),
    );
    assert!(!route.with(vec![off]).contains("p"));
    assert!(route.contains("p"), "the route's own chain stays as it is");
}

#[tokio::test]
async fn a_filter_is_judged_once_and_holds_for_the_request() {
    let trace = Trace::default();
    let when = |tier: &str| json!({ "filter": [["http_x_tier", "==", tier]] });
    let chain = chain(vec![
        meta(entry(&trace, "gold", 2, Act::Next), when("gold")),
        meta(entry(&trace, "lead", 1, Act::Next), when("lead")),
    ]);
    let mut scene = scene().await;
    goes_on(chain.rewrite(&mut scene.exchange()).await);
    assert_eq!(taken(&trace), ["gold.rewrite"]);
    assert_eq!(scene.request.admitted.len(), 2);

    // What the filters ask for turns round; the answers do not.
    let head = scene.session.req_header_mut();
    head.insert_header("X-Tier", "lead").unwrap();
    goes_on(chain.access(&mut scene.exchange()).await);
    chain
        .header_filter(&mut scene.exchange(), &mut ok_head())
        .unwrap();
    chain.log(&mut scene.exchange());
    assert_eq!(
        taken(&trace),
        ["gold.access", "gold.header_filter", "gold.log"]
    );
    assert_eq!(scene.request.admitted.len(), 2, "nothing was judged again");
}

#[tokio::test]
async fn a_consumers_own_filter_is_judged_for_itself() {
    let trace = Trace::default();
    let when = |tier: &str| json!({ "filter": [["http_x_tier", "==", tier]] });
    let route = chain(vec![meta(
        placed(&trace, "p", "route", Level::Route),
        when("lead"),
    )]);
    let mut scene = scene().await;
    goes_on(route.rewrite(&mut scene.exchange()).await);
    let joined = route.with(vec![meta(
        placed(&trace, "p", "consumer", Level::Consumer),
        when("gold"),
    )]);
    goes_on(joined.access(&mut scene.exchange()).await);
    assert_eq!(taken(&trace), ["consumer.access"]);
}

#[tokio::test]
async fn an_answer_ends_the_phase() {
    let trace = Trace::default();
    let chain = chain(vec![
        entry(&trace, "a", 3, Act::Next),
        entry(&trace, "b", 2, Act::Respond(403)),
        entry(&trace, "c", 1, Act::Next),
    ]);
    let reply = replied(chain.access(&mut scene().await.exchange()).await);
    assert_eq!(reply.status, 403);
    assert_eq!(taken(&trace), ["a.access", "b.access"]);
}

#[tokio::test]
async fn error_response_replaces_the_body_of_refusals_alone() {
    let trace = Trace::default();
    let body = async |status, error_response: Value| {
        let refusing = entry(&trace, "p", 0, Act::Respond(status));
        let chain = chain(vec![meta(
            refusing,
            json!({ "error_response": error_response }),
        )]);
        let reply = replied(chain.access(&mut scene().await.exchange()).await);
        assert_eq!(reply.status, status);
        match reply.body {
            ReplyBody::Bytes(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            ReplyBody::Default => panic!("the body is lost"),
        }
    };
    assert_eq!(body(403, json!("go away")).await, "go away");
    assert_eq!(
        body(400, json!({ "message": "m" })).await,
        "{\"message\":\"m\"}\n"
    );
    assert_eq!(body(399, json!("go away")).await, "of the plugin");
}

#[tokio::test]
async fn slots_stay_the_same_when_a_consumers_plugins_join() {
    let (trace, joining) = (Trace::default(), Trace::default());
    let counter = |name, priority, level, trace: &Trace| Entry {
        priority,
        level,
        ..entry_of(name, Arc::new(Counter(trace.clone())))
    };
    let route = chain(vec![
        counter("a", 1, Level::Route, &trace),
        counter("b", 2, Level::Route, &trace),
    ]);
    let mut scene = scene().await;
    goes_on(route.rewrite(&mut scene.exchange()).await);
    // They come before, between and after the route's, and one takes the place of `b`.
    let both = route.with(vec![
        counter("x", 9, Level::Consumer, &joining),
        counter("b", 5, Level::Consumer, &joining),
        counter("y", 0, Level::ConsumerGroup, &joining),
    ]);
    assert_eq!(names(&both), ["x", "b", "a", "y"]);
    goes_on(both.access(&mut scene.exchange()).await);
    assert_eq!(taken(&trace), ["2"], "`a` sees what it did in rewrite");
    assert_eq!(
        taken(&joining),
        ["1", "1", "1"],
        "those that joined see nobody else's state, not even the `b` of the route"
    );
}

#[tokio::test]
async fn global_and_route_plugins_of_one_name_have_states_of_their_own() {
    let trace = Trace::default();
    let counter = || vec![entry_of("c", Arc::new(Counter(trace.clone())))];
    let mut scene = scene().await;
    for of in [ChainOf::Global, ChainOf::Route] {
        let chain = Chain::compile(of, counter());
        goes_on(chain.rewrite(&mut scene.exchange()).await);
        goes_on(chain.access(&mut scene.exchange()).await);
    }
    assert_eq!(taken(&trace), ["2", "2"]);
}

#[tokio::test]
async fn rewrite_in_consumer_runs_what_came_from_the_consumer_alone() {
    let trace = Trace::default();
    let route = chain(vec![placed(&trace, "shared", "route", Level::Route)]);
    let joined = route.with(vec![
        placed(&trace, "shared", "consumer", Level::Consumer),
        placed(&trace, "own", "own", Level::Consumer),
        placed(&trace, "of-group", "of-group", Level::ConsumerGroup),
        Entry {
            auth: true,
            ..placed(&trace, "auth", "auth", Level::Consumer)
        },
    ]);
    let mut scene = scene().await;
    goes_on(joined.rewrite_in_consumer(&mut scene.exchange()).await);
    assert_eq!(taken(&trace), ["of-group.rewrite", "own.rewrite"]);
    goes_on(joined.access(&mut scene.exchange()).await);
    assert_eq!(
        taken(&trace),
        [
            "auth.access",
            "of-group.access",
            "own.access",
            "consumer.access"
        ],
        "later phases run them all"
    );
}

#[tokio::test]
async fn a_waiting_phase_is_waited_for() {
    let trace = Trace::default();
    let chain = chain(vec![
        entry(&trace, "a", 2, Act::Wait),
        entry(&trace, "b", 1, Act::Next),
    ]);
    goes_on(chain.access(&mut scene().await.exchange()).await);
    assert_eq!(taken(&trace), ["a.access", "a.woke", "b.access"]);
}

/// Runs all phases over one request with `bad` between two others, and says which of them did not go well.
async fn run_all(bad: Act) -> (Vec<(&'static str, Vec<String>)>, Vec<Failure>) {
    let trace = Trace::default();
    let chain = chain(vec![
        entry(&trace, "a", 3, Act::Next),
        entry(&trace, "bad", 2, bad),
        entry(&trace, "c", 1, Act::Next),
    ]);
    let mut scene = scene().await;
    let mut failed = Vec::new();
    let mut note = |phase, fell: bool| {
        if fell {
            failed.push((phase, taken(&trace)));
        }
        trace.lock().clear();
    };
    let is_500 = |outcome| matches!(outcome, Outcome::Respond(reply) if reply.status == 500);
    let rewritten = chain.rewrite(&mut scene.exchange()).await;
    note("rewrite", is_500(rewritten));
    let accessed = chain.access(&mut scene.exchange()).await;
    note("access", is_500(accessed));
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    let mut chunk = Some(Bytes::from_static(b"x"));
    let by_bad = |done: Result<(), Failed>| done.is_err_and(|failed| failed.plugin == "bad");
    let done = chain.before_proxy(&mut scene.exchange(), &mut head);
    note("before_proxy", by_bad(done));
    let done = chain.request_body(&mut scene.exchange(), &mut chunk, true);
    note("request_body", by_bad(done));
    let done = chain.header_filter(&mut scene.exchange(), &mut ok_head());
    note("header_filter", by_bad(done));
    let done = chain.body_filter(&mut scene.exchange(), &mut chunk, true);
    note("body_filter", by_bad(done));
    chain.log(&mut scene.exchange());
    note("log", scene.request.failures.len() == 7);
    (failed, scene.request.failures)
}

/// What is expected of a plugin that fails in all phases: the ones behind it run in `log` alone.
fn in_all_phases() -> Vec<(&'static str, Vec<String>)> {
    let turns = |phase: &'static str| vec![format!("a.{phase}"), format!("bad.{phase}")];
    let mut all: Vec<_> = [
        "rewrite",
        "access",
        "before_proxy",
        "request_body",
        "header_filter",
        "body_filter",
    ]
    .map(|phase| (phase, turns(phase)))
    .into();
    let everyone = [turns("log"), vec!["c.log".to_owned()]].concat();
    all.push(("log", everyone));
    all
}

#[tokio::test]
async fn a_panic_in_any_phase_ends_this_request_alone() {
    let (log, _guard) = listen();
    let (failed, failures) = run_all(Act::Panic).await;
    assert_eq!(failed, in_all_phases());
    let panic = Failure {
        plugin: "bad",
        kind: FailureKind::Panic,
    };
    assert_eq!(failures, vec![panic; 7]);
    let log = logged(&log);
    assert_eq!(log.lines().count(), 7, "{log}");
    for (line, (phase, _)) in log.lines().zip(in_all_phases()) {
        assert!(
            line.contains("ERROR")
                && line.contains("plugin=\"bad\"")
                && line.contains("origin=\"routes/1\"")
                && line.contains(&format!("phase=Phases({})", phase.to_uppercase())),
            "{line}"
        );
        assert!(
            line.contains(&format!("it panicked: boom in {phase}")),
            "{line}"
        );
    }
}

#[tokio::test]
async fn an_error_in_any_phase_is_a_500_that_names_the_plugin_in_the_log() {
    let (log, _guard) = listen();
    let (mut failed, failures) = run_all(Act::Fail).await;
    let mut expected = in_all_phases();
    assert_eq!(failed.pop(), expected.pop(), "log cannot return an error");
    assert_eq!(failed, expected);
    let errors = failures.iter().filter(|f| f.kind == FailureKind::Error);
    assert_eq!(errors.count(), 6);
    let log = logged(&log);
    let of_bad = |line: &&str| line.contains("plugin=\"bad\"") && line.contains("no luck today");
    assert_eq!(log.lines().filter(of_bad).count(), 7, "{log}");
}

#[tokio::test]
async fn a_panic_while_waiting_is_a_500() {
    let (log, _guard) = listen();
    let trace = Trace::default();
    let chain = chain(vec![
        entry(&trace, "bad", 2, Act::PanicWaiting),
        entry(&trace, "b", 1, Act::Next),
    ]);
    for (phase, turn) in [("REWRITE", "bad.rewrite"), ("ACCESS", "bad.access")] {
        let mut scene = scene().await;
        let outcome = match phase {
            "REWRITE" => chain.rewrite(&mut scene.exchange()).await,
            _ => chain.access(&mut scene.exchange()).await,
        };
        let reply = replied(outcome);
        assert_eq!(reply.status, 500);
        assert!(
            matches!(reply.body, ReplyBody::Default),
            "the client is told nothing of why"
        );
        assert_eq!(taken(&trace), [turn]);
        let line = logged(&log);
        let phase = format!("phase=Phases({phase})");
        assert!(
            line.contains("plugin=\"bad\"") && line.contains(&phase) && line.contains("boom in"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_request_after_a_panic_goes_on() {
    struct Moody;
    #[phases]
    impl Plugin for Moody {
        const NAME: &'static str = "moody";
        const PRIORITY: i32 = 0;
        type Config = Value;
        fn build(_: Value, _: &BuildCx<'_>) -> Result<Self, BuildError> {
            Ok(Self)
        }
        fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
            assert_ne!(ex.request.host.as_ref(), "bad.test");
            Step::next()
        }
    }
    let chain = chain(vec![entry_of("moody", Arc::new(Moody))]);
    let (mut bad, mut good) = (scene().await, scene().await);
    bad.request.host = "bad.test".into();
    for _ in 0..2 {
        let reply = replied(chain.access(&mut bad.exchange()).await);
        assert_eq!(reply.status, 500);
        goes_on(chain.access(&mut good.exchange()).await);
    }
    assert_eq!(bad.request.failures.len(), 2);
    assert_eq!(good.request.failures, []);
}

#[tokio::test]
async fn a_global_copy_gives_way_to_the_routes_where_the_plugin_prefers_it() {
    let trace = Trace::default();
    let prefers = |name, label| Entry {
        prefer_route: true,
        ..placed(&trace, name, label, Level::Global)
    };
    let global = Chain::compile(
        ChainOf::Global,
        vec![
            prefers("p", "gives-way"),
            prefers("q", "not-on-the-route"),
            placed(&trace, "r", "runs-twice", Level::Global),
        ],
    );
    let route = chain(vec![
        placed(&trace, "p", "route-p", Level::Route),
        placed(&trace, "r", "route-r", Level::Route),
    ]);
    let mut scene = scene().await;
    global.log_beside(&route, &mut scene.exchange());
    route.log(&mut scene.exchange());
    assert_eq!(
        taken(&trace),
        [
            "not-on-the-route.log",
            "runs-twice.log",
            "route-p.log",
            "route-r.log"
        ]
    );
    global.log(&mut scene.exchange());
    assert_eq!(taken(&trace).len(), 3, "without a route, all of them");
}
