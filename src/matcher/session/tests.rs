#![allow(clippy::unwrap_used)]
use super::{SessionMatcher, SessionQuery, SessionSpec};
use crate::matcher::HostPattern;
use proptest::prelude::*;

fn spec(key: &str) -> SessionSpec {
    SessionSpec {
        key: key.into(),
        remote: None,
        server: None,
        port: None,
        sni: None,
    }
}

fn named(key: &str, sni: &str) -> SessionSpec {
    SessionSpec {
        sni: Some(HostPattern::parse(sni).unwrap()),
        ..spec(key)
    }
}

fn from(key: &str, network: &str) -> SessionSpec {
    SessionSpec {
        remote: Some(network.parse().unwrap()),
        ..spec(key)
    }
}

fn find(routes: &[SessionSpec], client: &str, server: &str, sni: Option<&str>) -> Option<String> {
    let routes = routes.iter().map(|s| (s.clone(), s.key.to_string()));
    let query = SessionQuery {
        client: client.parse().unwrap(),
        server: server.parse().unwrap(),
        sni,
    };
    SessionMatcher::new(routes).find(&query).cloned()
}

#[test]
fn names_go_from_the_exact_one_to_none() {
    let routes = [
        spec("a"),
        named("b", "*.test.com"),
        named("c", "A.test.com"),
        named("d", "*.b.test.com"),
    ];
    let of = |sni| find(&routes, "127.0.0.1", "127.0.0.1:9100", sni).unwrap();
    assert_eq!(of(Some("a.test.com")), "c");
    assert_eq!(of(Some("x.test.com")), "b");
    assert_eq!(of(Some("x.b.test.com")), "d", "the longest wildcard");
    assert_eq!(of(Some("x.y.test.com")), "b", "any depth");
    assert_eq!(of(Some("test.com")), "a");
    assert_eq!(of(None), "a");
}

#[test]
fn a_route_whose_addresses_do_not_fit_makes_way() {
    let mut exact = named("1", "a.test.com");
    exact.remote = Some("10.0.0.0/8".parse().unwrap());
    let routes = [exact, named("2", "*.test.com"), spec("3")];
    let of = |client| find(&routes, client, "127.0.0.1:9100", Some("a.test.com")).unwrap();
    assert_eq!(of("10.1.2.3"), "1");
    assert_eq!(of("192.0.2.1"), "2");
}

#[test]
fn addresses_and_ports_decide_and_then_the_key() {
    let mut port = spec("2");
    port.port = Some(9100);
    let mut server = spec("0");
    server.server = Some("192.0.2.7/32".parse().unwrap());
    let routes = [port, from("1", "10.0.0.0/8"), server];
    let of = |client, server| find(&routes, client, server, None);
    assert_eq!(of("10.0.0.1", "127.0.0.1:9100").unwrap(), "1");
    assert_eq!(of("127.0.0.1", "127.0.0.1:9100").unwrap(), "2");
    assert_eq!(of("10.0.0.1", "192.0.2.7:9100").unwrap(), "0");
    assert_eq!(of("127.0.0.1", "127.0.0.1:9101"), None);
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_an_ipv4_address() {
    let routes = [from("1", "10.0.0.0/8")];
    let found = find(&routes, "::ffff:10.0.0.1", "[::1]:9100", None);
    assert_eq!(found.as_deref(), Some("1"));
}

#[test]
fn of_two_with_one_key_the_last_one_counts() {
    let routes = [from("1", "10.0.0.0/8"), from("1", "127.0.0.0/8")];
    assert_eq!(find(&routes, "10.0.0.1", "127.0.0.1:1", None), None);
    assert!(find(&routes, "127.0.0.1", "127.0.0.1:1", None).is_some());
}

/// What the rules say, looked up the slow way.
fn plain(routes: &[SessionSpec], client: &str, server: &str, sni: Option<&str>) -> Option<String> {
    let (client, server): (std::net::IpAddr, std::net::SocketAddr) =
        (client.parse().unwrap(), server.parse().unwrap());
    let rank = |route: &SessionSpec| match (&route.sni, sni) {
        (None, _) => Some(usize::MAX),
        (Some(_), None) => None,
        (Some(pattern), Some(name)) => match pattern.as_str().strip_prefix('*') {
            None => (pattern.as_str() == name).then_some(0),
            Some(end) => name.ends_with(end).then(|| 1 + name.len() - end.len()),
        },
    };
    let fits = |route: &&SessionSpec| {
        route.remote.is_none_or(|net| net.contains(&client))
            && route.server.is_none_or(|net| net.contains(&server.ip()))
            && route.port.is_none_or(|port| port == server.port())
    };
    let ranked = routes.iter().filter(fits);
    let ranked = ranked.filter_map(|route| Some((rank(route)?, route.key.to_string())));
    ranked.min().map(|(_, key)| key)
}

fn any_spec() -> impl Strategy<Value = SessionSpec> {
    let network = prop_oneof![
        Just(None),
        Just(Some("10.0.0.0/8")),
        Just(Some("127.0.0.1/32"))
    ];
    let name = prop_oneof![
        Just(None),
        Just(Some("a.b.c")),
        Just(Some("*.b.c")),
        Just(Some("*.c")),
        Just(Some("*b.c")),
    ];
    (network.clone(), network, 0u16..3, name).prop_map(|(remote, server, port, sni)| SessionSpec {
        remote: remote.map(|n| n.parse().unwrap()),
        server: server.map(|n| n.parse().unwrap()),
        port: (port > 0).then_some(port),
        sni: sni.map(|name| HostPattern::parse(name).unwrap()),
        ..spec("")
    })
}

proptest! {
    #[test]
    fn the_order_of_insertion_does_not_change_what_matches(
        specs in prop::collection::vec(any_spec(), 0..12),
        shuffle in any::<u64>(),
        client in prop_oneof![Just("10.0.0.1"), Just("127.0.0.1"), Just("192.0.2.1")],
        server in prop_oneof![Just("127.0.0.1:1"), Just("10.0.0.9:2"), Just("192.0.2.1:7")],
        sni in prop_oneof![Just(None), Just(Some("a.b.c")), Just(Some("x.b.c")), Just(Some("b.c")), Just(Some("z"))],
    ) {
        let routes: Vec<SessionSpec> = specs
            .into_iter()
            .enumerate()
            .map(|(at, s)| SessionSpec { key: at.to_string().into(), ..s })
            .collect();
        let expected = plain(&routes, client, server, sni);
        prop_assert_eq!(find(&routes, client, server, sni), expected.clone());
        let mut shuffled = routes;
        let turns = shuffle as usize % shuffled.len().max(1);
        shuffled.rotate_left(turns);
        if shuffle % 2 == 0 {
            shuffled.reverse();
        }
        prop_assert_eq!(find(&shuffled, client, server, sni), expected);
    }
}
