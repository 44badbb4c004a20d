use serde_json::{Value, json};

use super::{CERT, KEY, route, set, ssl, upstream};
use crate::model::{Kind, check, check_all};

/// Each document is refused with a text that starts as given, at the path given.
#[track_caller]
fn refused(kind: Kind, cases: &[(Value, &str, &str)]) {
    for (document, path, message) in cases {
        let problem = check(kind, document).expect_err(&format!("{kind:?} {document}"));
        let text = problem.to_string();
        assert!(
            text.starts_with(message),
            "{kind:?} {document}\n got {text}\nnot {message}"
        );
        assert_eq!(problem.path, *path, "{text}");
    }
}

#[test]
fn routes() {
    refused(
        Kind::Route,
        &[
            (
                set(route(), "/methods", json!(["GET", "FOO"])),
                "/methods/1",
                "invalid configuration: property \"methods\" validation failed: failed to validate item 2: \
                 matches none of the enum values: expected one of \"GET\", \"POST\", \"PUT\", \"DELETE\", \
                 \"PATCH\", \"HEAD\", \"OPTIONS\", \"CONNECT\", \"TRACE\", \"PURGE\", got \"FOO\" (at /methods/1)",
            ),
            (
                set(route(), "/methods", json!(["GET", "GET"])),
                "/methods",
                "invalid configuration: property \"methods\" validation failed: expected unique items but \
                 items 1 and 2 are equal",
            ),
            (
                set(route(), "/surplus", json!(1)),
                "/surplus",
                "invalid configuration: additional properties forbidden, found surplus",
            ),
            (
                json!({"plugins": {}}),
                "",
                "invalid configuration: value should match only one schema, but matches none: expected \
                 \"uri\" or \"uris\"",
            ),
            (
                json!({"plugins": {}, "uri": "/", "uris": ["/"]}),
                "",
                "invalid configuration: value should match only one schema, but matches both schemas 1 and 2",
            ),
            (
                json!({"uri": "/", "plugin_config_id": 1}),
                "",
                "invalid configuration: object matches none of the required: expected \"plugins\" or \
                 \"upstream\" or \"upstream_id\" or \"service_id\"",
            ),
            (
                json!({"uri": "", "plugins": {}}),
                "/uri",
                "invalid configuration: property \"uri\" validation failed: string too short, expected at \
                 least 1, got 0",
            ),
            (
                set(set(route(), "/host", json!("a")), "/hosts", json!(["b"])),
                "/hosts",
                "only one of host or hosts is allowed",
            ),
            (
                set(
                    set(route(), "/remote_addr", json!("::1")),
                    "/remote_addrs",
                    json!(["::1"]),
                ),
                "/remote_addrs",
                "only one of remote_addr or remote_addrs is allowed",
            ),
            (
                set(route(), "/remote_addr", json!("300.0.0.1")),
                "/remote_addr",
                "invalid configuration: property \"remote_addr\" validation failed: object matches none of \
                 the required: expected \"300.0.0.1\" to be a valid ipv4 or ipv6",
            ),
            (
                set(route(), "/remote_addrs", json!(["10.0.0.1", ":/8"])),
                "/remote_addrs/1",
                "invalid configuration: property \"remote_addrs\" validation failed: failed to validate \
                 item 2: expected an IP address or a CIDR network, got \":/8\"",
            ),
            (
                set(route(), "/status", json!(2)),
                "/status",
                "invalid configuration: property \"status\" validation failed: matches none of the enum",
            ),
            (
                set(route(), "/timeout", json!({"connect": 1, "send": 1})),
                "/timeout/read",
                "invalid configuration: property \"timeout\" validation failed: property \"read\" is required",
            ),
            (
                set(
                    route(),
                    "/timeout",
                    json!({"connect": 0, "send": 1, "read": 1}),
                ),
                "/timeout/connect",
                "invalid configuration: property \"timeout\" validation failed: property \"connect\" \
                 validation failed: expected 0 to be greater than 0",
            ),
            (
                set(route(), "/labels", json!({"a": "b c"})),
                "/labels/a",
                "invalid configuration: property \"labels\" validation failed: property \"a\" validation \
                 failed: failed to match pattern \"^\\\\S+$\" with \"b c\"",
            ),
            (
                set(route(), "/service_id", json!("a b")),
                "/service_id",
                "invalid configuration: property \"service_id\" validation failed: object matches none of \
                 the required: failed to match pattern",
            ),
            (
                set(route(), "/service_id", json!(true)),
                "/service_id",
                "invalid configuration: property \"service_id\" validation failed: object matches none of \
                 the required: wrong type: expected string or integer, got boolean",
            ),
            (
                set(
                    route(),
                    "/upstream/nodes",
                    json!([{"host": "a", "weight": -1}]),
                ),
                "/upstream/nodes/0/weight",
                "invalid configuration: property \"upstream\" validation failed: property \"nodes\" \
                 validation failed: object matches none of the required: failed to validate item 1: \
                 property \"weight\" validation failed: expected -1 to be at least 0 (at \
                 /upstream/nodes/0/weight)",
            ),
            (
                json!([]),
                "",
                "invalid configuration: wrong type: expected object, got array",
            ),
            (
                json!(null),
                "",
                "invalid configuration: wrong type: expected object, got null",
            ),
        ],
    );
}

