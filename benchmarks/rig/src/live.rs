//! How long a change through the Admin API takes: until it is acknowledged, and until it is live.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::failure::{During, Failure};
use crate::http::Connection;
use crate::meter::quantile;
use crate::peer::Bench;
use crate::processes::pause;
use crate::settings::ADMIN_KEY;
use crate::table::Table;

/// How many connections write the routes that are there beforehand.
const WRITERS: usize = 8;

/// How many connections ask, one request after the other, while changes are made.
const ASKING: usize = 4;
/// How long they ask without changes, and then with.
const ASKED_FOR: Duration = Duration::from_secs(5);
/// Between two changes beside traffic.
const BETWEEN_CHANGES: Duration = Duration::from_millis(20);

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
    let beside = traffic_beside_changes(up.addr, &mut api)?;
    let rate = routes as f64 / filled.as_secs_f64().max(1e-9);
    let before = if routes > 0 {
        format!("; they were written at {rate:.0} a second over {WRITERS} connections")
    } else {
        String::new()
    };
    Ok(format!(
        "### a change goes live\n\n{changes} changes through the Admin API, embedded store, beside \
         {routes} other routes{before}.\n\n{table}\nThe requests of {ASKING} connections beside that, without changes \
         and with one every {} ms:\n\n{beside}",
        BETWEEN_CHANGES.as_millis()
    ))
}

/// Latencies of running traffic, at rest and while routes change.
fn traffic_beside_changes(data: SocketAddr, api: &mut Admin) -> Result<Table, Failure> {
    let mut table = Table::new(&["latency, us", "requests", "p50", "p99", "p99.9", "most"]);
    for (name, changing) in [("without changes", false), ("with changes", true)] {
        let latencies = ask_during(data, || {
            let until = Instant::now() + ASKED_FOR;
            let mut change = 0;
            while Instant::now() < until {
                pause(BETWEEN_CHANGES);
                if changing {
                    let route = format!("{{\"uri\":\"/beside/{change}\",\"upstream_id\":\"1\"}}");
                    api.put(&format!("/routes/beside-{}", change % 100), &route)?;
                    change += 1;
                }
            }
            Ok(())
        })?;
        let at = |share| format!("{:.0}", quantile(&latencies, share));
        let count = latencies.len().to_string();
        table.row(&[
            name.to_owned(),
            count,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
        ]);
    }
    Ok(table)
}

/// Microseconds of each request that was answered while `meanwhile` ran.
fn ask_during(
    data: SocketAddr,
    meanwhile: impl FnOnce() -> Result<(), Failure>,
) -> Result<Vec<f64>, Failure> {
    let over = AtomicBool::new(false);
    let ask = || -> Result<Vec<f64>, Failure> {
        let doing = "ask beside changes";
        let mut connection = Connection::open(data).during(doing)?;
        let mut latencies = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let sent = Instant::now();
            let status = connection.ask("GET", "/change/0", "", "").during(doing)?;
            if status != 200 {
                return Err(Failure::said(format!("{status} beside changes")));
            }
            latencies.push(sent.elapsed().as_secs_f64() * 1e6);
        }
        Ok(latencies)
    };
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..ASKING).map(|_| scope.spawn(ask)).collect();
        let done = meanwhile();
        over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for one in asking {
            let latencies = one
                .join()
                .map_err(|_| Failure::said("an asking thread panicked"))?;
            all.extend(latencies?);
        }
        done.map(|()| all)
    })
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
