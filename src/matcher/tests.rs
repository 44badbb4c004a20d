//! Each rule of the order by itself, then all of them against the plain reference.
#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, net::IpAddr};

use crossway_sdk::expr::{Expression, IpSet};
use http::Method;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

type Table = HashMap<String, String>;

/// A route whose value is its key.
fn route(mode: Mode, key: &str, hosts: &[&str], paths: &[&str]) -> Spec<String> {
    Spec {
        key: key.into(),
        hosts: hosts
            .iter()
            .map(|host| HostPattern::parse(host).unwrap())
            .collect(),
        paths: paths
            .iter()
            .map(|path| PathPattern::new(*path, mode))
            .collect(),
        methods: MethodSet::ANY,
        remote: None,
        vars: None,
        priority: 0,
        value: key.to_owned(),
    }
}

/// `key hosts paths`, hosts and paths separated by commas, `-` for no host.
fn routes(mode: Mode, lines: &[&str]) -> Vec<Spec<String>> {
    let spec = |line: &&str| {
        let mut words = line.split(' ');
        let mut word = || words.next().unwrap();
        let (key, hosts, paths) = (word(), word(), word());
        let hosts: Vec<_> = hosts.split(',').filter(|host| *host != "-").collect();
        let mut spec = route(mode, key, &hosts, &paths.split(',').collect::<Vec<_>>());
        spec.priority = words.next().map_or(0, |priority| priority.parse().unwrap());
        spec
    };
    lines.iter().map(spec).collect()
}

fn query<'q>(host: &'q str, path: &'q str, vars: &'q Table) -> Query<'q> {
    Query {
        host,
        authority: host,
        path,
        method: &Method::GET,
        remote: IpAddr::from([127, 0, 0, 1]),
        vars,
        body_read: true,
    }
}

fn found<'m>(matcher: &'m Matcher<String>, host: &str, path: &str) -> Option<&'m str> {
    matcher
        .find(&query(host, path, &Table::new()))
        .found()
        .map(|found| found.value.as_str())
}

/// Asserts `host path -> key` for a matcher of the default mode.
fn expect(lines: &[&str], cases: &[(&str, &str, Option<&str>)]) {
    let matcher = Matcher::new(Mode::default(), routes(Mode::default(), lines));
    for (host, path, key) in cases {
        assert_eq!(found(&matcher, host, path), *key, "{host}{path}");
    }
}

#[test]
fn an_exact_host_comes_before_a_wildcard_and_before_no_host() {
    expect(
        &[
            "exact a.foo.com /*",
            "wild *.foo.com /x/*",
            "wider *foo.com /x/y",
            "all * /x/y/z",
            "any - /x/*",
        ],
        &[
            ("a.foo.com", "/x/y", Some("exact")),
            ("b.foo.com", "/x/y", Some("wild")),
            ("a.b.foo.com", "/x/", Some("wild")),
            ("foo.com", "/x/y", Some("wider")),
            ("foo.com", "/x/z", Some("any")),
            ("b.foo.com", "/y", None),
            ("bar.com", "/x/y/z", Some("all")),
            ("bar.com", "/x/y", Some("any")),
        ],
    );
}

#[test]
fn an_exact_hosts_catch_all_beats_a_hostless_exact_path() {
    expect(
        &["host foo.com /*", "hostless - /v2/exact"],
        &[
            ("foo.com", "/v2/exact", Some("host")),
            ("bar.com", "/v2/exact", Some("hostless")),
        ],
    );
}

#[test]
fn a_host_without_the_path_falls_back_to_broader_hosts() {
    expect(
        &[
            "exact a.foo.com /only",
            "wild *.foo.com /w",
            "all * /x",
            "any - /*",
        ],
        &[
            ("a.foo.com", "/only", Some("exact")),
            ("a.foo.com", "/w", Some("wild")),
            ("a.foo.com", "/x", Some("all")),
            ("a.foo.com", "/else", Some("any")),
        ],
    );
}

