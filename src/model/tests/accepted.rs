use serde_json::{Value, json};

use super::{CERT, KEY, route, set, ssl, upstream};
use crate::model::{
    Consumer, Kind, Proto, Route, Secret, Ssl, Status, StreamRoute, Upstream, check_all, decode,
    health::OnAllUnhealthy,
    route::Method,
    ssl::{SslType, TlsVersion},
    upstream::{HashOn, PassHost, Scheme},
};

#[track_caller]
fn accepted(kind: Kind, documents: &[Value]) {
    for document in documents {
        let problems = check_all(kind, document);
        assert!(problems.is_empty(), "{kind:?} {document}: {problems:#?}");
    }
}

#[test]
fn routes() {
    accepted(
        Kind::Route,
        &[
            route(),
            json!({"uris": ["/a", "/b/*"], "service_id": 1}),
            json!({"uri": "/", "plugins": {}}),
            json!({"uri": "/", "upstream_id": "u.1-2_3", "upstream": upstream()}),
            json!({
                "id": "1", "name": "n", "desc": "", "labels": {"team": "a"}, "create_time": 1,
                "update_time": 2, "uri": "/", "priority": -5, "methods": ["GET", "PURGE"],
                "hosts": ["*.a.com", "b.com", "*"], "remote_addrs": ["10.0.0.0/8", "::1", "fd00::/8"],
                "vars": [["arg_x", "==", "1"]], "plugins": {"cors": {"_meta": {"disable": true}}},
                "plugin_config_id": 1, "service_id": "s", "status": 0, "enable_websocket": true,
                "timeout": {"connect": 0.5, "send": 6, "read": 6}
            }),
            set(route(), "/methods", json!([])),
            set(route(), "/priority", json!(3.0)),
            set(route(), "/status", json!(1.0)),
            set(route(), "/host", json!("*.example.com")),
            set(route(), "/upstream/nodes", json!([])),
        ],
    );
    let route: Route = decode(&json!({
        "uri": "/", "methods": ["GET", "PURGE"], "status": 0, "priority": 2.0, "plugins": {"a": {"b": 1}}
    }))
    .unwrap();
    assert_eq!(route.methods, [Method::Get, Method::Purge]);
    assert_eq!((route.status, route.priority), (Status::Disabled, 2));
    assert_eq!(*route.plugins["a"], json!({"b": 1}));
}

#[test]
fn services() {
    accepted(
        Kind::Service,
        &[
            json!({}),
            json!({"upstream": upstream(), "hosts": ["a.com"], "enable_websocket": false}),
            json!({"id": 1, "name": "s", "upstream_id": 1, "plugins": {}}),
        ],
    );
}

#[test]
fn upstreams() {
    let active =
        json!({"type": "https", "healthy": {"interval": 2}, "unhealthy": {"timeouts": 254}});
    accepted(
        Kind::Upstream,
        &[
            upstream(),
            json!({"nodes": {}}),
            json!({"nodes": [{"host": "a.com", "weight": 0}], "type": "my_balancer"}),
            json!({"nodes": [
                {"host": "[::1]", "port": 80, "weight": 1, "priority": -1, "metadata": {"zone": "a"}}
            ]}),
            json!({"service_name": "s", "discovery_type": "dns",
                "discovery_args": {"namespace_id": "n", "group_name": "g"}}),
            set(upstream(), "/type", json!("chash")),
            set(upstream(), "/checks", json!({"active": active, "passive": {}})),
            set(upstream(), "/checks", json!({"active": {}, "on_all_unhealthy": "fail"})),
            set(upstream(), "/checks", json!({"active": {},
                "passive": {"unhealthy": {"tcp_failures": 0, "http_statuses": [500]}}})),
            set(upstream(), "/tls", json!({"client_cert": CERT, "client_key": KEY})),
            set(upstream(), "/tls", json!({"client_cert": "$secret://vault/1/a/cert",
                "client_key": "$ENV://KEY"})),
            set(upstream(), "/tls", json!({"client_cert_id": 1, "verify": false})),
            set(upstream(), "/keepalive_pool", json!({"size": 1, "idle_timeout": 0})),
            set(upstream(), "/retry_timeout", json!(0)),
            json!({"nodes": {}, "pass_host": "rewrite", "upstream_host": "a.com:80"}),
        ]
        .map(|document| match document["type"] == "chash" {
            true => set(document, "/key", json!("arg_user")),
            false => document,
        }),
    );
    for (hash_on, key) in [
        ("vars", "remote_addr"),
        ("vars", "arg_a-b_c"),
        ("header", "X-User"),
        ("cookie", "session_id"),
        ("vars_combinations", "$remote_addr-$uri"),
    ] {
        accepted(
            Kind::Upstream,
            &[json!({"nodes": {}, "type": "chash", "hash_on": hash_on, "key": key})],
        );
    }
    accepted(
        Kind::Upstream,
        &[json!({"nodes": {}, "type": "chash", "hash_on": "consumer"})],
    );
}