#[test]
fn what_is_bound_to_lua_is_refused_and_says_so() {
    let cases = [
        (
            Kind::Route,
            set(route(), "/filter_func", json!("function() end")),
            "/filter_func",
        ),
        (
            Kind::Route,
            set(route(), "/script", json!("return function() end")),
            "/script",
        ),
        (
            Kind::Route,
            set(route(), "/script_id", json!("1")),
            "/script_id",
        ),
        (Kind::Service, json!({"script": "return 1"}), "/script"),
    ];
    for (kind, document, path) in cases {
        let problems = check_all(kind, &document);
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert_eq!(problems[0].path, path);
        let start = format!(
            "invalid configuration: property {:?} validation failed: it is bound to Lua",
            path.trim_start_matches('/')
        );
        assert!(problems[0].message.starts_with(&start), "{}", problems[0]);
    }
    let document = json!({"id": 1, "plugins": {"cors": {"_meta": {"pre_function": "return 1"}}}});
    for kind in [Kind::GlobalRule, Kind::PluginConfig, Kind::ConsumerGroup] {
        let problem = check(kind, &document).unwrap_err();
        assert_eq!(problem.path, "/plugins/cors/_meta/pre_function");
        assert!(problem.message.contains("bound to Lua"), "{problem}");
    }
}

#[test]
fn services() {
    refused(
        Kind::Service,
        &[
            (
                json!({"hosts": []}),
                "/hosts",
                "invalid configuration: property \"hosts\" validation failed: expect array to have at \
                 least 1 items, got 0",
            ),
            (
                json!({"upstream": {"nodes": {"a:0": 1}}}),
                "/upstream/nodes/a:0",
                "invalid port 0",
            ),
            (
                json!({"uri": "/"}),
                "/uri",
                "invalid configuration: additional properties forbidden, found uri",
            ),
        ],
    );
}