#[test]
fn exact_beats_prefix_and_longer_prefixes_beat_shorter_whatever_the_priority() {
    expect(
        &["exact - /foo/bar 0", "long - /foo/* 1", "short - /* 100"],
        &[
            ("h", "/foo/bar", Some("exact")),
            ("h", "/foo/baz", Some("long")),
            ("h", "/foo", Some("short")),
        ],
    );
}

#[test]
fn within_one_place_priority_then_the_longer_pattern_then_the_key() {
    expect(
        &["a - /foo/*", "b - /foo/* 1"],
        &[("h", "/foo/x", Some("b"))],
    );
    expect(
        &["a - /foo/*", "b - /foo/*/x"],
        &[("h", "/foo/1/x", Some("b")), ("h", "/foo/1", Some("a"))],
    );
    expect(&["b - /foo/*", "a - /foo/*"], &[("h", "/foo/x", Some("a"))]);
    expect(&["a - /foo 1", "b - /foo 2"], &[("h", "/foo", Some("b"))]);
}

#[test]
fn priority_does_not_reach_across_hosts() {
    expect(
        &["exact foo.com /x 0", "any - /x 100"],
        &[
            ("foo.com", "/x", Some("exact")),
            ("bar.com", "/x", Some("any")),
        ],
    );
}

#[test]
fn case_matters_in_paths_and_not_in_host_patterns() {
    expect(
        &["a FOO.com /Foo"],
        &[("foo.com", "/Foo", Some("a")), ("foo.com", "/foo", None)],
    );
}

#[test]
fn a_colon_is_literal_unless_the_mode_has_parameters() {
    expect(
        &["a - /u/:id"],
        &[("h", "/u/:id", Some("a")), ("h", "/u/7", None)],
    );
    for mode in [Mode::PathWithParameters, Mode::HostThenPathWithParameters] {
        let matcher = Matcher::new(
            mode,
            routes(
                mode,
                &[
                    "a - /u/:id",
                    "b h /u/:id/*rest",
                    "c - /u/7",
                    "d - /u/:x/p 1",
                ],
            ),
        );
        assert_eq!(found(&matcher, "h", "/u/8"), Some("a"));
        assert_eq!(found(&matcher, "h", "/u/7"), Some("c"));
        let table = Table::new();
        let query = query("h", "/u/8/p/q", &table);
        let found = matcher.find(&query).found().unwrap();
        assert_eq!(found.value, "b");
        assert_eq!(
            found.params(query.path).as_slice(),
            [("id", "8"), ("rest", "p/q")]
        );
        assert_eq!(found.host.map(HostPattern::as_str), Some("h"));
        assert_eq!(found.path.as_str(), "/u/:id/*rest");
    }
}

#[test]
fn with_paths_first_hosts_are_a_condition() {
    let mode = Mode::PathThenHost;
    let lines = [
        "host foo.com /*",
        "hostless - /v2/exact",
        "port foo.com:8080 /p",
        "loop [::1] /six",
    ];
    let matcher = Matcher::new(mode, routes(mode, &lines));
    assert_eq!(found(&matcher, "foo.com", "/v2/exact"), Some("hostless"));
    assert_eq!(found(&matcher, "foo.com", "/v2/other"), Some("host"));
    assert_eq!(found(&matcher, "bar.com", "/v2/other"), None);
    assert_eq!(found(&matcher, "foo.com", "/p"), Some("host"));
    let table = Table::new();
    let with_port = Query {
        authority: "Foo.com:8080",
        ..query("foo.com", "/p", &table)
    };
    assert_eq!(matcher.find(&with_port).found().unwrap().value, "port");
    let six = Query {
        authority: "[::1]:80",
        ..query("[::1]", "/six", &table)
    };
    assert_eq!(matcher.find(&six).found().unwrap().value, "loop");
}

