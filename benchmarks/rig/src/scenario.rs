//! What is measured: how many routes, which plugins, which requests.

use std::fmt::Write;
use std::net::SocketAddr;

use crate::identity::Identity;
use crate::peer::Peer;

/// What the requests come over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1 over TLS 1.3.
    Tls,
    /// HTTP/2 over TLS 1.3.
    Http2,
}

/// One row of peers under the same load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What stands above its table.
    pub(crate) title: &'static str,
    pub(crate) over: Over,
    /// How many routes the gateway has; requests are spread over all of them.
    pub(crate) routes: usize,
    /// Whether the five plugins are on.
    pub(crate) plugins: bool,
    /// Whether instructions are counted under valgrind too, where the start takes long.
    pub(crate) under_valgrind: bool,
}

/// All of them, in the order in which they are measured.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "plain",
        title: "one route, no plugins",
        over: Over::Plain,
        routes: 1,
        plugins: false,
        under_valgrind: true,
    },
    Scenario {
        name: "five",
        title: "key-auth, limit-count, prometheus, request-id, proxy-rewrite \
                (bare and nginx forward without any of them)",
        over: Over::Plain,
        routes: 1,
        plugins: true,
        under_valgrind: true,
    },
    Scenario {
        name: "routes-10k",
        title: "10,000 routes, requests spread over all (bare and nginx have one)",
        over: Over::Plain,
        routes: 10_000,
        plugins: false,
        under_valgrind: true,
    },
    Scenario {
        name: "routes-100k",
        title: "100,000 routes, requests spread over all (bare and nginx have one)",
        over: Over::Plain,
        routes: 100_000,
        plugins: false,
        under_valgrind: false,
    },
    Scenario {
        name: "tls",
        title: "HTTP/1.1 over TLS 1.3, kept connections, one route, no plugins",
        over: Over::Tls,
        routes: 1,
        plugins: false,
        under_valgrind: true,
    },
    Scenario {
        name: "http2",
        title: "HTTP/2 over TLS 1.3, eight streams on each connection, one route, no plugins",
        over: Over::Http2,
        routes: 1,
        plugins: false,
        under_valgrind: true,
    },
];

/// The consumer's key in the scenario with plugins.
const KEY: &str = "the-key-of-the-benchmark";

const PLUGINS: &str = r#"{"key-auth": {}, "limit-count": {"count": 1000000000, "time_window": 3600}, "prometheus": {}, "request-id": {}, "proxy-rewrite": {"headers": {"set": {"X-Rewritten": "yes"}}}}"#;

impl Scenario {
    /// A target that route number `route` (from 1) matches.
    pub(crate) fn target(route: usize) -> String {
        format!("/r/{route}/x")
    }

    /// Header lines that each request carries.
    pub(crate) fn lines(&self) -> String {
        if self.plugins {
            format!("apikey: {KEY}\r\n")
        } else {
            String::new()
        }
    }

    /// Whom it measures; the first is the one that the others are compared with. `bare` speaks no TLS.
    pub(crate) fn peers(&self, nginx: bool) -> Vec<Peer> {
        match (self.over, nginx) {
            (Over::Plain, true) => vec![Peer::Bare, Peer::Gateway, Peer::Nginx],
            (Over::Plain, false) => vec![Peer::Bare, Peer::Gateway],
            (Over::Tls | Over::Http2, true) => vec![Peer::Nginx, Peer::Gateway],
            (Over::Tls | Over::Http2, false) => vec![Peer::Gateway],
        }
    }

    /// The declarative file for the gateway.
    pub(crate) fn resources(&self, origin: SocketAddr, identity: &Identity) -> String {
        let mut text = String::new();
        let plugins = if self.plugins {
            format!(", \"plugins\": {PLUGINS}")
        } else {
            String::new()
        };
        // Writing to a String does not fail.
        write!(
            text,
            "upstreams:\n  - {{\"id\": \"1\", \"type\": \"roundrobin\", \
             \"nodes\": {{\"{origin}\": 1}}}}\nroutes:\n"
        )
        .ok();
        for route in 1..=self.routes {
            writeln!(
                text,
                "  - {{\"id\": \"{route}\", \"uri\": \"/r/{route}/*\", \"upstream_id\": \"1\"{plugins}}}"
            )
            .ok();
        }
        if self.plugins {
            writeln!(
                text,
                "consumers:\n  - {{\"username\": \"bench\", \
                 \"plugins\": {{\"key-auth\": {{\"key\": \"{KEY}\"}}}}}}"
            )
            .ok();
        }
        if self.over != Over::Plain {
            writeln!(text, "ssls:\n  - {}", identity.document()).ok();
        }
        text.push_str("#END\n");
        text
    }

    /// What wrk runs: requests spread over the routes, and one line of figures at the end.
    pub(crate) fn lua(&self) -> String {
        let key = if self.plugins {
            format!("wrk.headers[\"apikey\"] = \"{KEY}\"\n")
        } else {
            String::new()
        };
        let routes = self.routes;
        format!(
            r#"wrk.headers["Host"] = "bench.test"
{key}local one
function init(args)
  math.randomseed(42)
  one = wrk.format("GET", "/r/1/x")
end
function request()
  if {routes} == 1 then return one end
  return wrk.format("GET", "/r/" .. math.random({routes}) .. "/x")
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RIG %d %d %d %d %d %d\n", summary.requests, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#
        )
    }
}
