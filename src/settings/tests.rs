#![allow(clippy::unwrap_used, clippy::panic)]
use super::{keys::leaves, *};
use std::collections::BTreeSet;

fn settings(text: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let written = Written::parse(text, "conf/crossway.yaml", env);
    written
        .map(Written::into_settings)
        .map_err(|error| error.to_string())
}

fn refused(text: &str, env: &[(&str, &str)]) -> String {
    match settings(text, env) {
        Ok(_) => panic!("accepted: {text} {env:?}"),
        Err(message) => message,
    }
}

fn http(settings: &Settings) -> Vec<String> {
    settings
        .listen
        .http
        .iter()
        .map(|address| address.to_string())
        .collect()
}

#[test]
fn nothing_written_means_the_defaults() {
    for text in [
        "",
        "# only a comment\n",
        "{}",
        "admin:\nlisten:\n  http:\nplugins:\n",
    ] {
        assert_eq!(settings(text, &[]), Ok(Settings::default()), "{text}");
    }
    let defaults = Settings::default();
    assert_eq!(http(&defaults), ["0.0.0.0:9080"]);
    assert_eq!(defaults.admin.listen.0.to_string(), "127.0.0.1:9180");
    assert_eq!(defaults.store.kind(), StoreKind::Embedded);
    assert!(defaults.admin.allows("127.0.0.1".parse().unwrap()));
    assert!(defaults.admin.allows("::1".parse().unwrap()));
    assert!(!defaults.admin.allows("10.0.0.1".parse().unwrap()));
    assert!(defaults.worker_threads().get() >= 1);
}

#[test]
fn the_file_of_the_repository_says_what_the_defaults_are() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/crossway.yaml");
    let shown = Settings::load(Some(&path), std::iter::empty()).unwrap();
    assert_eq!(shown, Settings::default());
    let text = std::fs::read_to_string(path).unwrap();
    let schema = Settings::schema();
    for key in leaves(&Key::tree(&schema)) {
        let mentioned = text.lines().any(|line| {
            line.trim_start_matches(['#', ' '])
                .starts_with(&format!("{}:", key.name))
        });
        assert!(mentioned, "{} is not shown in conf/crossway.yaml", key.path);
    }
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
listen: {http: ["127.0.0.1:80", "[::]:80"], backlog: 128}
admin:
  key: "0123"
  keys: [{name: ci, key: abc, role: viewer}]
  allow: [10.0.0.0/8]
  max_body_size: 2048
store: {file: conf/resources.yaml}
threads: 3
shutdown: {drain_timeout: 0.5}
router: {mode: radixtree_uri, delete_uri_tail_slash: true}
upstream: {dns: {servers: [10.0.0.53, "10.0.0.54:5353"]}}
trusted_addresses: [192.168.0.0/16, "::1"]
server_tokens: false
access_log: {path: off, format: json, fields: {uri: $uri}}
log: {level: debug, format: json}
plugins: [key-auth, cors]
plugin_attr: {prometheus: {export_uri: /m, nothing: null}}
"#;
    let settings = settings(text, &[]).unwrap();
    assert_eq!(http(&settings), ["127.0.0.1:80", "[::]:80"]);
    assert_eq!(settings.admin.key.as_ref().unwrap().expose(), "0123");
    assert_eq!(settings.admin.keys[0].role, Role::Viewer);
    assert!(settings.admin.allows("10.1.1.1".parse().unwrap()));
    assert!(!settings.admin.allows("127.0.0.1".parse().unwrap()));
    assert_eq!(settings.store.kind(), StoreKind::File);
    assert_eq!(settings.worker_threads().get(), 3);
    assert_eq!(settings.shutdown.drain_timeout.0.as_millis(), 500);
    assert_eq!(settings.router.mode, RouterMode::Uri);
    let servers: Vec<_> = settings
        .upstream
        .dns
        .servers
        .iter()
        .map(|s| s.to_string())
        .collect();
    assert_eq!(servers, ["10.0.0.53:53", "10.0.0.54:5353"]);
    assert!(
        settings
            .trusted_addresses
            .contains("192.168.3.4".parse().unwrap())
    );
    assert_eq!(settings.server(), "Crossway");
    assert_eq!(settings.access_log.path, LogTarget::Off);
    assert_eq!(settings.access_log.fields.len(), 1);
    assert_eq!(
        settings.plugins.as_deref(),
        Some(&["key-auth".to_owned(), "cors".to_owned()][..])
    );
    assert!(settings.plugin_attr["prometheus"]["nothing"].is_null());
}