#[test]
fn a_route_that_does_not_fit_makes_way_for_the_next() {
    let mode = Mode::default();
    let mut specs = routes(
        mode,
        &[
            "method h /x 4",
            "remote h /x 3",
            "vars h /x 2",
            "wild h /* 9",
            "hostless - /x",
        ],
    );
    specs[0].methods = MethodSet::new(["POST"]).unwrap();
    specs[1].remote = Some(IpSet::parse(["10.0.0.0/8"]).unwrap());
    specs[2].vars = Some(Expression::parse(&json!([["arg_a", "==", "1"]])).unwrap());
    specs[3].methods = MethodSet::new(["GET"]).unwrap();
    let matcher = Matcher::new(mode, specs);
    let none = Table::new();
    let one = Table::from([("arg_a".to_owned(), "1".to_owned())]);
    let value = |query: Query<'_>| {
        matcher
            .find(&query)
            .found()
            .map(|found| found.value.clone())
            .unwrap()
    };
    let plain = query("h", "/x", &none);
    assert_eq!(
        value(Query {
            method: &Method::POST,
            ..plain
        }),
        "method"
    );
    assert_eq!(
        value(Query {
            remote: "10.1.1.1".parse().unwrap(),
            ..plain
        }),
        "remote"
    );
    assert_eq!(
        value(Query {
            remote: "::ffff:10.1.1.1".parse().unwrap(),
            ..plain
        }),
        "remote"
    );
    assert_eq!(value(query("h", "/x", &one)), "vars");
    assert_eq!(value(plain), "wild");
    assert_eq!(
        value(Query {
            method: &Method::PUT,
            ..plain
        }),
        "hostless"
    );
    let brew = Method::from_bytes(b"BREW").unwrap();
    assert_eq!(
        value(Query {
            method: &brew,
            ..plain
        }),
        "hostless"
    );
}

#[test]
fn the_body_is_asked_for_when_a_candidate_hangs_on_it() {
    let mode = Mode::default();
    let mut specs = routes(mode, &["first h /x 2", "second h /x 1", "third - /x"]);
    specs[0].methods = MethodSet::new(["POST"]).unwrap();
    specs[1].vars = Some(Expression::parse(&json!([["post_arg_a", "==", "1"]])).unwrap());
    let matcher = Matcher::new(mode, specs);
    let table = Table::from([("post_arg_a".to_owned(), "1".to_owned())]);
    let unread = Query {
        body_read: false,
        ..query("h", "/x", &table)
    };
    assert!(matches!(matcher.find(&unread), Outcome::NeedsBody));
    assert_eq!(
        matcher
            .find(&Query {
                body_read: true,
                ..unread
            })
            .found()
            .unwrap()
            .value,
        "second"
    );
    // A route above that fits settles it without the body.
    let post = Query {
        method: &Method::POST,
        ..unread
    };
    assert_eq!(matcher.find(&post).found().unwrap().value, "first");
    // And so does a host on which no candidate looks into it.
    assert_eq!(
        matcher
            .find(&Query {
                host: "other",
                ..unread
            })
            .found()
            .unwrap()
            .value,
        "third"
    );
    let fates: Vec<_> = matcher
        .explain(&unread, 10)
        .into_iter()
        .map(|one| one.fate)
        .collect();
    assert!(
        matches!(&fates[..], [Fate::Lost { .. }, Fate::Open, Fate::Shadowed]),
        "{fates:?}"
    );
}

