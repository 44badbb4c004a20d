//! SIGHUP: the settings are read again while the gateway serves.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stream_nodes::{Client, Node, upstream};
use crate::support::{
    Answer, Authority, Builder, Connection, Gateway, Interface, PATIENCE, Port, Request, Upstream,
    eventually, wait_until,
};

/// A gateway whose settings file is written anew.
struct Reloading {
    gateway: Gateway,
    file: PathBuf,
    /// What the harness wrote in front of the test's own keys.
    head: String,
}

impl Reloading {
    async fn start(settings: &str) -> Self {
        Self::of(Gateway::builder(), settings).await
    }

    async fn of(builder: Builder, settings: &str) -> Self {
        let gateway = builder.with_settings(settings).start().await;
        let file = gateway.folder().join("crossway.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let head = text.strip_suffix(&format!("{settings}\n")).unwrap();
        Self {
            head: head.to_owned(),
            gateway,
            file,
        }
    }

    /// With a route for every path, to a node that echoes.
    async fn with_echo(settings: &str) -> (Self, Upstream) {
        let here = Self::start(settings).await;
        let node = Upstream::start().await;
        let route = json!({ "uri": "/*", "upstream": node.document() });
        here.gateway.put("/routes/all", route).await;
        node.clear();
        (here, node)
    }

    /// What `/v1/status` says of the settings.
    async fn standing(&self) -> Value {
        let status = self.gateway.control("/v1/status").await;
        status.expect_status(200).json()["settings"].clone()
    }

    /// Writes the file and has it read; how it stands then.
    async fn reload(&self, settings: &str) -> Value {
        std::fs::write(&self.file, format!("{}{settings}\n", self.head)).unwrap();
        self.again().await
    }

    async fn again(&self) -> Value {
        let before = self.standing().await["reloads"].as_u64().unwrap();
        self.gateway.signal(Signal::HUP);
        let started = Instant::now();
        loop {
            let standing = self.standing().await;
            if standing["reloads"].as_u64().unwrap() > before {
                return standing;
            }
            assert!(started.elapsed() < PATIENCE, "the settings are not read");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// As [`reload`](Self::reload) of settings that are taken whole.
    async fn takes(&self, settings: &str) {
        let standing = self.reload(settings).await;
        assert_eq!(standing["refused"], Value::Null, "{settings}");
        assert_eq!(standing["awaiting_restart"], json!([]), "{settings}");
    }
}

fn keys(awaiting: &Value) -> BTreeSet<String> {
    let list = awaiting.as_array().unwrap().iter();
    list.map(|one| one["key"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_request_of_an_open_connection_meets_the_new_settings() {
    let (here, node) = Reloading::with_echo("limits:\n  uri_bytes: 100\n").await;
    let mut connection = here.gateway.connect().await;
    let long = here.gateway.get(&format!("/{}", "a".repeat(200)));
    let short = here
        .gateway
        .request("POST", "/short")
        .header("X-Forwarded-For", "192.0.2.1")
        .body("0123456789");
    let answer = connection.send(&short).await.unwrap();
    assert!(answer.header("server").unwrap().starts_with("Crossway/"));
    assert_eq!(answer.header("x-apisix-upstream-status"), None);
    here.takes(
        "limits: {uri_bytes: 500, body_bytes: 5}\nserver_header: Elsewhere/1\nserver_tokens: false\n\
         show_upstream_status_in_response_header: true\ntrusted_addresses: [10.0.0.0/8]\n",
    )
    .await;
    let answer = connection.send(&long).await.unwrap();
    assert_eq!(answer.status, 200, "the target may be longer now");
    assert_eq!(answer.header("server"), Some("Elsewhere"));
    assert_eq!(answer.header("x-apisix-upstream-status"), Some("200"));
    let answer = here.gateway.request("POST", "/short").body("0123456789");
    answer.await.expect_status(413);

    node.clear();
    let forwarded = async || {
        let request = here.gateway.get("/x");
        let answer = request.header("X-Forwarded-For", "192.0.2.1").await;
        let answer = answer.expect_status(200);
        answer.echoed_header("x-forwarded-for").unwrap()
    };
    assert_eq!(forwarded().await, "127.0.0.1", "nobody's word");
    here.takes("trusted_addresses: [127.0.0.0/8]\n").await;
    assert_eq!(forwarded().await, "192.0.2.1, 127.0.0.1");
    let answer = connection.send(&long).await.unwrap();
    assert_eq!(answer.status, 200, "the default is long enough");
    assert!(answer.header("server").unwrap().starts_with("Crossway/"));
    here.takes("limits: {uri_bytes: 100, header_count: 3}\n")
        .await;
    let many = (0..5).fold(here.gateway.get("/x"), |r, n| {
        r.header(&format!("X-{n}"), "1")
    });
    let mut other = here.gateway.connect().await;
    let answer = connection.send(&long).await.unwrap();
    assert_eq!(answer.status, 414);
    assert_eq!(other.send(&many).await.unwrap().status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_with_the_settings_that_it_began_with() {
    let (here, node) = Reloading::with_echo("server_header: before\n").await;
    node.answer(Answer::text("slow").after(Duration::from_millis(1500)));
    let slow = tokio::spawn(here.gateway.get("/slow").send());
    wait_until("the request is under way", PATIENCE, || node.hits() > 0).await;
    here.takes("server_header: after\n").await;
    let answer = slow.await.unwrap().unwrap().expect_status(200);
    assert_eq!(answer.text(), "slow");
    assert_eq!(answer.header("server"), Some("before"));
    let answer = here.gateway.control("/v1/status").await;
    answer.expect_status(200);
    let answer = here.gateway.get("/").await;
    assert_eq!(answer.header("server"), Some("after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_sees_half_of_a_change_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| folder.path().join(name);
    let settings = |name: &str, all: bool| {
        format!(
            "server_header: {name}\nshow_upstream_status_in_response_header: {all}\n\
             access_log:\n  path: {}\n  template: '{name} $uri'\n",
            log(name).display()
        )
    };
    let one = settings("one", true);
    let other = settings("other", false);
    let (here, node) = Reloading::with_echo(&one).await;
    node.answer(Answer::text("ok"));
    let stop = Arc::new(AtomicBool::new(false));
    let address = here.gateway.addr(Interface::Http);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..3 {
        let stop = stop.clone();
        clients.spawn(async move {
            let mut seen = BTreeMap::new();
            let mut connection = Connection::open(address).await.unwrap();
            while !stop.load(Relaxed) {
                let target = format!("/{client}/{}", seen.len());
                let request = Request::new(address, "GET", &target);
                let answer = connection.send(&request).await.expect("an answer");
                let server = answer.header("server").unwrap().to_owned();
                let shown = answer.header("x-apisix-upstream-status").is_some();
                assert_eq!(
                    (answer.status, shown),
                    (200, server == "one"),
                    "half of a change: {server}"
                );
                seen.insert(target, server);
            }
            seen
        });
    }
    for _ in 0..10 {
        here.takes(&other).await;
        here.takes(&one).await;
    }
    stop.store(true, Relaxed);
    let mut seen = BTreeMap::new();
    while let Some(client) = clients.join_next().await {
        seen.extend(client.unwrap());
    }
    let logged = || {
        let text = ["one", "other"].map(|n| std::fs::read_to_string(log(n)).unwrap_or_default());
        let text = text.concat();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .filter(|(_, target)| seen.contains_key(*target))
            .map(|(name, target)| (target.to_owned(), name.to_owned()))
            .collect::<BTreeMap<_, _>>()
    };
    wait_until("all requests are logged", PATIENCE, || {
        logged().len() == seen.len()
    })
    .await;
    assert!(logged() == seen, "each in the log of its settings");
    assert!(seen.values().any(|name| name == "other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_goes_elsewhere_in_another_form_or_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    let settings = |name: &str, more: &str| {
        format!(
            "access_log:\n  path: {}\n  template: '$uri'\n  fields: {{uri: $uri}}\n  {more}\n",
            path(name).display()
        )
    };
    let (here, _node) = Reloading::with_echo(&settings("a", "queue: 64")).await;
    here.gateway.get("/1").await.expect_status(200);
    here.takes(&settings("b", "format: json")).await;
    here.gateway.get("/2").await.expect_status(200);
    here.takes(&settings("c", "enabled: false")).await;
    here.gateway.get("/3").await.expect_status(200);
    here.takes(&settings("d", "queue: 64")).await;
    here.gateway.get("/4").await.expect_status(200);
    wait_until("all is written", PATIENCE, || {
        read("a").ends_with("/1\n") && read("b").contains("/2") && read("d") == "/4\n"
    })
    .await;
    let line: Value = serde_json::from_str(read("b").trim()).unwrap();
    assert_eq!(line, json!({ "uri": "/2" }));
    assert!(!path("c").exists());
    let standing = here.reload(&settings("none/e", "queue: 64")).await;
    let why = standing["refused"]["error"].as_str().unwrap();
    assert!(why.contains("access_log.path: cannot write"), "{why}");
    // And a file that was moved away is opened anew, whatever the settings are.
    std::fs::rename(path("d"), path("d.1")).unwrap();
    here.again().await;
    here.gateway.get("/5").await.expect_status(200);
    wait_until("the new file is written", PATIENCE, || read("d") == "/5\n").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_doors_of_the_admin_api_change_at_once() {
    let key = |key: &str, role: &str| format!("{{name: a, key: {key}, role: {role}}}");
    let here = Reloading::start(&format!("admin:\n  keys: [{}]\n", key("hush-one", "admin"))).await;
    let admin = here.gateway.admin();
    let status = async |key: &str| admin.with_key(key).get("/routes").await.status;
    assert_eq!(
        (status("hush-one").await, status("hush-two").await),
        (200, 401)
    );
    here.takes(&format!(
        "admin:\n  keys: [{}]\n",
        key("hush-two", "viewer")
    ))
    .await;
    assert_eq!(
        (status("hush-one").await, status("hush-two").await),
        (401, 200)
    );
    let route = json!({ "uri": "/", "upstream": upstream(&["127.0.0.1:1"]) });
    let refused = admin.with_key("hush-two").put("/routes/1", &route).await;
    refused.expect_status(401);
    here.takes("admin: {allow: [10.0.0.0/8], server_header: APISIX/3.2.0, cors: false}\n")
        .await;
    let answer = admin.get("/routes").await.expect_status(403);
    assert_eq!(answer.header("server"), Some("APISIX/3.2.0"));
    assert_eq!(answer.header("access-control-allow-origin"), None);
    here.takes("admin: {max_body_size: 1024}\n").await;
    let desc = "x".repeat(2000);
    let large = json!({ "uri": "/", "desc": desc });
    let answer = admin.put("/routes/1", &large).await.expect_status(400);
    assert!(answer.text().contains("body"), "{}", answer.text());
    // A key is shown nowhere.
    here.reload("admin: {keys: 'hush-three'}\n").await;
    here.reload("data_encryption: {keyring: [0123456789abcdef]}\n")
        .await;
    let all = format!("{}{}", here.gateway.log(), here.standing().await);
    for secret in ["hush-one", "hush-two", "hush-three", "0123456789abcdef"] {
        assert!(!all.contains(secret), "{secret} is shown:\n{all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_is_told_with_its_line() {
    let good = "server_header: good\nlimits: {uri_bytes: 100}\n";
    let (here, _node) = Reloading::with_echo(good).await;
    let file = here.file.display().to_string();
    let lines = here.head.lines().count();
    for (number, (text, said)) in [
        (
            "server_header: bad\nlimits: [\n",
            "is not valid YAML".to_owned(),
        ),
        (
            "server_header: bad\nlimits:\n  uri_bytse: 5\n",
            format!(
                "unknown key \"limits.uri_bytse\" in {file}:{} (expected one of body_bytes",
                lines + 3
            ),
        ),
        (
            "server_header: bad\n\nlimits:\n  uri_bytes: 5\n",
            format!("limits.uri_bytes in {file}:{}: ", lines + 4),
        ),
        (
            "server_header: bad\naccess_log: {template: $nonsense}\n",
            format!("access_log.template in {file}:{}: ", lines + 2),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let standing = here.reload(text).await;
        let why = standing["refused"]["error"].as_str().unwrap();
        assert!(why.contains(&said), "{why}");
        assert!(standing["refused"]["at"].as_u64().unwrap() > 0);
        assert_eq!(standing["refused_total"], json!(number + 1));
        assert!(here.gateway.log().contains(&said), "{}", here.gateway.log());
        let answer = here.gateway.get("/").await.expect_status(200);
        assert_eq!(answer.header("server"), Some("good"));
    }
    std::fs::remove_file(&here.file).unwrap();
    let standing = here.again().await;
    let why = standing["refused"]["error"].as_str().unwrap();
    assert!(why.contains("cannot read"), "{why}");
    let metrics = here.gateway.metrics().await;
    let counted = "apisix_settings_reloads_total{result=\"refused\"} 5";
    assert!(metrics.contains(counted), "{metrics}");

    let before = standing["read"].as_u64().unwrap();
    let standing = here.reload("server_header: better\n").await;
    assert_eq!(standing["refused"], Value::Null);
    assert_eq!(standing["file"], json!(file));
    assert!(standing["read"].as_u64().unwrap() >= before);
    let answer = here.gateway.get("/").await;
    assert_eq!(answer.header("server"), Some("better"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_waits_for_it_and_is_named() {
    let (here, _node) = Reloading::with_echo("").await;
    let standing = here
        .reload("router: {mode: radixtree_uri}\nserver_header: new\nthreads: 0\n")
        .await;
    let mode = json!({
        "key": "router.mode",
        "running": "\"radixtree_host_uri\"",
        "written": "\"radixtree_uri\"",
    });
    assert_eq!(standing["awaiting_restart"], json!([mode]), "{standing}");
    let log = here.gateway.log();
    let line = log.lines().find(|line| line.contains("needs a restart"));
    let line = line.unwrap();
    assert!(
        line.contains("router.mode") && line.contains("radixtree_host_uri"),
        "{line}"
    );
    let answer = here.gateway.get("/").await;
    assert_eq!(answer.header("server"), Some("new"), "the rest is taken");
    let metrics = here.gateway.metrics().await;
    assert!(metrics.contains("apisix_settings_awaiting_restart 1"));
    here.takes("server_header: new\n").await;
    // The page is made anew every now and then.
    eventually("the metrics have it", PATIENCE, async || {
        let metrics = here.gateway.metrics().await;
        metrics.contains("apisix_settings_awaiting_restart 0")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_without_a_restart_is_refused_whole() {
    let proxied = Port::reserve();
    let settings = format!(
        "listen: {{proxy_protocol: {{on: [\"{}\"], trusted: [127.0.0.0/8]}}}}\n",
        proxied.addr()
    );
    let both = format!("[\"{{}}\", \"{}\"]", proxied.addr());
    let builder = Gateway::builder().with_env("CROSSWAY_LISTEN_HTTP", &both);
    let here = Reloading::of(builder, &settings).await;
    // The listener would believe nobody any more.
    let standing = here.reload("server_header: new\n").await;
    let why = standing["refused"]["error"].as_str().unwrap();
    assert!(
        why.contains("listen.proxy_protocol.trusted") && why.contains("listen.proxy_protocol.on"),
        "{why}"
    );
    let answer = here.gateway.get("/").await;
    assert_ne!(answer.header("server"), Some("new"));

    let ask = async || {
        let mut connection = Connection::open(proxied.addr()).await.unwrap();
        let text =
            "PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        connection.write(text.as_bytes()).await.ok();
        let answer = connection
            .read_until_quiet(Duration::from_millis(500))
            .await;
        String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 404")
    };
    assert!(ask().await);
    here.takes(&settings.replace("127.0.0.0", "10.0.0.0")).await;
    assert!(!ask().await, "the balancer is not believed any more");
}

/// The keys of the reference page, by whether they are live.
fn reference() -> BTreeMap<String, bool> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/REFERENCE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut keys = BTreeMap::new();
    let mut key = None;
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("### `") {
            key = Some(name.trim_end_matches('`').to_owned());
        } else if line.starts_with("`CROSSWAY_") && key.is_some() {
            let live = line.ends_with(" · live");
            assert!(live || line.ends_with(" · needs a restart"), "{line}");
            keys.insert(key.take().unwrap(), live);
        }
    }
    keys
}

/// Keys that the harness gives by the environment, which is the same for as long as the process runs.
const GIVEN: [&str; 6] = [
    "admin.key",
    "admin.listen",
    "control.listen",
    "data_dir",
    "listen.http",
    "metrics.listen",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_key_is_taken_or_waits_as_the_reference_says() {
    let here = Reloading::start("").await;
    let folder = here.gateway.folder().display().to_string();
    let [https, tcp, udp] = [Port::reserve(), Port::reserve(), Port::reserve()];
    let other = format!(
        r#"
listen:
  https: "{}"
  unix: ["{folder}/x.sock"]
  h2c: true
  proxy_protocol: {{on: ["{folder}/x.sock"], trusted: [10.0.0.0/8], timeout: 3}}
  backlog: 100
  reuse_port: true
  tcp_keepalive: 10
tls:
  fallback_sni: a.test
  protocols: [TLSv1.3]
  session_tickets: false
  session_cache: 10
  ocsp_dir: "{folder}"
  ocsp_reload: 9
threads: 3
stream:
  tcp: "{}"
  udp: "{}"
  idle_timeout: 5
  udp_idle_timeout: 5
  udp_sessions: 5
  hello_timeout: 5
  buffer: 2048
  proxy_protocol_to_upstream: true
secrets: {{ttl: 5, retry: 5, keep: 5, timeout: 4}}
data_encryption: {{enabled: true, keyring: [0123456789abcdef]}}
limits:
  uri_bytes: 8000
  header_bytes: 32000
  header_count: 99
  body_bytes: 1000000
  header_timeout: 29
  keepalive_timeout: 59
  body_rate: 239
  response_rate: 239
  connections: 1000
  connections_per_client: 900
  requests_per_connection: 800
  tls_handshake_timeout: 9
  http2:
    streams: 100
    stream_window: 70000
    connection_window: 70000
    resets: 9
    control_frames: 99
    continuation_frames: 1
trusted_addresses: [10.0.0.1]
router:
  mode: radixtree_uri
  delete_uri_tail_slash: true
  normalize_uri_like_servlet: true
  match_uri_encoded_slash: true
paths:
  encoded_slash: refuse
  parameters: refuse
  double_encoding: pass
  backslash: refuse
  double_slash: refuse
  dot_segments: refuse
  forward: normalised
upstream:
  keepalive_pool_size: 10
  ca_file: /nowhere
  dns: {{servers: [127.0.0.1]}}
  limits: {{header_bytes: 2048, header_count: 9, interim_responses: 9}}
  unix_sockets: ["{folder}"]
acme:
  directory: https://ca.test/directory
  ca_file: /nowhere
  contact: [a@a.test]
  terms_of_service_agreed: true
  external_account: {{key_id: one, hmac_key: aGVsbG8td29ybGQtaGVsbG8td29ybGQ}}
  challenge: tls-alpn-01
  renew_before: 86400
  certificates: [{{domains: [a.test]}}]
server_header: other
server_tokens: false
show_upstream_status_in_response_header: true
shutdown: {{drain_timeout: 1, readiness_delay: 1}}
store: {{kind: memory, file: /nowhere}}
admin:
  enabled: false
  keys: [{{name: a, key: b, role: viewer}}]
  allow: []
  cors: false
  max_body_size: 2048
  server_header: APISIX/3.9.0
metrics: {{path: /m, prefix: x_}}
access_log:
  enabled: false
  path: stderr
  format: json
  template: "$uri"
  fields: {{a: $uri}}
  queue: 16
log: {{level: debug, format: json}}
plugins: [cors]
plugin_attr: {{x: {{y: 1}}}}
"#,
        https.addr(),
        tcp.addr(),
        udp.addr()
    );
    std::fs::write(&here.file, other).unwrap();
    let standing = here.again().await;
    assert_eq!(standing["refused"], Value::Null);
    let mut expected = reference();
    for given in GIVEN {
        assert!(expected.remove(given).is_some(), "{given}");
    }
    let waits: BTreeSet<_> = expected.iter().filter(|(_, live)| !**live).collect();
    let waits: BTreeSet<String> = waits.into_iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(keys(&standing["awaiting_restart"]), waits);
    let log = here.gateway.log();
    let changed = log.lines().filter(|l| l.contains("a setting has changed"));
    let changed: BTreeSet<String> = changed
        .filter_map(|line| line.split_once("key=\"")?.1.split('"').next())
        .map(str::to_owned)
        .collect();
    let live = expected.iter().filter(|(_, live)| **live);
    let live: BTreeSet<String> = live.map(|(key, _)| key.clone()).collect();
    assert_eq!(changed, live, "{log}");
    here.takes("").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_the_new_limits_and_those_that_are_open_stay() {
    let (here, node) = Reloading::with_echo("").await;
    node.answer(Answer::text("ok"));
    let request = here.gateway.get("/");
    let mut first = here.gateway.connect().await;
    assert_eq!(first.send(&request).await.unwrap().status, 200);
    let mut second = here.gateway.connect().await;
    assert_eq!(second.send(&request).await.unwrap().status, 200);
    here.takes("limits: {connections_per_client: 2}\n").await;
    let mut third = here.gateway.connect().await;
    assert!(third.closes_within(PATIENCE).await, "two are there already");
    for open in [&mut first, &mut second] {
        assert_eq!(open.send(&request).await.unwrap().status, 200);
    }
    here.takes("limits: {requests_per_connection: 5}\n").await;
    assert_eq!(here.gateway.get("/").await.status, 200);
    let mut fourth = here.gateway.connect().await;
    for left in (0..5).rev() {
        let answer = fourth.send(&request).await.unwrap();
        let closes = answer.header("connection") == Some("close");
        assert_eq!(closes, left == 0, "{left}");
    }
    here.takes("limits: {keepalive_timeout: 0.3}\n").await;
    let mut fifth = here.gateway.connect().await;
    assert_eq!(fifth.send(&request).await.unwrap().status, 200);
    assert!(fifth.closes_within(Duration::from_secs(10)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_taken_from_the_connection_that_comes_next() {
    let (here, _node) = Reloading::with_echo("").await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let frames = async || {
        let answer = here.gateway.raw(preface).await;
        answer.get(3) == Some(&4)
    };
    assert!(!frames().await);
    here.takes("listen: {h2c: true}\n").await;
    assert!(frames().await, "SETTINGS come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_open_go_on_and_new_ones_keep_to_the_new_time() {
    let node = Node::start("a").await;
    let tcp = Port::reserve();
    let settings = |idle: &str| {
        format!(
            "stream:\n  tcp: \"{}\"\n  idle_timeout: {idle}\n",
            tcp.addr()
        )
    };
    let here = Reloading::start(&settings("60")).await;
    let route = json!({ "upstream": upstream(&[&node.node()]) });
    here.gateway.put("/stream_routes/1", route).await;
    let mut before = Client::to(tcp.addr()).await;
    assert_eq!(before.line().await.as_deref(), Some("a"));
    here.takes(&settings("0.3")).await;
    let mut after = Client::to(tcp.addr()).await;
    assert_eq!(after.line().await.as_deref(), Some("a"));
    assert_eq!(after.rest().await, b"", "closed for its silence");
    before.echo(b"still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_take_the_new_fallback() {
    let here = Reloading::of(Gateway::builder().with_https(), "").await;
    let authority = Authority::new("servers");
    let leaf = authority.issue(&["a.test", "127.0.0.1"]);
    let ssl = json!({ "snis": ["a.test"], "cert": leaf.certificate_pem, "key": leaf.key_pem });
    here.gateway.put("/ssls/1", ssl).await;
    let by_address = async || {
        here.gateway
            .connect_tls("127.0.0.1", authority.client())
            .await
            .is_ok()
    };
    assert!(!by_address().await);
    here.takes("tls: {fallback_sni: A.test}\n").await;
    assert!(by_address().await);
    here.gateway
        .put(
            "/routes/1",
            json!({ "uri": "/", "upstream": upstream(&["127.0.0.1:1"]) }),
        )
        .await;
    assert!(by_address().await, "also after a change of documents");
    here.takes("").await;
    assert!(!by_address().await);
    let standing = here.reload("tls: {ocsp_dir: /no/such/folder}\n").await;
    let why = standing["refused"]["error"].as_str().unwrap();
    assert!(why.contains("tls.ocsp_dir: /no/such/folder"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_and_the_end_follow_the_new_settings() {
    let mut here = Reloading::start("shutdown: {drain_timeout: 600}\n").await;
    let node = Upstream::start().await;
    node.answer(Answer::text("late").after(Duration::from_secs(120)));
    let route = json!({ "uri": "/*", "upstream": node.document() });
    here.gateway.put("/routes/all", route).await;
    let debug = |log: &str| log.lines().any(|line| line.contains("DEBUG"));
    assert!(!debug(&here.gateway.log()));
    here.takes("log: {level: debug}\nshutdown: {drain_timeout: 600}\n")
        .await;
    // Its target is refused, which is told at this level.
    here.gateway
        .raw("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    wait_until("details are logged", PATIENCE, || {
        debug(&here.gateway.log())
    })
    .await;

    let slow = tokio::spawn(here.gateway.get("/slow").send());
    wait_until("a request is under way", PATIENCE, || node.hits() > 0).await;
    here.takes("shutdown: {drain_timeout: 0.3, readiness_delay: 1}\n")
        .await;
    let asked = Instant::now();
    here.gateway.ask_to_stop();
    eventually("readiness turns false", PATIENCE, async || {
        here.gateway.control("/status/ready").await.status == 503
    })
    .await;
    let status = here.gateway.ends_within(Duration::from_secs(30)).await;
    assert!(status.success(), "{status:?}");
    assert!(asked.elapsed() >= Duration::from_millis(1300));
    slow.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_waits_for_the_end_of_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut bytes = [0; 4096];
        let count = systemd.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    };
    let builder = Gateway::builder().with_env("NOTIFY_SOCKET", path.to_str().unwrap());
    let here = Reloading::of(builder, "").await;
    assert!(told().starts_with("READY=1\nMAINPID="));
    for (settings, result) in [
        ("server_header: a\n", "settings: read again"),
        ("server_header: [\n", "refused: settings: "),
    ] {
        here.reload(settings).await;
        let reloading = told();
        let at = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(at.unwrap().parse::<u64>().unwrap() > 0, "{reloading}");
        let ready = told();
        let status = ready.strip_prefix("READY=1\nSTATUS=").unwrap();
        assert!(status.starts_with(result), "{ready}");
        assert_eq!(ready.lines().count(), 2, "{ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_come_meanwhile_are_kept() {
    let (here, node) = Reloading::with_echo("").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (stop, admin) = (stop.clone(), here.gateway.admin());
        let document = json!({ "uri": "/written", "upstream": node.document() });
        async move {
            let mut written = 0;
            while !stop.load(Relaxed) {
                let path = format!("/routes/w{written}");
                admin.put(&path, &document).await.expect_status(201);
                written += 1;
            }
            written
        }
    });
    for round in 0..15 {
        here.takes(&format!("server_header: round-{round}\n")).await;
    }
    stop.store(true, Relaxed);
    let written = writer.await.unwrap();
    assert!(written > 0);
    for number in 0..written {
        let path = format!("/routes/w{number}");
        here.gateway.admin().get(&path).await.expect_status(200);
    }
    let answer = here.gateway.get("/written").await.expect_status(200);
    assert_eq!(answer.header("server"), Some("round-14"));
}