#[test]
fn an_unknown_key_is_refused_with_its_path_and_its_neighbours() {
    assert_eq!(
        refused("listen: {htpp: 0.0.0.0:80}", &[]),
        "settings: unknown key \"listen.htpp\" in conf/crossway.yaml:1 (expected one of backlog, h2c, http, https, proxy_protocol, reuse_port, tcp_keepalive, unix)"
    );
    let top = refused("treads: 3", &[]);
    assert!(
        top.contains("\"treads\"") && top.contains("threads"),
        "{top}"
    );
    let item = refused("admin: {keys: [{name: a, kye: b, role: admin}]}", &[]);
    assert!(item.contains("unknown key \"admin.keys[0].kye\""), "{item}");
    let deep = refused("upstream: {dns: {server: []}}", &[]);
    assert!(
        deep.contains("\"upstream.dns.server\" in conf/crossway.yaml:1 (expected one of servers)"),
        "{deep}"
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_path() {
    for (text, key, part) in [
        ("threads: many", "threads", "invalid type"),
        ("threads: 5000", "threads", "at most 1024"),
        ("threads: -1", "threads", "invalid value"),
        (
            "listen: {http: localhost:80}",
            "listen.http",
            "\"localhost:80\" is not an IP address and a port",
        ),
        ("listen: {http: []}", "listen.http", "at least one address"),
        (
            "listen: {http: 80}",
            "listen.http",
            "expected an address such as",
        ),
        (
            "listen: {http: [\"0.0.0.0:80\", \"0.0.0.0:80\"]}",
            "listen.http",
            "listed twice",
        ),
        (
            "listen: 80",
            "listen",
            "expected keys and values: backlog, h2c, http, https, proxy_protocol, reuse_port, tcp_keepalive, unix",
        ),
        (
            "listen: {https: \"0.0.0.0:9080\"}",
            "listen.https",
            "0.0.0.0:9080 is the address of listen.http too",
        ),
        ("tls: {protocols: []}", "tls.protocols", "at least 1"),
        (
            "tls: {protocols: [TLSv1.1]}",
            "tls.protocols[0]",
            "expected `TLSv1.2` or `TLSv1.3`",
        ),
        ("tls: {fallback_sni: \"\"}", "tls.fallback_sni", "too short"),
        ("tls: {ocsp_reload: 0}", "tls.ocsp_reload", "at least 1"),
        ("listen: {backlog: 0}", "listen.backlog", "at least 1"),
        (
            "admin: {allow: [10.0.0.0/33]}",
            "admin.allow",
            "`10.0.0.0/33` is not an IP address",
        ),
        ("admin: {allow: 10.0.0.0/8}", "admin.allow", "invalid type"),
        (
            "admin: {keys: [{name: a, key: b}]}",
            "admin.keys[0]",
            "missing field `role`",
        ),
        (
            "admin: {keys: [{name: a, key: b, role: root}]}",
            "admin.keys[0].role",
            "expected `admin` or `viewer`",
        ),
        (
            "admin: {keys: [{name: '', key: b, role: admin}]}",
            "admin.keys[0].name",
            "too short",
        ),
        (
            "admin: {key: a, keys: [{name: a, key: a, role: admin}]}",
            "admin.keys[0].key",
            "listed twice",
        ),
        ("admin: {key: ''}", "admin.key", "visible ASCII"),
        ("admin: {key: 'a b'}", "admin.key", "visible ASCII"),
        (
            "metrics: {listen: 127.0.0.1:9090}",
            "metrics.listen",
            "the address of control.listen too",
        ),
        ("metrics: {path: metrics}", "metrics.path", "pattern"),
        ("metrics: {prefix: 1-}", "metrics.prefix", "pattern"),
        (
            "store: {kind: file}",
            "store.file",
            "is needed when store.kind is file",
        ),
        (
            "store: {kind: etcd}",
            "store.kind",
            "expected one of `embedded`, `file`, `memory`",
        ),
        (
            "shutdown: {drain_timeout: -1}",
            "shutdown.drain_timeout",
            "not a number of seconds",
        ),
        (
            "shutdown: {drain_timeout: 1e9}",
            "shutdown.drain_timeout",
            "at most 86400",
        ),
        (
            "server_header: \"a\\nb\"",
            "server_header",
            "cannot be the value of a header",
        ),
        (
            "server_header: ''",
            "server_header",
            "cannot be the value of a header",
        ),
        (
            "access_log: {template: $urii}",
            "access_log.template",
            "unknown variable `urii`",
        ),
        (
            "access_log: {fields: {a: $b}}",
            "access_log.fields.a",
            "unknown variable `b`",
        ),
        ("access_log: {queue: 0}", "access_log.queue", "at least 16"),
        ("server_tokens: on", "server_tokens", "invalid type"),
        ("[]", "the document", "expected keys and values"),
    ] {
        let message = refused(text, &[]);
        let line = if text == "[]" { "" } else { ":1" };
        let start = format!("settings: {key} in conf/crossway.yaml{line}: ");
        assert!(
            message.starts_with(&start) && message.contains(part),
            "{text} -> {message}"
        );
    }
}

#[test]
fn a_file_that_is_no_yaml_or_is_not_there_is_named() {
    let message = refused("listen: [", &[]);
    assert!(
        message.starts_with("settings: conf/crossway.yaml is not valid YAML: "),
        "{message}"
    );
    assert!(
        message.contains("line") && !message.contains('\n'),
        "{message}"
    );
    let twice = refused("threads: 1\nthreads: 2", &[]);
    assert!(twice.contains("not valid YAML"), "{twice}");
    let missing = Settings::load(Some(Path::new("no/such.yaml")), std::iter::empty()).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with("settings: cannot read no/such.yaml: ")
    );
}

#[test]
fn a_key_is_never_quoted_in_an_error() {
    for message in [
        refused("admin: {key: 'se cret'}", &[]),
        refused("admin: {key: [secret]}", &[]),
        refused("admin: {keys: secret}", &[]),
        refused("admin: {keys: [secret]}", &[]),
        refused("admin: secret", &[]),
        refused("", &[("CROSSWAY_ADMIN_KEYS", "secret")]),
        refused(
            "",
            &[("CROSSWAY_ADMIN_KEYS", "[{name: a, key: 5, role: admin}]")],
        ),
        refused(
            "admin: {key: secret, keys: [{name: a, key: secret, role: admin}]}",
            &[],
        ),
    ] {
        assert!(
            !message.contains("cret") && !message.contains('5'),
            "{message}"
        );
    }
    let debug = format!("{:?}", settings("admin: {key: hush-hush}", &[]).unwrap());
    assert!(!debug.contains("hush"), "{debug}");
}

#[test]
fn the_environment_wins_over_the_file() {
    let file = "listen: {http: 0.0.0.0:80}\nthreads: 2\nlog: {level: warn}\n";
    let settings = settings(
        file,
        &[
            ("CROSSWAY_LISTEN_HTTP", "127.0.0.1:81"),
            ("CROSSWAY_THREADS", "4"),
            ("PATH", "/bin"),
            ("CROSSWAYS", "x"),
        ],
    )
    .unwrap();
    assert_eq!(http(&settings), ["127.0.0.1:81"]);
    assert_eq!(settings.threads, 4);
    assert_eq!(settings.log.level, LogLevel::Warn);
}

#[test]
fn a_variable_holds_a_text_or_yaml_by_what_the_key_takes() {
    let of = |name: &str, value: &str| settings("", &[(name, value)]).unwrap();
    assert_eq!(
        http(&of("CROSSWAY_LISTEN_HTTP", "[::]:9080")),
        ["[::]:9080"]
    );
    assert_eq!(
        http(&of("CROSSWAY_LISTEN_HTTP", "[127.0.0.1:80, \"[::1]:80\"]")),
        ["127.0.0.1:80", "[::1]:80"]
    );
    for key in [
        "123", "0x1f", "null", "1e5", "true", "~", "a: b", "{a}", "#x",
    ] {
        if key.contains(' ') {
            continue;
        }
        assert_eq!(
            of("CROSSWAY_ADMIN_KEY", key).admin.key.unwrap().expose(),
            key
        );
    }
    assert!(!of("CROSSWAY_ADMIN_ENABLED", "false").admin.enabled);
    assert_eq!(
        of("CROSSWAY_SHUTDOWN_DRAIN_TIMEOUT", "1.5")
            .shutdown
            .drain_timeout
            .0
            .as_millis(),
        1500
    );
    assert!(
        of("CROSSWAY_ADMIN_ALLOW", "[]")
            .admin
            .allows("8.8.8.8".parse().unwrap())
    );
    assert_eq!(
        of("CROSSWAY_PLUGINS", "[a, b]").plugins.unwrap(),
        ["a", "b"]
    );
    assert_eq!(
        of("CROSSWAY_PLUGIN_ATTR", "{a: {b: 1}}").plugin_attr["a"]["b"],
        1
    );
    assert_eq!(
        of("CROSSWAY_DATA_DIR", "/var/lib/crossway").data_dir,
        Path::new("/var/lib/crossway")
    );
    assert_eq!(
        of("CROSSWAY_ROUTER_MODE", "radixtree_uri").router.mode,
        RouterMode::Uri
    );
    assert_eq!(
        of("CROSSWAY_STORE_FILE", "r.yaml").store.kind(),
        StoreKind::File
    );
    assert_eq!(
        of("CROSSWAY_STORE_KIND", "memory").store.kind(),
        StoreKind::Memory
    );
    assert_eq!(
        of("CROSSWAY_ADMIN_KEYS", "[{name: a, key: b, role: viewer}]")
            .admin
            .keys
            .len(),
        1
    );
    assert_eq!(
        of("CROSSWAY_THREADS", ""),
        Settings::default(),
        "empty counts as not set"
    );
}

#[test]
fn an_error_names_the_variable_that_it_came_from() {
    assert_eq!(
        refused("threads: 2", &[("CROSSWAY_THREADS", "many")])
            .split(": ")
            .nth(1),
        Some("threads in CROSSWAY_THREADS")
    );
    let item = refused(
        "",
        &[("CROSSWAY_ADMIN_KEYS", "[{name: a, kye: b, role: admin}]")],
    );
    assert!(
        item.contains("unknown key \"admin.keys[0].kye\" in CROSSWAY_ADMIN_KEYS"),
        "{item}"
    );
    let syntax = refused("", &[("CROSSWAY_PLUGINS", "[a")]);
    assert!(
        syntax.starts_with("settings: CROSSWAY_PLUGINS is not valid YAML: "),
        "{syntax}"
    );
    let other = refused("threads: many", &[("CROSSWAY_LISTEN_HTTP", "127.0.0.1:1")]);
    assert!(other.contains("threads in conf/crossway.yaml"), "{other}");
}

#[test]
fn an_unknown_variable_is_refused() {
    assert_eq!(
        refused("", &[("CROSSWAY_LISTEN_HTPP", "x")]),
        "settings: unknown environment variable CROSSWAY_LISTEN_HTPP (did you mean CROSSWAY_LISTEN_HTTP?)"
    );
    for name in [
        "CROSSWAY_LISTEN",
        "CROSSWAY_",
        "CROSSWAY_listen_http",
        "CROSSWAY_ADMIN_PORT",
        "CROSSWAY_PORT_X_TCP",
    ] {
        let message = refused("", &[(name, "")]);
        assert!(
            message.contains(&format!("unknown environment variable {name} (")),
            "{message}"
        );
    }
}

#[test]
fn what_kubernetes_sets_for_a_service_named_like_us_is_left_alone() {
    let links = [
        ("CROSSWAY_CONFIG", "/etc/crossway.yaml"),
        ("CROSSWAY_SERVICE_HOST", "10.0.0.1"),
        ("CROSSWAY_SERVICE_PORT", "9080"),
        ("CROSSWAY_SERVICE_PORT_HTTP", "9080"),
        ("CROSSWAY_PORT", "tcp://10.0.0.1:9080"),
        ("CROSSWAY_PORT_9080_TCP", "tcp://10.0.0.1:9080"),
        ("CROSSWAY_PORT_9080_TCP_PROTO", "tcp"),
        ("CROSSWAY_PORT_9080_TCP_PORT", "9080"),
        ("CROSSWAY_PORT_9080_TCP_ADDR", "10.0.0.1"),
        ("CROSSWAY_ADMIN_PORT", "tcp://10.0.0.2:9180"),
        ("CROSSWAY_ADMIN_SERVICE_PORT", "9180"),
    ];
    assert_eq!(settings("", &links), Ok(Settings::default()));
}

#[test]
fn every_key_has_a_documentation_and_a_variable_of_its_own() {
    let schema = Settings::schema();
    let tree = Key::tree(&schema);
    let leaves = leaves(&tree);
    let variables: BTreeSet<_> = leaves.iter().map(|key| key.variable()).collect();
    assert_eq!(variables.len(), leaves.len(), "two keys share a variable");
    for name in [
        "LISTEN_HTTP",
        "LISTEN_HTTPS",
        "ADMIN_LISTEN",
        "ADMIN_KEY",
        "CONTROL_LISTEN",
        "METRICS_LISTEN",
        "DATA_DIR",
        "STORE_KIND",
        "STORE_FILE",
    ] {
        assert!(variables.contains(&format!("CROSSWAY_{name}")), "{name}");
    }
    for key in leaves {
        assert!(
            key.schema["description"].is_string(),
            "{} is not documented",
            key.path
        );
        assert!(!key.types().is_empty(), "{} has no type", key.path);
    }
}

#[test]
fn every_key_is_live_or_needs_a_restart() {
    let schema = Settings::schema();
    for key in leaves(&Key::tree(&schema)) {
        let applies = key.applies();
        assert!(
            matches!(applies, Some("live" | "restart")),
            "{}: {applies:?}; its field wants #[schemars(extend(\"x-applies\" = \"live\"))], or \"restart\"",
            key.path
        );
    }
    let secret = |path: &str| {
        let tree = Key::tree(&schema);
        leaves(&tree)
            .iter()
            .any(|key| key.path == path && key.is_secret())
    };
    for path in [
        "admin.key",
        "admin.keys",
        "data_encryption.keyring",
        "plugin_attr",
    ] {
        assert!(secret(path), "{path} would be shown");
    }
    assert!(!secret("admin.allow") && !secret("listen.http"));
}

fn written(text: &str) -> Written {
    Written::parse(text, "conf/crossway.yaml", std::iter::empty()).unwrap()
}

fn paths(differences: &[Difference]) -> Vec<&str> {
    differences.iter().map(|one| one.key.as_str()).collect()
}

#[test]
fn live_keys_are_taken_and_the_others_wait() {
    let running = written("threads: 2\nlimits: {uri_bytes: 100}\nadmin: {key: old}\n");
    let now = written(
        "threads: 3\nserver_header: x\nadmin: {key: new}\nlisten: {http: [\"0.0.0.0:9080\"]}\nlog: {level: info}\n",
    );
    let renewal = running.renewed(&now).unwrap();
    assert_eq!(
        paths(&renewal.changed),
        ["admin.key", "limits.uri_bytes", "server_header"]
    );
    assert_eq!(paths(&renewal.awaiting), ["threads"]);
    let settings = renewal.written.settings();
    assert_eq!((settings.threads, settings.limits.uri_bytes), (2, 8192));
    assert_eq!(settings.server(), "x");
    let waits = &renewal.awaiting[0];
    assert_eq!((waits.running.as_str(), waits.written.as_str()), ("2", "3"));
    let limit = &renewal.changed[1];
    assert_eq!(
        (limit.running.as_str(), limit.written.as_str()),
        ("100", "8192")
    );
    assert_eq!(renewal.changed[0].written, "a value that is not shown");
    // What waited is gone when it is taken back.
    let back = renewal.written.renewed(&running).unwrap();
    assert_eq!(paths(&back.awaiting), [""; 0]);
    assert_eq!(back.written.settings(), running.settings());
}

#[test]
fn the_same_written_in_another_way_is_no_change() {
    let running = written("");
    let now = written(
        "threads: 0\nlisten: {http: [\"0.0.0.0:9080\"]}\nshutdown: {drain_timeout: 30.0}\naccess_log: {path: stdout}\n",
    );
    let renewal = running.renewed(&now).unwrap();
    assert_eq!(paths(&renewal.changed), [""; 0]);
    assert_eq!(paths(&renewal.awaiting), [""; 0]);
}

#[test]
fn live_keys_that_do_not_go_with_what_waits_are_refused_together() {
    let running =
        written("listen: {proxy_protocol: {on: [\"0.0.0.0:9080\"], trusted: [10.0.0.0/8]}}\n");
    let error = running.renewed(&written("")).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "settings: listen.proxy_protocol.trusted: is needed for 0.0.0.0:9080, as long as"
        ) && error.contains("(listen.proxy_protocol.on)"),
        "{error}"
    );
}

#[test]
fn the_reference_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/REFERENCE.md");
    let reference = Settings::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &reference).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference,
        "run again with UPDATE_REFERENCE=1 and commit conf/REFERENCE.md"
    );
    assert!(reference.contains(
        "### `listen.http`\n\n`CROSSWAY_LISTEN_HTTP` · text or list · default `[\"0.0.0.0:9080\"]` · needs a restart\n"
    ));
    assert!(reference.contains("- `radixtree_uri`: "));
}

#[test]
fn the_environment_of_a_process_is_narrowed_to_what_concerns_us() {
    assert!(environment().all(|(name, _)| name.starts_with("CROSSWAY_")));
}