#[test]
fn every_candidate_is_explained_in_the_order_tried() {
    let mode = Mode::default();
    let mut specs = routes(
        mode,
        &[
            "m h /x 9",
            "r h /x 8",
            "v h /x 7",
            "won h /x",
            "glob h /x*y",
            "after h /*",
            "no - /z",
        ],
    );
    specs[0].methods = MethodSet::new(["POST"]).unwrap();
    specs[1].remote = Some(IpSet::parse(["10.0.0.0/8"]).unwrap());
    specs[2].vars = Some(Expression::parse(&json!([["arg_a", "==", "1"]])).unwrap());
    let matcher = Matcher::new(mode, specs);
    let table = Table::new();
    let told: Vec<_> = matcher
        .explain(&query("h", "/x", &table), 10)
        .into_iter()
        .map(|one| match one.fate {
            Fate::Lost { detail, .. } => format!("{}: {detail}", one.key),
            fate => format!("{}: {fate:?}", one.key),
        })
        .collect();
    assert_eq!(
        told,
        [
            "m: it does not take the method GET",
            "r: it does not serve the client 127.0.0.1",
            "v: `arg_a == \"1\"` does not hold: it is absent",
            "won: Won",
            "glob: the path does not fit /x*y",
            "after: Shadowed",
        ]
    );
    // The winner is listed however many lost before it.
    let keys: Vec<_> = matcher
        .explain(&query("h", "/x", &table), 1)
        .iter()
        .map(|one| one.key.to_string())
        .collect();
    assert_eq!(keys, ["m", "won"]);
}

#[test]
fn an_edit_leaves_the_old_matcher_as_it_was() {
    let mode = Mode::default();
    let old = Matcher::new(mode, routes(mode, &["a h,*.h /x,/y/*", "b - /x"]));
    let new = old.edit(["a"], routes(mode, &["b - /z", "c h /x"]));
    assert_eq!(found(&old, "h", "/x"), Some("a"));
    assert_eq!(found(&old, "s.h", "/y/1"), Some("a"));
    assert_eq!(found(&old, "other", "/x"), Some("b"));
    assert_eq!(found(&new, "h", "/x"), Some("c"));
    assert_eq!(found(&new, "s.h", "/y/1"), None);
    assert_eq!(found(&new, "other", "/x"), None);
    assert_eq!(found(&new, "other", "/z"), Some("b"));
    assert_eq!((old.len(), new.len()), (2, 2));
    assert_eq!(new.get("c").map(String::as_str), Some("c"));
    let empty = new.edit(["b", "c", "unknown"], []);
    assert!(empty.is_empty());
    assert!(empty.hosts.is_empty() && empty.any_host.is_empty());
}

#[test]
fn of_one_key_the_last_route_counts() {
    let mode = Mode::default();
    let matcher = Matcher::new(mode, routes(mode, &["a - /x 5", "a - /y 1"]));
    assert_eq!(found(&matcher, "h", "/x"), None);
    assert_eq!(found(&matcher, "h", "/y"), Some("a"));
    assert_eq!(matcher.len(), 1);
}

#[test]
fn a_route_lists_a_path_once() {
    let mode = Mode::default();
    let matcher = Matcher::new(mode, routes(mode, &["a h,H /x,/x"]));
    let table = Table::new();
    assert_eq!(matcher.explain(&query("h", "/x", &table), 10).len(), 1);
    assert!(matcher.edit(["a"], []).hosts.is_empty());
}

