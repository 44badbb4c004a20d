//! Arbitrary routes and an arbitrary request: the matcher must answer as the plain reference does, also after an edit,
//! and a request target must normalise without a panic to a path that stays as it is.
#![no_main]

use std::{collections::HashMap, net::IpAddr};

use arbitrary::Arbitrary;
use crossway::matcher::{
    HostPattern, Matcher, MethodSet, Mode, PathPattern, Query, Spec,
    target::{self, Options},
};
use crossway_sdk::expr::{Expression, IpSet};
use http::Method;
use libfuzzer_sys::fuzz_target;
use serde_json::json;

// Not all of it is used here.
#[allow(dead_code)]
#[path = "../../src/matcher/reference.rs"]
mod reference;

const METHODS: [&str; 4] = ["GET", "POST", "PURGE", "BREW"];

#[derive(Arbitrary, Debug)]
struct Route {
    hosts: Vec<String>,
    paths: Vec<String>,
    /// Which of the methods; none means all.
    methods: [bool; 3],
    network: Option<(u32, u8)>,
    /// The value that `arg_v` must, or must not, have.
    condition: Option<(bool, String)>,
    priority: i8,
}

#[derive(Arbitrary, Debug)]
struct Input {
    mode: u8,
    routes: Vec<Route>,
    /// Which routes are edited out again.
    removed: Vec<u8>,
    host: String,
    target: Vec<u8>,
    options: [bool; 3],
    method: u8,
    remote: u32,
    value: Option<String>,
}

fn spec(key: usize, route: &Route, mode: Mode) -> Option<Spec<usize>> {
    let hosts: Result<Vec<_>, _> = route
        .hosts
        .iter()
        .map(|host| HostPattern::parse(host))
        .collect();
    let paths = route
        .paths
        .iter()
        .map(|path| PathPattern::new(path.as_str(), mode))
        .collect();
    let listed = METHODS
        .iter()
        .zip(route.methods)
        .filter(|(_, listed)| *listed)
        .map(|(name, _)| *name);
    let remote = match route.network {
        Some((bits, prefix)) => Some(
            IpSet::parse([format!(
                "{}/{}",
                std::net::Ipv4Addr::from(bits),
                prefix % 33
            )])
            .ok()?,
        ),
        None => None,
    };
    let vars = match &route.condition {
        Some((negated, value)) => {
            let operator = if *negated { "~=" } else { "==" };
            Some(Expression::parse(&json!([["arg_v", operator, value]])).ok()?)
        }
        None => None,
    };
    Some(Spec {
        key: format!("{key}").into(),
        hosts: hosts.ok()?,
        paths,
        methods: MethodSet::new(listed).ok()?,
        remote,
        vars,
        priority: i64::from(route.priority),
        value: key,
    })
}

fuzz_target!(|input: Input| {
    let [keep_encoded_slash, delete_tail_slash, like_servlet] = input.options;
    let options = Options {
        keep_encoded_slash,
        delete_tail_slash,
        like_servlet,
        ..Options::default()
    };
    let Ok(normal) = target::normalise(&input.target, options) else {
        return;
    };
    for other in target::readings(&input.target, options, normal.doubts).unwrap_or_default() {
        assert!(other.starts_with('/') || delete_tail_slash);
        assert!(!other.split('/').any(|segment| matches!(segment, "." | "..")));
    }
    if !delete_tail_slash {
        let encoded = target::encode(&normal.path, options).into_owned();
        let again =
            target::normalise(encoded.as_bytes(), options).expect("a normal path is no bad target");
        assert_eq!(again.path, normal.path);
    }

    let mode = [
        Mode::HostThenPath,
        Mode::PathThenHost,
        Mode::PathWithParameters,
        Mode::HostThenPathWithParameters,
    ][usize::from(input.mode % 4)];
    let specs = || {
        input
            .routes
            .iter()
            .enumerate()
            .filter_map(|(key, route)| spec(key, route, mode))
    };
    let host = input.host.to_ascii_lowercase();
    let table: HashMap<String, String> = input
        .value
        .iter()
        .map(|value| ("arg_v".to_owned(), value.clone()))
        .collect();
    let method =
        Method::from_bytes(METHODS[usize::from(input.method % 4)].as_bytes()).expect("a method");
    let query = Query {
        host: &host,
        authority: &input.host,
        path: &normal.path,
        method: &method,
        remote: IpAddr::from(input.remote.to_be_bytes()),
        vars: &table,
        body_read: true,
    };

    let compare = |matcher: &Matcher<usize>, specs: &[Spec<usize>]| {
        let found = matcher.find(&query).found();
        let answer = found.map(|found| {
            (
                &**found.key,
                found.path.as_str(),
                found.host.map(HostPattern::as_str),
            )
        });
        assert_eq!(answer, reference::find(mode, specs, &query));
    };
    let all: Vec<_> = specs().collect();
    let matcher = Matcher::new(mode, specs());
    compare(&matcher, &all);
    let removed: Vec<_> = input.removed.iter().map(ToString::to_string).collect();
    let kept: Vec<_> = specs()
        .filter(|spec| !removed.iter().any(|key| **key == *spec.key))
        .collect();
    compare(&matcher.edit(&removed, []), &kept);
});