#[test]
fn upstreams() {
    let chash = |hash_on: &str, key: Value| {
        let document = json!({"nodes": {}, "type": "chash", "hash_on": hash_on});
        if key.is_null() {
            document
        } else {
            set(document, "/key", key)
        }
    };
    refused(
        Kind::Upstream,
        &[
            (
                json!({}),
                "",
                "invalid configuration: value should match only one schema, but matches none: expected \
                 \"nodes\" or \"service_name\" and \"discovery_type\"",
            ),
            (
                json!({"nodes": {}, "service_name": "s", "discovery_type": "dns"}),
                "",
                "invalid configuration: value should match only one schema, but matches both schemas 1 and 2",
            ),
            (
                json!({"nodes": 1}),
                "/nodes",
                "invalid configuration: property \"nodes\" validation failed: object matches none of the \
                 required: wrong type: expected object or array, got number",
            ),
            (
                json!({"nodes": {"a:80": -1}}),
                "/nodes/a:80",
                "invalid configuration: property \"nodes\" validation failed: object matches none of the \
                 required: property \"a:80\" validation failed: expected -1 to be at least 0",
            ),
            (
                json!({"nodes": {"::1": 1}}),
                "/nodes/::1",
                "IPv6 address must be enclosed with '[' and ']'",
            ),
            (
                json!({"nodes": [{"host": "::1", "weight": 1}]}),
                "/nodes/0/host",
                "IPv6 address must be enclosed with '[' and ']'",
            ),
            (
                json!({"nodes": {"a:70000": 1}}),
                "/nodes/a:70000",
                "invalid port 70000",
            ),
            (
                json!({"nodes": [{"host": "a:80", "weight": 1}]}),
                "/nodes/0/host",
                "invalid node address \"a:80\"",
            ),
            (
                json!({"nodes": [{"host": "a", "port": 0, "weight": 1}]}),
                "/nodes/0/port",
                "invalid configuration: property \"nodes\" validation failed: object matches none of the \
                 required: failed to validate item 1: property \"port\" validation failed: expected 0 to be \
                 at least 1",
            ),
            (
                json!({"nodes": [{"host": "a", "port": 80}]}),
                "/nodes/0/weight",
                "invalid configuration: property \"nodes\" validation failed: object matches none of the \
                 required: failed to validate item 1: property \"weight\" is required",
            ),
            (chash("vars", Value::Null), "/key", "missing key"),
            (chash("header", Value::Null), "/key", "missing key"),
            (
                chash("vars", json!("http_x")),
                "/key",
                "invalid configuration: property \"key\" validation failed: failed to match pattern",
            ),
            (
                chash("cookie", json!("a b")),
                "/key",
                "invalid configuration: property \"key\" validation failed: failed to match pattern",
            ),
            (
                set(upstream(), "/pass_host", json!("rewrite")),
                "/upstream_host",
                "`upstream_host` can't be empty when `pass_host` is `rewrite`",
            ),
            (
                set(upstream(), "/checks", json!({"passive": {}})),
                "/checks",
                "invalid configuration: property \"checks\" validation failed: object matches none of the \
                 required: expected \"active\" (at",
            ),
            (
                set(
                    upstream(),
                    "/checks",
                    json!({"active": {"healthy": {"successes": 0}}}),
                ),
                "/checks/active/healthy/successes",
                "invalid configuration: property \"checks\" validation failed: property \"active\" validation \
                 failed: property \"healthy\" validation failed: property \"successes\" validation failed: \
                 expected 0 to be at least 1",
            ),
            (
                set(
                    upstream(),
                    "/checks",
                    json!({"active": {}, "on_all_unhealthy": "drop"}),
                ),
                "/checks/on_all_unhealthy",
                "invalid configuration: property \"checks\" validation failed: property \
                 \"on_all_unhealthy\" validation failed: matches none of the enum values",
            ),
            (
                set(upstream(), "/tls", json!({"client_cert": CERT})),
                "/tls/client_key",
                "invalid configuration: property \"tls\" validation failed: property \"client_key\" is required",
            ),
            (
                set(
                    upstream(),
                    "/tls",
                    json!({"client_cert": CERT, "client_key": KEY, "client_cert_id": 1}),
                ),
                "/tls",
                "invalid configuration: property \"tls\" validation failed: these properties exclude each \
                 other: \"client_cert_id\", \"client_cert\"",
            ),
            (
                set(
                    upstream(),
                    "/tls",
                    json!({"client_cert": "x".repeat(200), "client_key": KEY}),
                ),
                "/tls/client_cert",
                "failed to parse cert: ",
            ),
            (
                set(upstream(), "/retries", json!(-1)),
                "/retries",
                "invalid configuration: property \"retries\" validation failed: expected -1 to be at least 0",
            ),
            (
                set(upstream(), "/retries", json!("3")),
                "/retries",
                "invalid configuration: property \"retries\" validation failed: wrong type: expected \
                 integer, got string",
            ),
            (
                set(upstream(), "/scheme", json!("ftp")),
                "/scheme",
                "invalid configuration: property \"scheme\" validation failed: matches none of the enum values",
            ),
            (
                set(upstream(), "/keepalive_pool", json!({"size": 0})),
                "/keepalive_pool/size",
                "invalid configuration: property \"keepalive_pool\" validation failed: property \"size\" \
                 validation failed: expected 0 to be at least 1",
            ),
        ],
    );
}