/// Few distinct words, so that routes get in each other's way.
fn some_spec(mode: Mode) -> impl Strategy<Value = Spec<String>> {
    let host = prop::sample::select(vec![
        "a", "b.a", "c.b.a", "*", "*.a", "*a", "*.b.a", "a:1", "[::1]",
    ]);
    let segment = prop::sample::select(vec![
        "", "a", "b", "ab", "a*", "*", "*x", ":p", ":q", "a*b", "\u{e9}",
    ]);
    let path = prop::collection::vec(segment, 1..4)
        .prop_map(|segments| format!("/{}", segments.join("/")));
    let path = prop_oneof![20 => path, 1 => Just("*".to_owned())];
    let methods = prop_oneof![
        Just(&[][..]),
        Just(&["GET"][..]),
        Just(&["POST", "GET"][..])
    ];
    let remote =
        prop_oneof![3 => Just(None), 1 => Just(Some("127.0.0.0/8")), 1 => Just(Some("10.0.0.0/8"))];
    let vars = prop_oneof![
        3 => Just(Json::Null),
        1 => Just(json!([["arg_v", "==", "1"]])),
        1 => Just(json!([["arg_v", "!", "in", ["1", "2"]]])),
    ];
    (
        prop::sample::select(vec!["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"]),
        prop::collection::vec(host, 0..3),
        prop::collection::vec(path, 0..3),
        methods,
        remote,
        vars,
        -1i64..2,
    )
        .prop_map(
            move |(key, hosts, paths, methods, remote, vars, priority)| {
                let paths: Vec<_> = paths.iter().map(String::as_str).collect();
                Spec {
                    methods: MethodSet::new(methods).unwrap(),
                    remote: remote.map(|network| IpSet::parse([network]).unwrap()),
                    vars: (!vars.is_null()).then(|| Expression::parse(&vars).unwrap()),
                    priority,
                    ..route(mode, key, &hosts, &paths)
                }
            },
        )
}

fn copy(spec: &Spec<String>) -> Spec<String> {
    Spec {
        key: spec.key.clone(),
        hosts: spec.hosts.clone(),
        paths: spec.paths.clone(),
        methods: spec.methods,
        remote: spec.remote.clone(),
        vars: spec.vars.clone(),
        priority: spec.priority,
        value: spec.value.clone(),
    }
}

/// Routes with distinct keys, in a mode.
fn some_routes() -> impl Strategy<Value = (Mode, Vec<Spec<String>>)> {
    prop::sample::select(vec![
        Mode::HostThenPath,
        Mode::PathThenHost,
        Mode::PathWithParameters,
        Mode::HostThenPathWithParameters,
    ])
    .prop_flat_map(|mode| {
        prop::collection::vec(some_spec(mode), 0..9).prop_map(move |specs| {
            let by_key: HashMap<_, _> = specs
                .into_iter()
                .map(|spec| (spec.key.clone(), spec))
                .collect();
            (mode, by_key.into_values().collect())
        })
    })
}

#[derive(Clone, Debug)]
struct Asked {
    host: &'static str,
    path: String,
    method: Method,
    table: Table,
}

impl Asked {
    fn query(&self) -> Query<'_> {
        Query {
            authority: if self.host == "a" { "A:1" } else { self.host },
            method: &self.method,
            ..query(self.host, &self.path, &self.table)
        }
    }
}

fn some_queries() -> impl Strategy<Value = Vec<Asked>> {
    let segment = prop::sample::select(vec!["", "a", "b", "ab", "aab", ":p", "x", "\u{e9}"]);
    let path = prop::collection::vec(segment, 0..5)
        .prop_map(|segments| format!("/{}", segments.join("/")));
    let one = (
        prop::sample::select(vec!["", "a", "b.a", "c.b.a", "d.c.b.a", "ba", "z", "[::1]"]),
        prop_oneof![20 => path, 1 => Just(String::new())],
        prop::sample::select(vec![Method::GET, Method::POST, Method::PUT]),
        prop::sample::select(vec![None, Some("1"), Some("3")]),
    )
        .prop_map(|(host, path, method, value)| Asked {
            host,
            path,
            method,
            table: value
                .map(|value| ("arg_v".to_owned(), value.to_owned()))
                .into_iter()
                .collect(),
        });
    prop::collection::vec(one, 12)
}

fn answer(
    matcher: &Matcher<String>,
    query: &Query<'_>,
) -> Option<(String, String, Option<String>)> {
    matcher.find(query).found().map(|found| {
        let host = found.host.map(|host| host.as_str().to_owned());
        (found.key.to_string(), found.path.as_str().to_owned(), host)
    })
}

