//! How long a change through the Admin API takes: until it is acknowledged, and until it is live.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::failure::{During, Failure};
use crate::http::Connection;
use crate::meter::quantile;
use crate::peer::Bench;
use crate::settings::ADMIN_KEY;
use crate::table::Table;

/// How many connections write the routes that are there beforehand.
const WRITERS: usize = 8;

/// Measures `changes` changes with `routes` routes there already; returns the table.
pub(crate) fn run(bench: &Bench, routes: usize, changes: usize) -> Result<String, Failure> {
    let up = bench.start_embedded()?;
    let admin = up
        .admin
        .ok_or_else(|| Failure::said("a gateway without an Admin API"))?;
    let upstream = format!(
        "{{\"type\":\"roundrobin\",\"nodes\":{{\"{}\":1}}}}",
        bench.origin
    );
    Admin::open(admin)?.put("/upstreams/1", &upstream)?;
    let started = Instant::now();
    fill(admin, routes)?;
    let filled = started.elapsed();

    let mut api = Admin::open(admin)?;
    let doing = "ask the data plane";
    let mut data = Connection::open(up.addr).during(doing)?;
    let (mut acknowledged, mut live) = (Vec::new(), Vec::new());
    for change in 0..changes {
        let target = format!("/change/{change}");
        let route = format!("{{\"uri\":\"{target}\",\"upstream_id\":\"1\"}}");
        let sent = Instant::now();
        api.put(&format!("/routes/change-{change}"), &route)?;
        acknowledged.push(sent.elapsed().as_secs_f64() * 1e3);
        while data.ask("GET", &target, "", "").during(doing)? != 200 {
            if sent.elapsed() > Duration::from_secs(60) {
                return Err(Failure::said("a change was not live after a minute"));
            }
        }
        live.push(sent.elapsed().as_secs_f64() * 1e3);
    }

    let mut table = Table::new(&["ms from the request", "p50", "p99", "most"]);
    for (name, figures) in [("acknowledged", &acknowledged), ("live", &live)] {
        let at = |share| format!("{:.2}", quantile(figures, share));
        table.row(&[name.to_owned(), at(0.5), at(0.99), at(1.0)]);
    }
    let rate = routes as f64 / filled.as_secs_f64().max(1e-9);
    let before = if routes > 0 {
        format!("; they were written at {rate:.0} a second over {WRITERS} connections")
    } else {
        String::new()
    };
    Ok(format!(
        "### a change goes live\n\n{changes} changes through the Admin API, embedded store, beside \
         {routes} other routes{before}.\n\n{table}"
    ))
}

fn fill(admin: SocketAddr, routes: usize) -> Result<(), Failure> {
    let writer = |first: usize| -> Result<(), Failure> {
        let mut api = Admin::open(admin)?;
        for route in (first..=routes).step_by(WRITERS) {
            let body = format!("{{\"uri\":\"/r/{route}/*\",\"upstream_id\":\"1\"}}");
            api.put(&format!("/routes/{route}"), &body)?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let writers: Vec<_> = (1..=WRITERS)
            .map(|first| scope.spawn(move || writer(first)))
            .collect();
        for writer in writers {
            writer
                .join()
                .map_err(|_| Failure::said("a writer panicked"))??;
        }
        Ok(())
    })
}

struct Admin(Connection);

impl Admin {
    fn open(addr: SocketAddr) -> Result<Self, Failure> {
        Connection::open(addr)
            .during("connect to the Admin API")
            .map(Self)
    }

    fn put(&mut self, path: &str, body: &str) -> Result<(), Failure> {
        let lines = format!("X-API-KEY: {ADMIN_KEY}\r\nContent-Type: application/json\r\n");
        let target = format!("/apisix/admin{path}");
        let status = self
            .0
            .ask("PUT", &target, &lines, body)
            .during(format!("PUT {path}"))?;
        match status {
            200 | 201 => Ok(()),
            other => Err(Failure::said(format!("PUT {path} answered {other}"))),
        }
    }
}