#[test]
fn an_upstream_has_its_defaults() {
    let upstream: Upstream = decode(&upstream()).unwrap();
    assert_eq!(upstream.r#type, "roundrobin");
    assert_eq!(
        (upstream.hash_on, upstream.scheme, upstream.pass_host),
        (HashOn::Vars, Scheme::Http, PassHost::Pass)
    );
    assert_eq!(upstream.retries, None);
    let upstream: Upstream = decode(&json!({
        "nodes": {}, "keepalive_pool": {}, "tls": {}, "checks": {"active": {}, "on_all_unhealthy": "fail"}
    }))
    .unwrap();
    let pool = upstream.keepalive_pool.unwrap();
    assert_eq!(
        (pool.size, pool.idle_timeout, pool.requests),
        (320, 60.0, 1000)
    );
    assert_eq!(upstream.tls.unwrap().verify, None);
    assert_eq!(
        upstream.checks.unwrap().on_all_unhealthy,
        OnAllUnhealthy::Fail
    );
}

#[test]
fn consumers_and_credentials() {
    accepted(
        Kind::Consumer,
        &[
            json!({"username": "jack_1-x"}),
            json!({"username": "jack", "group_id": "g", "plugins": {"key-auth": {"key": "k"}},
                "labels": {"custom_id": "7"}, "desc": "d"}),
        ],
    );
    accepted(
        Kind::Credential,
        &[
            json!({}),
            json!({"id": "a", "name": "n", "plugins": {"key-auth": {"key": "k"}}}),
            json!({"id": "jack/credentials/a"}),
        ],
    );
    let consumer: Consumer = decode(&json!({"username": "jack", "group_id": 7})).unwrap();
    assert_eq!(consumer.username.as_str(), "jack");
    assert_eq!(consumer.group_id.unwrap().as_str(), "7");
}

#[test]
fn shared_plugins() {
    for kind in [Kind::ConsumerGroup, Kind::PluginConfig] {
        accepted(
            kind,
            &[json!({"id": "1", "plugins": {}, "name": "n", "desc": "d", "labels": {}})],
        );
    }
    accepted(
        Kind::GlobalRule,
        &[json!({"id": 1, "plugins": {"prometheus": {}}})],
    );
    accepted(
        Kind::PluginMetadata,
        &[
            json!({}),
            json!({"id": "http-logger", "log_format": {"host": "$host"}, "plugins": 1}),
        ],
    );
}

#[test]
fn ssls() {
    accepted(
        Kind::Ssl,
        &[
            ssl(),
            json!({"cert": CERT, "key": KEY, "snis": ["*.a.com", "a.com"], "type": "server"}),
            json!({"cert": CERT, "key": KEY, "type": "client"}),
            json!({"cert": "$secret://vault/1/cert", "key": "$env://KEY", "sni": "*"}),
            set(
                ssl(),
                "/client",
                json!({"ca": CERT, "depth": 0, "skip_mtls_uri_regex": ["/a.*"]}),
            ),
            json!({"cert": CERT, "key": KEY, "sni": "a.com", "certs": [CERT], "keys": [KEY],
                "ssl_protocols": ["TLSv1.2", "TLSv1.3"], "status": 0}),
        ],
    );
    let document = json!({"cert": CERT, "key": KEY, "type": "client", "certs": ["c"], "keys": ["k"],
        "ssl_protocols": ["TLSv1.3"], "client": {"ca": CERT}});
    let ssl: Ssl = decode(&document).unwrap();
    assert_eq!((ssl.r#type, ssl.snis().len()), (SslType::Client, 0));
    assert_eq!(ssl.pairs().collect::<Vec<_>>(), [(CERT, KEY), ("c", "k")]);
    assert_eq!(ssl.ssl_protocols, [TlsVersion::V1_3]);
    assert_eq!(ssl.client.unwrap().depth, 1);
}

#[test]
fn protos() {
    accepted(Kind::Proto, &[json!({"content": "syntax = \"proto3\";"})]);
    let longest = "a".repeat(1024 * 1024);
    accepted(Kind::Proto, &[json!({"content": longest})]);
    let proto: Proto = decode(&json!({"content": "x"})).unwrap();
    assert_eq!(proto.content, "x");
}

#[test]
fn stream_routes() {
    accepted(
        Kind::StreamRoute,
        &[
            json!({}),
            json!({"remote_addr": "10.0.0.0/8", "server_addr": "127.0.0.1", "server_port": 9100,
                "sni": "*.a.com", "upstream": upstream(), "service_id": 1, "plugins": {}}),
            json!({"upstream_id": 1, "protocol": {"name": "redis", "superior_id": 2,
                "conf": {"faults": []}, "logger": [{"name": "syslog", "filter": [], "conf": {}}]}}),
        ],
    );
    let route: StreamRoute = decode(&json!({"server_port": 9100.0})).unwrap();
    assert_eq!(route.server_port, Some(9100));
}

#[test]
fn secrets() {
    let account = json!({"client_email": "a@b", "private_key": "k", "project_id": "p"});
    accepted(
        Kind::Secret,
        &[
            json!({"id": "vault/1", "uri": "http://127.0.0.1:8200", "prefix": "kv/a", "token": "t"}),
            json!({"uri": "$env://VAULT", "prefix": "kv", "token": "$env://T", "namespace": "n"}),
            json!({"id": "aws/1", "access_key_id": "a", "secret_access_key": "s"}),
            json!({"id": "1", "auth_file": "/etc/gcp.json", "ssl_verify": false}),
            json!({"id": "gcp/1", "auth_config": account}),
        ],
    );
    let Secret::Aws(aws) =
        decode(&json!({"access_key_id": "a", "secret_access_key": "s"})).unwrap()
    else {
        panic!("the fields are those of AWS");
    };
    assert_eq!(aws.region, "us-east-1");
    let Secret::Gcp(gcp) = decode(&json!({"auth_file": "f"})).unwrap() else {
        panic!("the field is one of Google Cloud");
    };
    assert!(gcp.ssl_verify);
}