impl std::fmt::Debug for Spec<String> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            key,
            hosts,
            paths,
            methods,
            remote,
            vars,
            priority,
            value: _,
        } = self;
        write!(
            f,
            "{key} {hosts:?} {paths:?} {methods:?} {remote:?} {vars:?} {priority}"
        )
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn agrees_with_the_reference((mode, specs) in some_routes(), asked in some_queries()) {
        let matcher = Matcher::new(mode, specs.iter().map(copy));
        for asked in &asked {
            let query = asked.query();
            let expected = reference::find(mode, &specs, &query).map(|(key, path, host)| {
                (key.to_owned(), path.to_owned(), host.map(str::to_owned))
            });
            prop_assert_eq!(answer(&matcher, &query), expected, "{:?} {:?}", mode, asked);
            if let Some(found) = matcher.find(&query).found() {
                let params: Vec<_> = found
                    .params(query.path)
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect();
                let expected = reference::params(found.path.as_str(), mode.has_parameters(), query.path);
                prop_assert_eq!(params, expected, "{} {:?}", found.path, asked);
            }
        }
    }

    #[test]
    fn the_order_of_insertion_does_not_matter(
        (mode, specs) in some_routes(), asked in some_queries(), turn in any::<prop::sample::Index>(),
    ) {
        let mut turned: Vec<_> = specs.iter().map(copy).collect();
        if !turned.is_empty() {
            let by = turn.index(turned.len());
            turned.rotate_left(by);
            turned.reverse();
        }
        let one = Matcher::new(mode, specs);
        // One by one, so that the sorting of `new` does not hide the order.
        let other = turned
            .into_iter()
            .fold(Matcher::new(mode, []), |matcher, spec| matcher.edit([""; 0], [spec]));
        for asked in &asked {
            prop_assert_eq!(answer(&one, &asked.query()), answer(&other, &asked.query()));
        }
    }

    #[test]
    fn an_edited_matcher_is_as_one_built_anew(
        (mode, specs) in some_routes(), (_, more) in some_routes(), asked in some_queries(),
    ) {
        let mut kept: HashMap<RouteKey, Spec<String>> =
            specs.iter().map(|spec| (spec.key.clone(), copy(spec))).collect();
        let matcher = Matcher::new(mode, specs.iter().map(copy));
        // Some of the second lot replace, some add; of the first lot every other key goes.
        let removed: Vec<_> = specs.iter().step_by(2).map(|spec| spec.key.clone()).collect();
        let added: Vec<_> = more
            .iter()
            .map(|spec| {
                let paths = spec.paths.iter().map(|path| PathPattern::new(path.as_str(), mode)).collect();
                Spec { paths, ..copy(spec) }
            })
            .collect();
        removed.iter().for_each(|key| drop(kept.remove(key)));
        kept.extend(added.iter().map(|spec| (spec.key.clone(), copy(spec))));
        let edited = matcher.edit(&removed, added);
        let anew = Matcher::new(mode, kept.into_values());
        prop_assert_eq!(edited.len(), anew.len());
        let untouched = Matcher::new(mode, specs);
        for asked in &asked {
            prop_assert_eq!(answer(&edited, &asked.query()), answer(&anew, &asked.query()));
            prop_assert_eq!(answer(&matcher, &asked.query()), answer(&untouched, &asked.query()));
        }
        let keys: Vec<_> = edited.routes.iter().map(|entry| entry.0.key.clone()).collect();
        let emptied = edited.edit(&keys, []);
        prop_assert!(emptied.hosts.is_empty() && emptied.any_host.is_empty());
    }

    #[test]
    fn explain_names_the_winner_of_find((mode, specs) in some_routes(), asked in some_queries()) {
        let matcher = Matcher::new(mode, specs);
        for asked in &asked {
            let explained = matcher.explain(&asked.query(), 100);
            let won = explained.iter().find(|one| one.fate == Fate::Won).map(|one| {
                (one.key.to_string(), one.path.to_string(), one.host.as_ref().map(ToString::to_string))
            });
            prop_assert_eq!(won, answer(&matcher, &asked.query()));
        }
    }
}