#[test]
fn consumers_and_credentials() {
    refused(
        Kind::Consumer,
        &[
            (
                json!({}),
                "/username",
                "invalid configuration: property \"username\" is required",
            ),
            (
                json!({"username": "a.b"}),
                "/username",
                "invalid configuration: property \"username\" validation failed: failed to match pattern \
                 \"^[a-zA-Z0-9_\\\\-]+$\" with \"a.b\"",
            ),
        ],
    );
    refused(
        Kind::Credential,
        &[(
            json!({"plugins": {"key-auth": {}, "basic-auth": {}}}),
            "/plugins",
            "invalid configuration: property \"plugins\" validation failed: expect object to have at most 1 \
             properties",
        )],
    );
}

#[test]
fn shared_plugins() {
    for kind in [Kind::ConsumerGroup, Kind::PluginConfig, Kind::GlobalRule] {
        refused(
            kind,
            &[
                (
                    json!({"plugins": {}}),
                    "/id",
                    "invalid configuration: property \"id\" is required",
                ),
                (
                    json!({"id": 1}),
                    "/plugins",
                    "invalid configuration: property \"plugins\" is required",
                ),
                (
                    json!({"id": 0, "plugins": {}}),
                    "/id",
                    "invalid configuration: property \"id\" validation failed: object matches none of the \
                     required: expected 0 to be at least 1",
                ),
            ],
        );
    }
    refused(
        Kind::GlobalRule,
        &[(
            json!({"id": 1, "plugins": {}, "name": "n"}),
            "/name",
            "invalid configuration: additional properties forbidden, found name",
        )],
    );
    refused(
        Kind::PluginMetadata,
        &[(
            json!("x"),
            "",
            "invalid configuration: wrong type: expected object, got string",
        )],
    );
}

#[test]
fn ssls() {
    let garbage = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        "AAAA".repeat(40)
    );
    refused(
        Kind::Ssl,
        &[
            (
                json!({"sni": "a", "key": KEY}),
                "/cert",
                "invalid configuration: property \"cert\" is required",
            ),
            (
                json!({"cert": CERT, "key": KEY}),
                "",
                "invalid configuration: value should match only one schema, but matches none: expected \
                 \"sni\" or \"snis\"",
            ),
            (
                set(ssl(), "/snis", json!(["a"])),
                "",
                "invalid configuration: value should match only one schema, but matches both",
            ),
            (
                set(ssl(), "/cert", json!("x".repeat(128))),
                "/cert",
                "failed to parse cert: no CERTIFICATE",
            ),
            (
                set(ssl(), "/cert", json!(garbage)),
                "/cert",
                "failed to parse cert: ",
            ),
            (
                set(ssl(), "/cert", json!(CERT.replace("END", "EMD"))),
                "/cert",
                "failed to parse cert: ",
            ),
            (
                set(ssl(), "/key", json!(CERT)),
                "/key",
                "failed to parse key: ",
            ),
            (
                set(ssl(), "/certs", json!([CERT])),
                "/certs",
                "mismatched number of certs and keys",
            ),
            (
                set(
                    set(ssl(), "/certs", json!([garbage])),
                    "/keys",
                    json!([KEY]),
                ),
                "/certs/0",
                "failed to handle cert-key pair[1]: failed to parse cert: ",
            ),
            (
                set(ssl(), "/client", json!({"ca": garbage})),
                "/client/ca",
                "failed to validate client_cert: failed to parse cert: ",
            ),
            (
                set(
                    ssl(),
                    "/client",
                    json!({"ca": CERT, "skip_mtls_uri_regex": ["("]}),
                ),
                "/client/skip_mtls_uri_regex/0",
                "invalid configuration: property \"client\" validation failed: property \
                 \"skip_mtls_uri_regex\" validation failed: failed to validate item 1: invalid regular",
            ),
            (
                set(ssl(), "/ssl_protocols", json!(["TLSv1"])),
                "/ssl_protocols/0",
                "invalid configuration: property \"ssl_protocols\" validation failed: failed to validate item \
                 1: matches none of the enum values",
            ),
        ],
    );
}

#[test]
fn a_private_key_is_not_repeated_in_a_message() {
    for key in [
        "hunter2-short".to_owned(),
        "hunter2".repeat(10_000),
        "hunter2".repeat(20),
    ] {
        for document in [
            set(ssl(), "/key", json!(key)),
            set(ssl(), "/keys", json!([key])),
        ] {
            let problem = check(Kind::Ssl, &document).unwrap_err();
            assert!(!problem.message.contains("hunter2"), "{problem}");
        }
    }
}

#[test]
fn protos() {
    let two_bytes_each = "é".repeat(600 * 1024);
    refused(
        Kind::Proto,
        &[
            (
                json!({}),
                "/content",
                "invalid configuration: property \"content\" is required",
            ),
            (
                json!({"content": ""}),
                "/content",
                "invalid configuration: property \"content\" validation failed: string too short, expected at \
                 least 1, got 0",
            ),
            (
                json!({"content": two_bytes_each}),
                "/content",
                "invalid configuration: property \"content\" validation failed: string too long, expected at \
                 most 1048576, got 1228800 bytes",
            ),
        ],
    );
}

#[test]
fn stream_routes() {
    refused(
        Kind::StreamRoute,
        &[
            (
                json!({"protocol": {}}),
                "/protocol/name",
                "invalid configuration: property \"protocol\" validation failed: property \"name\" is required",
            ),
            (
                json!({"server_addr": "::1::2"}),
                "/server_addr",
                "invalid configuration: property \"server_addr\" validation failed: ",
            ),
            (
                json!({"server_port": 65536}),
                "/server_port",
                "invalid configuration: property \"server_port\" validation failed: expected 65536 to be at \
                 most 65535",
            ),
            (
                json!({"upstream": {"nodes": {"::1": 1}}}),
                "/upstream/nodes/::1",
                "IPv6 address must be enclosed with '[' and ']'",
            ),
        ],
    );
}

#[test]
fn secrets() {
    refused(
        Kind::Secret,
        &[
            (
                json!({"id": "vault/1", "uri": "http://v", "prefix": "p"}),
                "/token",
                "invalid configuration: property \"token\" is required",
            ),
            (
                json!({"uri": "v", "prefix": "p", "token": "t"}),
                "/uri",
                "invalid configuration: property \"uri\" validation failed: failed to match pattern",
            ),
            (
                json!({"id": "aws/1", "access_key_id": "a", "token": "t", "secret_access_key": "s"}),
                "/token",
                "invalid configuration: additional properties forbidden, found token",
            ),
            (
                json!({"id": "gcp/1"}),
                "",
                "invalid configuration: value should match only one schema, but matches none: expected \
                 \"auth_config\" or \"auth_file\"",
            ),
            (
                json!({}),
                "",
                "invalid configuration: value should match only one schema, but matches none: expected \"uri\" \
                 and \"prefix\" and \"token\" or \"access_key_id\" and \"secret_access_key\" or \"auth_config\" \
                 or \"auth_file\"",
            ),
        ],
    );
}

#[test]
fn all_problems_are_reported_and_the_first_is_the_same() {
    let document = json!({
        "uri": "/", "methods": ["FOO"], "priority": "x", "surplus": 1, "filter_func": "function() end",
        "plugins": {}
    });
    let problems = check_all(Kind::Route, &document);
    let paths: Vec<_> = problems
        .iter()
        .map(|problem| problem.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["/filter_func", "/methods/0", "/priority", "/surplus"]
    );
    assert_eq!(check(Kind::Route, &document).unwrap_err(), problems[0]);
}
